package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Groups of commands in the help.
const (
	groupAuthor = "author"
	groupShip   = "ship"
	groupLook   = "look"
	groupRemove = "remove"
	groupServe  = "serve"
)

func newRoot(inv *invocation) *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Build, gate and release microservices to Kubernetes",
		Long: `Sluice builds, gates and releases microservices to Kubernetes.

The process lives beside the source in one file, sluice.yaml. A release goes from environment to environment by digest;
one that fails its gates is taken back by itself.

Every flag can also be given as SLUICE_<FLAG> in the environment, for example SLUICE_ENV for --env; the flag wins.
Results go to stdout, the log to stderr. NO_COLOR switches colours off.`,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return flagsFromEnvironment(cmd, inv.LookupEnv) },
	}
	root.AddGroup(
		&cobra.Group{ID: groupAuthor, Title: "Author:"}, &cobra.Group{ID: groupShip, Title: "Ship:"},
		&cobra.Group{ID: groupLook, Title: "Look:"}, &cobra.Group{ID: groupRemove, Title: "Remove:"},
		&cobra.Group{ID: groupServe, Title: "Serve:"},
	)
	root.PersistentFlags().StringVarP(&inv.file, "file", "f", "", "`path` of sluice.yaml (default: the nearest one in this folder or above)")
	root.PersistentFlags().VarP(&inv.output, "output", "o", "`format` of the result on stdout: text, json or yaml")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats(), cobra.ShellCompDirectiveNoFileComp))
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		newInit(inv), newCheck(inv), newPlan(inv), newSchema(inv), newVariables(inv),
		newBuild(inv), newDeploy(inv), newRun(inv), newPromote(inv), newRollback(inv), newAbort(inv), newResume(inv),
		newStatus(inv), newHistory(inv), newRelease(inv), newDoctor(inv), newAnalyze(inv),
		newUninstall(inv),
		newLocal(inv), newVersion(inv),
	)
	root.SetHelpTemplate(helpTemplate)
	return root
}

// helpTemplate is cobra's own with the description first; what a command adds to it is in its Long text.
const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}`

// describe puts a command's exit codes below its description.
func describe(text string, codes ...int) string {
	return strings.TrimSpace(text) + "\n\n" + exitCodes(codes...)
}

// exitCodes documents the codes a command can end with.
func exitCodes(codes ...int) string {
	var b strings.Builder
	b.WriteString("Exit codes:")
	for _, code := range codes {
		fmt.Fprintf(&b, "\n  %-3d  %s", code, meaning(code))
	}
	return b.String()
}

// meaning is the table of exit codes for people; fault.ExitCode is the one for programs.
func meaning(code int) string {
	switch code {
	case 0:
		return "done"
	case 1:
		return "internal error"
	case 2:
		return "the command line or the configuration is wrong, or names something that does not exist"
	case 3:
		return "a check or gate failed and nothing was changed"
	case 4:
		return "failed and rolled back"
	case 5:
		return "failed, and the rollback failed or was impossible: a human is needed"
	case 6:
		return "waiting, resumable"
	case 7:
		return "locked by another run"
	case 8:
		return "cannot authenticate or connect"
	case 9:
		return "the world differs from what was recorded"
	case 130:
		return "interrupted; a rollout stays where it is and the command to resume is printed"
	default:
		return "unknown"
	}
}

// flagError classifies what pflag found wrong, and offers the flag that was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	f := fault.New(fault.Usage, "", "%w", err).WithHint("`%s --help` lists the flags", cmd.CommandPath())
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return f
	}
	if meant := closest(name, flagNames(cmd)); meant != "" {
		return f.WithHint("did you mean --%s? `%s --help` lists the flags", meant, cmd.CommandPath())
	}
	return f
}
