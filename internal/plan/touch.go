package plan

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
)

// touch is what the changes mean for the services, by their place among the sorted names.
type touch struct {
	changed   int
	unclaimed []string
	paths     []int
	reasons   [][]Reason
}

func (t *touch) add(service int, r Reason) {
	t.paths[service]++
	if len(t.reasons[service]) < maxReasons {
		t.reasons[service] = append(t.reasons[service], r)
	}
}

// touched finds the services that the changed paths belong to.
func touched(in Input, names []string, rules index) touch {
	t := touch{paths: make([]int, len(names)), reasons: make([][]Reason, len(names))}
	for _, c := range distinct(in.Changes, in.Checkout.Uncommitted) {
		t.changed++
		if c.Path == in.File {
			t.file(in, names)
			continue
		}
		claimed := false
		for service, r := range rules.match(c.Path, c.Folder) {
			if !r.exclude {
				claimed = true
				t.add(service, Reason{Path: c.Path, Rule: r.why})
			}
		}
		if !claimed {
			t.unclaimed = append(t.unclaimed, c.Path)
		}
	}
	return t
}

// file touches the services whose part of sluice.yaml changed.
func (t *touch) file(in Input, names []string) {
	var everybody string
	switch {
	case in.Before == nil:
		everybody = "what changed in it cannot be told"
	case in.Before.Registry != in.Project.Registry:
		everybody = "registry changed"
	default:
		everybody = changedEnvironment(in.Before.Environments, in.Project.Environments)
	}
	for i, name := range names {
		why := everybody
		if why == "" {
			before, there := in.Before.Services[name]
			switch {
			case !there:
				why = "services." + name + " is new"
			case !reflect.DeepEqual(before, in.Project.Services[name]):
				why = "services." + name + " changed"
			}
		}
		if why != "" {
			t.add(i, Reason{Path: in.File, Rule: why})
		}
	}
}

// changedEnvironment names the first environment that is another one than before: every release carries all of them.
func changedEnvironment(before, now map[string]v1alpha1.Environment) string {
	all := maps.Clone(before)
	if all == nil {
		all = map[string]v1alpha1.Environment{}
	}
	maps.Copy(all, now)
	for _, name := range sorted(all) {
		was, there := before[name]
		is, still := now[name]
		switch {
		case !there:
			return "environments." + name + " is new"
		case !still:
			return "environments." + name + " is gone"
		case !reflect.DeepEqual(was, is):
			return "environments." + name + " changed"
		}
	}
	return ""
}

// distinct joins lists of changes in the order of the paths; what is in both counts once.
func distinct(lists ...[]build.Change) []build.Change {
	all := slices.Concat(lists...)
	slices.SortStableFunc(all, func(a, b build.Change) int { return cmp.Compare(a.Path, b.Path) })
	return slices.CompactFunc(all, func(a, b build.Change) bool { return a.Path == b.Path })
}

func asked(services []string, name string) bool {
	return len(services) == 0 || slices.Contains(services, name)
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// shortList names the first few.
func shortList(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
