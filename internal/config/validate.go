package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// validator checks what a value means, after the decoder has checked its form. It keeps silent about values that the
// decoder has already complained about.
type validator struct {
	file      *File
	positions positions
	broken    []string
	problems  Problems
	patterns  map[string]*regexp.Regexp
	// unmade says that encrypted files need not be there yet.
	unmade bool
}

func newValidator(f *File, d *decoder) *validator {
	v := &validator{file: f, positions: d.positions, patterns: map[string]*regexp.Regexp{}}
	for _, p := range d.problems {
		v.broken = append(v.broken, p.Path)
	}
	return v
}

// report adds a problem with the value of the path.
func (v *validator) report(path, hint, format string, args ...any) {
	v.add(v.positions.value(path), path, hint, format, args...)
}

// reportKey adds a problem with the key of the path.
func (v *validator) reportKey(path, hint, format string, args ...any) {
	v.add(v.positions.key(path), path, hint, format, args...)
}

func (v *validator) add(at position, path, hint, format string, args ...any) {
	for p := path; ; p = parent(p) {
		if slices.Contains(v.broken, p) {
			return
		}
		if p == "" {
			break
		}
	}
	v.problems = append(v.problems, Problem{File: v.file.Path, Line: at.line, Column: at.column, Path: path,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

// unread says whether the decoder has complained about the value of a path or of one below it.
func (v *validator) unread(path string) bool {
	return slices.ContainsFunc(v.broken, func(p string) bool {
		rest, below := strings.CutPrefix(p, path)
		return below && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

func (v *validator) project() {
	p := &v.file.Project
	v.constant("apiVersion", p.APIVersion, v1alpha1.APIVersion)
	v.constant("kind", p.Kind, v1alpha1.KindProject)
	v.label("name", p.Name)
	v.registry("registry", p.Registry)
	v.buildkit(p.Buildkit)
	if len(p.Services) == 0 {
		v.report("services", "", "needs at least one service")
	}
	if len(p.Environments) == 0 {
		v.report("environments", "", "needs at least one environment")
	}
	for _, name := range sorted(p.Services) {
		v.service(name, p.Services[name])
	}
	for _, name := range sorted(p.Environments) {
		v.environment(name, p.Environments[name])
	}
	v.supply(p)
	v.variables(p)
	v.cycles()
	v.namespaces()
}

func (v *validator) constant(path, got, want string) {
	if got != want {
		v.report(path, "", "must be %s, not %q", want, got)
	}
}

// label checks that a value can be a label of DNS, which is what Kubernetes takes as a namespace.
func (v *validator) label(path, value string) {
	if why := notLabel(value); why != "" {
		v.report(path, "", "%q %s", value, why)
	}
}

// notLabel says why a value is no DNS label, "" where it is one.
func notLabel(s string) string {
	if len(s) > 63 {
		return fmt.Sprintf("is %d characters long; at most 63 are allowed", len(s))
	}
	inner := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' }
	foreign := strings.ContainsFunc(s, func(r rune) bool { return !inner(r) })
	if s == "" || foreign || s[0] == '-' || s[len(s)-1] == '-' {
		return "is no DNS label: lower-case letters, digits and hyphens are allowed, and it begins and ends with a letter or digit"
	}
	return ""
}

// matches says whether a value has the form of a pattern, which is compiled once: hundreds of services ask for the same few.
func (v *validator) matches(pattern, s string) bool {
	if v.patterns[pattern] == nil {
		v.patterns[pattern] = regexp.MustCompile(pattern)
	}
	return v.patterns[pattern].MatchString(s)
}

func (v *validator) registry(path, s string) {
	const example = "write it as host[:port]/path, for example localhost:5000/calculator"
	form := regexp.MustCompile(`^[a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?(:[0-9]+)?(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*$`)
	switch {
	case strings.Contains(s, "://"):
		v.report(path, example, "%q has a scheme", s)
	case strings.Contains(s, "@"):
		v.report(path, example+"; credentials come from `docker login` and the like", "has an @, which no registry has")
	case !form.MatchString(s):
		v.report(path, example, "%q is no OCI repository prefix", s)
	}
}

// cycles reports each cycle of `after` once, naming it.
func (v *validator) cycles() {
	environments := v.file.Project.Environments
	done := map[string]bool{}
	var trail []string
	var visit func(name string)
	visit = func(name string) {
		if at := slices.Index(trail, name); at >= 0 {
			cycle := append(slices.Clone(trail[at:]), name)
			v.reportKey(child(child("environments", cycle[0]), "after"), "remove one of these links",
				"the path of a release is a cycle: %s", strings.Join(cycle, " after "))
			return
		}
		if done[name] {
			return
		}
		trail = append(trail, name)
		for _, before := range environments[name].After {
			visit(before)
		}
		trail = trail[:len(trail)-1]
		done[name] = true
	}
	for _, name := range sorted(environments) {
		visit(name)
	}
}

// namespaces reports environments that share a namespace: they would take each other's slots and records for their own.
func (v *validator) namespaces() {
	environments := v.file.Project.Environments
	names := sorted(environments)
	for i, name := range names {
		for _, other := range names[:i] {
			a, b := environments[name], environments[other]
			if a.Namespace != "" && a.Namespace == b.Namespace && sameCluster(a.Cluster, b.Cluster) {
				v.report(child(child("environments", name), "namespace"), "give each environment its own namespace",
					"is the namespace of %s too, in the same cluster", other)
				break
			}
		}
	}
}

func sameCluster(a, b v1alpha1.Cluster) bool {
	if a == (v1alpha1.Cluster{}) {
		return false // not known, which has been reported
	}
	if a.Identity != "" && b.Identity != "" {
		return a.Identity == b.Identity
	}
	if a.AKS != nil && b.AKS != nil {
		return strings.EqualFold(a.AKS.ID(), b.AKS.ID()) // Azure's names know no case
	}
	return a.AKS == b.AKS && a.Context == b.Context && a.Kubeconfig == b.Kubeconfig && a.InCluster == b.InCluster
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
