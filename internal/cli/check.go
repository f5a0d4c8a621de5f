package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/promotion"
)

// checkDocument is the result of `sluice check` where nothing is wrong; otherwise the error document lists the problems.
type checkDocument struct {
	document
	File         string   `json:"file"`
	Services     []string `json:"services"`
	Environments []string `json:"environments"`
}

func newCheck(inv *invocation) *cobra.Command {
	var env string
	cmd := &cobra.Command{
		Use: "check [SERVICE] [--env ENV]", Short: "Check the configuration before anything is touched", GroupID: groupAuthor, Args: oneArg("SERVICE", false),
		Long: describe(`Check sluice.yaml and the files it names: keys, types, values, references, the path. All problems are reported at once, each with
file:line:column. Nothing is built, and no cluster and no registry is asked.`, 0, 2),
		Example: `  sluice check
  sluice check calculator --env prod -o json`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(_ *cobra.Command, args []string) error {
			file, err := inv.project()
			if err != nil {
				return err
			}
			doc := checkDocument{
				document: head("CheckResult"), File: file.Path,
				Services: slices.Sorted(maps.Keys(file.Project.Services)), Environments: promotion.Path(file.Project.Environments, ""),
			}
			if len(args) > 0 {
				if _, err := serviceOf(file, args[0]); err != nil {
					return err
				}
				doc.Services = args
			}
			if env != "" {
				if _, _, err := environmentOf(file.Project.Environments, env, file.Path); err != nil {
					return err
				}
				doc.Environments = promotion.Path(file.Project.Environments, env)
			}
			return inv.emit(doc, doc.text)
		}),
	}
	envFlag(cmd, inv, &env, "`environment` to check, with those before it (default: all)")
	return cmd
}

func (d checkDocument) text(w io.Writer) {
	fmt.Fprintf(w, "%s is fine: %s to %s\n", d.File, counted(d.Services, "service"), counted(d.Environments, "environment"))
}

// counted names a few things: "1 service (calculator)".
func counted(names []string, what string) string {
	plural := "s"
	if len(names) == 1 {
		plural = ""
	}
	text := fmt.Sprintf("%d %s%s", len(names), what, plural)
	if len(names) == 0 {
		return text
	}
	return text + " (" + joined(names) + ")"
}
