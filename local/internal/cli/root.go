// Package cli is the command line of the local node: flags in, text or JSON out, exit codes. It must not know how a node
// works.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/local/internal/cgroup"
	"github.com/sluice-dev/sluice/local/internal/cluster"
	"github.com/sluice-dev/sluice/local/internal/component"
	"github.com/sluice-dev/sluice/local/internal/requirement"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes; every help text names them.
const (
	exitDone        = 0
	exitInternal    = 1
	exitUsage       = 2
	exitMissing     = 3
	exitInterrupted = 130
)

const exitCodes = `Exit codes: 0 done · 1 internal error · 2 usage · 3 the machine lacks something, or something is in use
by others (each line says what, and the cure) · 130 interrupted.`

// errUsage marks a mistake on the command line.
var errUsage = errors.New("usage")

// options are the flags that commands share.
type options struct {
	state, cache, output string
}

// Run runs the command line and returns its exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	code := exitCode(ctx, err)
	switch {
	case code == exitInterrupted:
		fmt.Fprintln(stderr, "sluice-local: interrupted; 'sluice local up' goes on, 'sluice local down' cleans up")
	case err != nil:
		for _, line := range strings.Split(err.Error(), "\n") {
			fmt.Fprintln(stderr, "sluice-local:", line)
		}
		if errors.Is(err, fs.ErrPermission) {
			fmt.Fprintln(stderr, "sluice-local: a node belongs to root; run the command with sudo")
		}
	}
	return code
}

func exitCode(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled) || ctx.Err() != nil:
		return exitInterrupted
	case errors.Is(err, errUsage) || errors.Is(err, cluster.ErrSettings):
		return exitUsage
	case errors.Is(err, requirement.ErrMissing) || errors.Is(err, cgroup.ErrUnsupported) ||
		errors.Is(err, cluster.ErrForeign) || errors.Is(err, component.ErrNoGo) || errors.Is(err, fs.ErrPermission):
		return exitMissing
	}
	return exitInternal
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	var opts options
	root := &cobra.Command{
		Use:   "sluice-local",
		Short: "A one-node Kubernetes on this machine: real pods, registry, name server, ingress and Gateway API",
		Long: `A one-node Kubernetes on this Linux machine, without Docker and without images to pull: every part is built from
pinned Go modules on the first start (about ten minutes on two cores) and kept in a cache.

"sluice local up" and "sluice-local up" are the same.

` + exitCodes,
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(command *cobra.Command, _ []string) error { return opts.complete(command) },
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: unknown command %q; there are up, down and status", errUsage, args[0])
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w; see '%s --help'", errUsage, err, command.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&opts.state, "state", cluster.DefaultState, "folder of everything the node keeps; SLUICE_LOCAL_STATE")
	flags.StringVar(&opts.cache, "cache", "", "folder of the built parts; SLUICE_LOCAL_CACHE (default sluice/local in the user's cache folder)")
	flags.StringVarP(&opts.output, "output", "o", "text", "how results are printed: text, json or yaml")
	root.AddCommand(newUp(&opts), newDown(&opts), newStatus(&opts))
	for _, command := range root.Commands() {
		command.Args = noArguments
	}
	return root
}

func noArguments(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%w: %s takes no arguments, got %q", errUsage, command.CommandPath(), args)
	}
	return nil
}

// complete takes what was not given as a flag from the environment, and makes folders absolute.
func (o *options) complete(command *cobra.Command) error {
	if err := fromEnvironment(command.Flags()); err != nil {
		return err
	}
	switch o.output {
	case "text", "json", "yaml":
	default:
		return fmt.Errorf("%w: --output %q: use text, json or yaml", errUsage, o.output)
	}
	if o.cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("%w: no user cache folder (%w); name a folder with --cache", errUsage, err)
		}
		o.cache = filepath.Join(base, "sluice", "local")
	}
	for _, folder := range []*string{&o.state, &o.cache} {
		absolute, err := filepath.Abs(*folder)
		if err != nil {
			return fmt.Errorf("find folder %s: %w", *folder, err)
		}
		*folder = absolute
	}
	return nil
}

