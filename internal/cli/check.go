package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/check"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/promotion"
)

// checkDocument is the result of `sluice check`. Where sluice.yaml itself is wrong, the error document lists its problems instead.
type checkDocument struct {
	document
	File         string   `json:"file"`
	Services     []string `json:"services"`
	Environments []string `json:"environments"`
	// Findings are what is wrong with charts and values; files are relative to where the command was called.
	Findings []check.Finding `json:"findings,omitempty"`
	// Unchecked is what could not be looked at without asking somebody.
	Unchecked []check.Finding `json:"unchecked,omitempty"`
}

func newCheck(inv *invocation) *cobra.Command {
	var env string
	cmd := &cobra.Command{
		Use: "check [SERVICE] [--env ENV]", Short: "Check configuration, charts and values before anything is touched", GroupID: groupAuthor, Args: oneArg("SERVICE", false),
		Long: describe(`Check sluice.yaml and the files it names, all problems at once, each with its place.

First sluice.yaml: keys, types, values, references, the path. Then, for each service and environment, what a build packs and a first
deployment installs: the chart with its dependencies, the values against the values.schema.json of the chart and of what it brings along,
the templates, and whether two slots would fight over an object.

Nothing is built or fetched, and no cluster and no registry is asked. What cannot be known without is listed as not checked. Problems of
sluice.yaml end with exit code 2, those of charts and values with 3.`, 0, 2, 3, 130),
		Example: `  sluice check
  sluice check calculator --env prod -o json`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			return inv.check(cmd.Context(), args, env)
		}),
	}
	envFlag(cmd, inv, &env, "`environment` to check, with those before it (default: all)")
	return cmd
}

func (inv *invocation) check(ctx context.Context, services []string, env string) error {
	file, err := inv.project()
	if err != nil {
		return err
	}
	doc := checkDocument{
		document: head("CheckResult"), File: file.Path,
		Services: slices.Sorted(maps.Keys(file.Project.Services)), Environments: promotion.Path(file.Project.Environments, ""),
	}
	if len(services) > 0 {
		if _, err := serviceOf(file, services[0]); err != nil {
			return err
		}
		doc.Services = services
	}
	if env != "" {
		if _, _, err := environmentOf(file.Project.Environments, env, file.Path); err != nil {
			return err
		}
		doc.Environments = promotion.Path(file.Project.Environments, env)
	}
	p := inv.progress()
	defer p.Stop()
	b := inv.backend(file.Dir, file.Project.Registry, p)
	defer inv.close(b)
	report, err := b.Check(ctx, file, doc.Services, doc.Environments)
	if err != nil {
		return err
	}
	doc.Findings, doc.Unchecked = beside(file, report.Findings), beside(file, report.Unchecked)
	p.Stop()
	if err := inv.emit(doc, doc.text); err != nil || len(doc.Findings) == 0 {
		return err
	}
	return &reportedError{fault.New(fault.Refused, "check", "%s, see above", amount(len(doc.Findings), "problem"))}
}

// beside names files relative to where the command was called, as sluice.yaml itself is.
func beside(file *config.File, findings []check.Finding) []check.Finding {
	out := slices.Clone(findings)
	for i := range out {
		if out[i].File == "" {
			out[i].File = file.Path
			continue
		}
		out[i].File = filepath.Join(file.Dir, out[i].File)
	}
	return out
}

func (d checkDocument) text(w io.Writer) {
	for _, f := range d.Findings {
		fmt.Fprintln(w, f)
	}
	for _, f := range d.Unchecked {
		fmt.Fprintf(w, "not checked: %s\n", f)
	}
	if len(d.Findings) == 0 {
		fmt.Fprintf(w, "%s is fine: %s to %s\n", d.File, counted(d.Services, "service"), counted(d.Environments, "environment"))
	}
}

// counted names a few things: "1 service (calculator)".
func counted(names []string, what string) string {
	text := amount(len(names), what)
	if len(names) == 0 {
		return text
	}
	return text + " (" + joined(names) + ")"
}
