package cli

import (
	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/fault"
)

func newLocal(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use: "local check|up|down|status", Short: "Run a one-node Kubernetes on this machine", GroupID: groupServe,
		Long: describe(`Run a one-node Kubernetes with registry, DNS, ingress and Gateway API on this machine, as the context sluice-local.

The work is done by the program sluice-local, which is looked for beside sluice and then in the PATH, and gets the same
arguments. It takes over the process, so that signals and the exit code are its own.`, 0, 1, 2, 130),
		Example: `  sluice local check
  sluice local up
  sluice local status -o json
  sluice local down`,
		DisableFlagParsing: true,
		// The plugin reads its own flags and variables.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			path, err := app.LocalPlugin(inv.Executable)
			if err != nil {
				if len(args) == 0 || args[0] == "--help" || args[0] == "-h" {
					return cmd.Help()
				}
				return err
			}
			err = inv.Exec(path, append([]string{path}, args...))
			return fault.Wrap(fault.Internal, "execute "+path, err)
		}),
	}
}