// fromEnvironment sets each flag that was not given from SLUICE_LOCAL_<FLAG>.
func fromEnvironment(flags *pflag.FlagSet) error {
	var problems []error
	flags.VisitAll(func(flag *pflag.Flag) {
		variable := environmentName(flag.Name)
		value, ok := os.LookupEnv(variable)
		if !ok || value == "" || flag.Changed || flag.Name == "help" {
			return
		}
		if err := flags.Set(flag.Name, value); err != nil {
			problems = append(problems, fmt.Errorf("%w: environment variable %s: %w", errUsage, variable, err))
		}
	})
	return errors.Join(problems...)
}

func environmentName(flag string) string {
	name := []byte("SLUICE_LOCAL_")
	for _, c := range []byte(flag) {
		switch {
		case c == '-':
			c = '_'
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		}
		name = append(name, c)
	}
	return string(name)
}

func newUp(opts *options) *cobra.Command {
	settings := cluster.Settings{}
	var network string
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
		RunE: func(command *cobra.Command, _ []string) error {
			parsed, err := netip.ParsePrefix(network)
			if err != nil {
				return fmt.Errorf("%w: --network: %w", errUsage, err)
			}
			settings.State, settings.Network = opts.state, parsed
			given := map[string]bool{}
			command.Flags().Visit(func(flag *pflag.Flag) { given[flag.Name] = true })
			report := newReporter(command.ErrOrStderr(), time.Now)
			defer report.Close()
			status, err := cluster.Up{
				Settings: settings, Given: given, Cache: opts.cache, Report: report, Clock: time.Now,
			}.Run(command.Context())
			if err != nil {
				return err
			}
			report.Close()
			return printStatus(command.OutOrStdout(), opts.output, status)
		},
	}
	flags := command.Flags()
	flags.StringVar(&settings.Name, "name", cluster.DefaultName, "name of the node and of the kubeconfig's context")
	flags.StringVar(&network, "network", cluster.DefaultNetwork, "IPv4 network of 16 bits for pods, Services and the node")
	flags.IntVar(&settings.HTTPPort, "http-port", cluster.DefaultHTTPPort, "loopback port of the entry point; 0 is any free one")
	flags.IntVar(&settings.RegistryPort, "registry-port", cluster.DefaultRegistryPort, "loopback port of the registry; 0 is any free one")
	flags.IntVar(&settings.MetricsPort, "metrics-port", cluster.DefaultMetricsPort, "loopback port of the entry point's metrics; 0 is any free one")
	flags.StringSliceVar(&settings.With, "with", nil, "optional `part` to add to the node: "+strings.Join(component.Optional(), ", "))
	flags.IntVar(&settings.APIPort, "api-port", cluster.DefaultAPIPort, "loopback port of the API server; 0 is any free one")
	return command
}

func newDown(opts *options) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Take the node down without a trace; only the built parts stay in the cache",
		Long: `End all processes and pods and remove everything: mounts, network namespaces, addresses, packet filter tables, control
groups, changed kernel settings, and the state folder with all images and objects. The cache of built parts stays.
Without a node it does nothing, successfully.

` + exitCodes,
		Example: `  sluice-local down`,
		RunE: func(command *cobra.Command, _ []string) error {
			report := newReporter(command.ErrOrStderr(), time.Now)
			defer report.Close()
			found, err := cluster.Down{State: opts.state, Report: report, Clock: time.Now}.Run(command.Context())
			if err != nil {
				return err
			}
			report.Close()
			return printDown(command.OutOrStdout(), opts.output, opts.state, found)
		},
	}
}

func newStatus(opts *options) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show whether the node is ready, and where its kubeconfig, registry and entry point are",
		Long: `Show whether the node is ready, and where its kubeconfig, registry and entry point are. A node that does not run is a
status too: the exit code is 0, and "ready" says it.

` + exitCodes,
		Example: `  sluice-local status
  sluice-local status -o json`,
		RunE: func(command *cobra.Command, _ []string) error {
			status, err := cluster.Look(command.Context(), opts.state)
			if err != nil {
				return err
			}
			return printStatus(command.OutOrStdout(), opts.output, status)
		},
	}
}
