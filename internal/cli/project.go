package cli

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
)

// project loads the sluice.yaml that is meant: the one of --file, else the nearest.
func (inv *invocation) project() (*config.File, error) { return inv.loadWith(config.Load) }

// loadWith loads the sluice.yaml that is meant by one of config's ways.
func (inv *invocation) loadWith(load func(string, func(string) (string, bool)) (*config.File, error)) (*config.File, error) {
	path := inv.file
	if path == "" {
		found, err := config.Find(inv.Dir)
		if err != nil {
			return nil, err
		}
		path = found
	} else if !filepath.IsAbs(path) {
		path = filepath.Join(inv.Dir, path)
	}
	return load(path, inv.LookupEnv)
}

// service loads the project and finds the named service in it, or the only one.
func (inv *invocation) service(name string) (*config.File, string, error) {
	file, err := inv.project()
	if err != nil {
		return nil, "", err
	}
	service, err := serviceOf(file, name)
	return file, service, err
}

// serviceOf returns the named service, or the only one.
func serviceOf(file *config.File, name string) (string, error) {
	names := slices.Sorted(maps.Keys(file.Project.Services))
	switch {
	case name == "" && len(names) == 1:
		return names[0], nil
	case name == "":
		return "", fault.New(fault.Usage, "", "%s has %d services: which one?", file.Path, len(names)).
			WithHint("name one of %s", strings.Join(names, ", "))
	case !slices.Contains(names, name):
		return "", unknown("service", name, file.Path, names)
	}
	return name, nil
}

// servicesOf are those that are named, each once and in order; all of the file where none is.
func servicesOf(file *config.File, named []string) ([]string, error) {
	for _, service := range named {
		if _, err := serviceOf(file, service); err != nil {
			return nil, err
		}
	}
	if len(named) == 0 {
		named = slices.Collect(maps.Keys(file.Project.Services))
	}
	return slices.Compact(slices.Sorted(slices.Values(named))), nil
}

// environmentOf returns the named environment, or the only one.
func environmentOf(environments map[string]v1alpha1.Environment, name, where string) (string, v1alpha1.Environment, error) {
	names := slices.Sorted(maps.Keys(environments))
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if name == "" {
		return "", v1alpha1.Environment{}, fault.New(fault.Usage, "", "--env is missing").
			WithHint("%s has %s", where, strings.Join(names, ", "))
	}
	env, ok := environments[name]
	if !ok {
		return "", env, unknown("environment", name, where, names)
	}
	return name, env, nil
}

// unknown is the error for a name that is not in a list.
func unknown(what, name, where string, known []string) error {
	f := fault.New(fault.NotFound, "", "no %s %q in %s", what, name, where)
	if len(known) == 0 {
		return f
	}
	if meant := closest(name, known); meant != "" {
		return f.WithHint("did you mean %s? known: %s", meant, strings.Join(known, ", "))
	}
	return f.WithHint("known: %s", strings.Join(known, ", "))
}

// completeServices offers the file's services to the shell; what is wrong with the file is not the shell's business.
func (inv *invocation) completeServices(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	file, err := inv.project()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(file.Project.Services)), cobra.ShellCompDirectiveNoFileComp
}

func (inv *invocation) completeEnvironments(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	file, err := inv.project()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(file.Project.Environments)), cobra.ShellCompDirectiveNoFileComp
}
