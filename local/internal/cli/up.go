package cli

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/local/internal/cluster"
	"github.com/sluice-dev/sluice/local/internal/component"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// upFlags are what a node is made with.
type upFlags struct {
	settings cluster.Settings
	network  string
}

func (f *upFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.settings.Name, "name", cluster.DefaultName, "name of the node and of the kubeconfig's context")
	flags.StringVar(&f.network, "network", cluster.DefaultNetwork, "IPv4 network of 16 bits for pods, Services and the node")
	flags.IntVar(&f.settings.HTTPPort, "http-port", cluster.DefaultHTTPPort, "loopback port of the entry point; 0 is any free one")
	flags.IntVar(&f.settings.RegistryPort, "registry-port", cluster.DefaultRegistryPort, "loopback port of the registry; 0 is any free one")
	flags.IntVar(&f.settings.MetricsPort, "metrics-port", cluster.DefaultMetricsPort, "loopback port of the entry point's metrics; 0 is any free one")
	flags.StringSliceVar(&f.settings.With, "with", nil, "optional `part` to add to the node: "+strings.Join(component.Optional(), ", "))
	flags.IntVar(&f.settings.APIPort, "api-port", cluster.DefaultAPIPort, "loopback port of the API server; 0 is any free one")
}

// with runs what a command does with the node of these flags under a progress report, and then prints its result.
func (f *upFlags) with(opts *options, do func(*cobra.Command, cluster.Up) (show func() error, err error)) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, _ []string) error {
		parsed, err := netip.ParsePrefix(f.network)
		if err != nil {
			return fmt.Errorf("%w: --network: %w", errUsage, err)
		}
		f.settings.State, f.settings.Network = opts.state, parsed
		given := map[string]bool{}
		command.Flags().Visit(func(flag *pflag.Flag) { given[flag.Name] = true })
		report := newReporter(command.ErrOrStderr(), time.Now)
		defer report.Close()
		show, err := do(command, cluster.Up{Settings: f.settings, Given: given, Cache: opts.cache, Report: report, Clock: time.Now})
		if err != nil {
			return err
		}
		report.Close()
		return show()
	}
}

func newUp(opts *options) *cobra.Command {
	var flags upFlags
	command := &cobra.Command{
		Use:   "up",
		Short: "Bring the node up; build what is not built, start what does not run",
		Long: `Bring the node up and return when it is ready: node, Services, name server, registry, entry point and Gateway answer.
It may be repeated at any time: after an interrupt, after a reboot, or when a process died.

--with buildkit adds a BuildKit for images from Dockerfiles, to a node that exists too; its first build takes about five minutes more.
An optional part stays until the node is taken down.

The node listens on loopback and on an address of its own that only this machine and its pods reach. Its kubeconfig is a
file of its own; ~/.kube/config is not touched.

` + exitCodes,
		Example: `  sluice-local up
  sluice-local up --with buildkit              # and a BuildKit for images from Dockerfiles
  sluice-local up --http-port 0 -o json        # any free port for the entry point
  sluice-local status -o json | jq -r .kubeconfig`,
		RunE: flags.with(opts, func(command *cobra.Command, up cluster.Up) (func() error, error) {
			status, err := up.Run(command.Context())
			return func() error { return printStatus(command.OutOrStdout(), opts.output, status) }, err
		}),
	}
	flags.register(command.Flags())
	return command
}

func newCheck(opts *options) *cobra.Command {
	var flags upFlags
	command := &cobra.Command{
		Use:   "check",
		Short: "Say what the machine lacks for a node; change nothing",
		Long: `Say what this machine lacks for a node, one line each with the cure, and which parts "up" would build first. It takes the
flags of "up", and changes nothing.

` + exitCodes,
		Example: `  sluice-local check
  sluice-local check -o json`,
		RunE: flags.with(opts, func(command *cobra.Command, up cluster.Up) (func() error, error) {
			missing, err := up.Check(command.Context())
			return func() error { return printCheck(command.OutOrStdout(), opts.output, missing) }, err
		}),
	}
	flags.register(command.Flags())
	return command
}
