package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/promotion"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/store"
)

type promoteFlags struct {
	to   string
	wait bool
}

func newPromote(inv *invocation) *cobra.Command {
	var flags promoteFlags
	cmd := &cobra.Command{
		Use: "promote [SERVICE] --to ENV", Short: "Bring on what is verified in the environments before", GroupID: groupShip, Args: oneArg("SERVICE", false),
		Long: describe(`Bring a release into an environment from the ones that come before it in "after": of the releases that are verified in
all of them, the one that was verified last. Nothing is built; what arrives is what was verified, by digest.`,
			0, 1, 2, 3, 4, 5, 6, 7, 8, 130),
		Example: `  sluice promote --to prod
  sluice promote calculator --to prod -o json`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			file, service, err := inv.service(first(args))
			if err != nil {
				return err
			}
			return inv.promote(cmd.Context(), file, service, flags)
		}),
	}
	cmd.Flags().StringVar(&flags.to, "to", "", "`environment` to promote to")
	_ = cmd.RegisterFlagCompletionFunc("to", inv.completeEnvironments)
	waitFlag(cmd, &flags.wait)
	inv.cluster.register(cmd)
	return cmd
}

func (inv *invocation) promote(ctx context.Context, file *config.File, service string, flags promoteFlags) error {
	if flags.to == "" {
		return fault.New(fault.Usage, "", "--to is missing").WithHint("`sluice promote %s --to ENV`", service)
	}
	to, env, err := environmentOf(file.Project.Environments, flags.to, file.Path)
	if err != nil {
		return err
	}
	if len(env.After) == 0 {
		return fault.New(fault.Usage, "promote "+service+" to "+to, "no environment comes before it").
			WithHint("`sluice deploy RELEASE --env %s` brings a release there", to)
	}
	p := inv.progress()
	defer p.Stop()
	b := inv.backend(file.Dir, file.Project.Registry, p)
	defer inv.close(b)
	ref, err := nextRelease(ctx, b, file, service, to)
	if err != nil {
		return err
	}
	release, ref, err := b.Release(ctx, ref.Ref)
	if err != nil {
		return err
	}
	p.Note(fmt.Sprintf("promoting %s %s to %s", service, ref.Version, to))
	doc, err := inv.ship(ctx, b, p, shipment{release: release, ref: ref, environment: to, wait: flags.wait})
	p.Stop()
	if err != nil {
		return err
	}
	return inv.emit(doc, doc.summary)
}

// nextRelease asks the environments that come before one what is verified there.
func nextRelease(ctx context.Context, b Backend, file *config.File, service, to string) (v1alpha1.ReleaseRef, error) {
	before := map[string][]store.Record{}
	var seen []string
	for _, name := range file.Project.Environments[to].After {
		place, err := b.Open(ctx, service, name, file.Project.Environments[name])
		if err == nil {
			before[name], err = place.Store.List(ctx, place.Key)
		}
		if err != nil {
			return v1alpha1.ReleaseRef{}, fmt.Errorf("ask environment %s, which comes before %s: %w", name, to, err)
		}
		seen = append(seen, name+": "+verifiedLast(before[name]))
	}
	ref, ok := promotion.Next(before)
	if !ok {
		return ref, fault.New(fault.Refused, "promote "+service+" to "+to, "no release is verified in all that comes before it: %s", strings.Join(seen, "; ")).
			WithHint("nothing was changed; `sluice run --to %s` takes the whole path", to)
	}
	return ref, nil
}

// verifiedLast says which release was verified last in an environment.
func verifiedLast(records []store.Record) string {
	if r, ok := rollout.LastVerified(records); ok {
		return r.Release.Version
	}
	return "nothing is verified there"
}
