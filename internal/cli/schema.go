package cli

import (
	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/config"
)

func newSchema(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of sluice.yaml", GroupID: groupAuthor, Args: noArgs,
		Long: describe(`Print the JSON Schema of sluice.yaml, for editors and for checks of your own. It needs neither a file nor a cluster.`, 0, 2),
		Example: `  sluice schema > sluice.schema.json
  sluice schema -o yaml`,
		RunE: inv.enter(func(*cobra.Command, []string) error {
			return inv.write(config.Schema())
		}),
	}
}
