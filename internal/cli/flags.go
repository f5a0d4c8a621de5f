package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-dev/sluice/internal/fault"
)

// format is a flag that only takes what emit can print.
type format string

const (
	formatText format = "text"
	formatJSON format = "json"
	formatYAML format = "yaml"
)

func formats() []string { return []string{string(formatText), string(formatJSON), string(formatYAML)} }

// String is the flag's value; text where none was given.
func (f *format) String() string {
	if *f == "" {
		return string(formatText)
	}
	return string(*f)
}

// structured says whether programs read the result.
func (f format) structured() bool { return f == formatJSON || f == formatYAML }

// Set refuses unknown formats.
func (f *format) Set(s string) error {
	if !slices.Contains(formats(), s) {
		return fmt.Errorf("must be one of %s", strings.Join(formats(), ", "))
	}
	*f = format(s)
	return nil
}

// Type names the value in the help.
func (f *format) Type() string { return "format" }

// clusterFlags override where an environment's cluster is found, never which one it is.
type clusterFlags struct {
	context    string
	kubeconfig string
}

func (c *clusterFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.context, "context", "", "`name` of the kubeconfig context to use in place of the environment's")
	cmd.Flags().StringVar(&c.kubeconfig, "kubeconfig", "", "`path` of the kubeconfig to use in place of the environment's")
}

// environmentName is the variable that stands for a flag.
func environmentName(flag string) string {
	return "SLUICE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// flagsFromEnvironment sets every flag that was not given from its variable, where that is set and not empty.
func flagsFromEnvironment(cmd *cobra.Command, lookup func(string) (string, bool)) error {
	var problem error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || problem != nil {
			return
		}
		name := environmentName(f.Name)
		value, ok := lookup(name)
		if !ok || value == "" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			problem = fault.New(fault.Usage, "environment variable "+name, "%q is no value of --%s: %w", value, f.Name, err)
		}
	})
	return problem
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// oneArg takes at most one argument, named as in the usage line.
func oneArg(name string, required bool) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 1:
			return fault.New(fault.Usage, "", "one %s at most, but got %d: %s", name, len(args), strings.Join(args, " "))
		case required && len(args) == 0:
			return fault.New(fault.Usage, "", "%s is missing", name).WithHint("usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// noArgs takes none.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fault.New(fault.Usage, "", "`%s` takes no argument, but got %s", cmd.CommandPath(), strings.Join(args, " "))
	}
	return nil
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// envFlag registers --env. Where it is left out, the only environment of the file is meant.
func envFlag(cmd *cobra.Command, inv *invocation, target *string, usage string) {
	cmd.Flags().StringVar(target, "env", "", usage)
	_ = cmd.RegisterFlagCompletionFunc("env", inv.completeEnvironments)
}
