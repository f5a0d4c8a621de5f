package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/promotion"
)

// runDocument is the result of `sluice run`.
type runDocument struct {
	document
	Release *releaseDocument   `json:"release"`
	Results []*rolloutDocument `json:"results"`
}

type runFlags struct {
	to, registry, version, reason string
	wait                          bool
}

func newRun(inv *invocation) *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use: "run [SERVICE] [--to ENV]", Short: "Build once, then deploy along the path", GroupID: groupShip, Args: oneArg("SERVICE", false),
		Long: describe(`Build a service once and bring the release along the path, environment by environment, up to --to.

The path is the order that "after" in sluice.yaml gives. The run ends at the first environment that does not take the release;
what was verified before it stays.`, 0, 1, 2, 3, 4, 5, 6, 7, 8, 130),
		Example: `  sluice run
  sluice run calculator --to prod --reason "INC-42" -o json`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			file, service, err := inv.service(first(args))
			if err != nil {
				return err
			}
			return inv.run(cmd.Context(), file, service, flags)
		}),
	}
	cmd.Flags().StringVar(&flags.to, "to", "", "last `environment` to deploy to (default: the end of the path)")
	_ = cmd.RegisterFlagCompletionFunc("to", inv.completeEnvironments)
	registryFlag(cmd, &flags.registry)
	versionFlag(cmd, &flags.version)
	reasonFlag(cmd, &flags.reason)
	waitFlag(cmd, &flags.wait)
	inv.building.register(cmd)
	inv.cluster.register(cmd)
	return cmd
}

func (inv *invocation) run(ctx context.Context, file *config.File, service string, flags runFlags) error {
	if flags.to != "" {
		if _, _, err := environmentOf(file.Project.Environments, flags.to, file.Path); err != nil {
			return err
		}
	}
	path := promotion.Path(file.Project.Environments, flags.to)
	p := inv.progress()
	defer p.Stop()
	b := inv.backend(file.Dir, orDefault(flags.registry, file.Project.Registry), p)
	defer inv.close(b)
	for _, environment := range path {
		// A cluster that is away, or is another one, is better known before minutes are spent on a build.
		if _, err := b.Open(ctx, service, environment, file.Project.Environments[environment]); err != nil {
			return err
		}
	}
	built, err := b.Build(ctx, app.BuildRequest{File: file, Service: service, Version: flags.version})
	inv.scans = built.Seal.Scans
	if err != nil {
		return err
	}
	doc := runDocument{document: head("RunResult"), Release: describeRelease(built)}
	for i, environment := range path {
		result, err := inv.ship(ctx, b, p, shipment{release: built.Release, ref: built.Ref, environment: environment, reason: flags.reason, wait: flags.wait})
		if err != nil {
			return err
		}
		doc.Results = append(doc.Results, result)
		if i < len(path)-1 {
			p.Note(oneLine(result.summary))
		}
	}
	p.Stop()
	return inv.emit(doc, func(w io.Writer) {
		for _, result := range doc.Results {
			result.summary(w)
		}
		if len(path) == 0 {
			fmt.Fprintf(w, "release %s was built; sluice.yaml has no environment\n", built.Ref.Version)
		}
	})
}
