// Package rbac says which rights Sluice needs in a cluster, and for what; it must not ask a cluster.
package rbac

import (
	"slices"
	"strings"
)

// Use is which deployments need a rule.
type Use string

// The uses. A deployment is refused before it begins where it lacks a right for Every, for its strategy, for its router and for its analysis;
// whether it has those for what its chart holds is looked at kind by kind.
const (
	// Every deployment and removal needs it.
	Every Use = "every"
	// Slots need it: blueGreen and canary.
	Slots Use = "slots"
	// Nginx and Gateway need it: slots with that router.
	Nginx   Use = "nginx"
	Gateway Use = "gateway"
	// Chart needs it where it holds such an object.
	Chart Use = "chart"
	// Gates need it: those that look at pods of tests, or reach a Service through the API server.
	Gates Use = "gates"
	// References need it: variables that only the cluster reads.
	References Use = "references"
	// Counts needs it: an analysis that reads the ingress controller's metrics in the cluster, where those pods are.
	Counts Use = "counts"
	// Better says that all works without it, only later or with fewer words.
	Better Use = "better"
)

// Rule is a right: verbs on resources of one API group.
type Rule struct {
	// Why is one line for people.
	Why string
	// Group is the API group; "" is the core.
	Group string
	// Resources are plural names, subresources as in pods/log.
	Resources []string
	// Names are the objects that the rule is limited to; none: all of them.
	Names []string
	Verbs []string
	Use   Use
}

// Role is a set of rules that is given as a whole.
type Role struct {
	Name string
	// File below docs/operations/rbac that holds it.
	File string
	// About says what its holder can do, for people.
	About string
	// Cluster says that it is bound for the whole cluster, and not in a namespace.
	Cluster bool
	Rules   []Rule
}

// Kind is the Kubernetes kind of the role.
func (r Role) Kind() string {
	if r.Cluster {
		return "ClusterRole"
	}
	return "Role"
}

// Roles are all there are, in the order in which one would give them.
func Roles() []Role { return []Role{View(), Deploy(), Ingress(), Identity(), Namespaces()} }

// For returns the rules of a role that some uses need.
func (r Role) For(uses ...Use) []Rule {
	var out []Rule
	for _, rule := range r.Rules {
		if slices.Contains(uses, rule.Use) {
			out = append(out, rule)
		}
	}
	return out
}

// Grant is what an identity may do, as an authorizer tells it: "*" stands for all.
type Grant struct {
	Groups, Resources, Names, Verbs []string
}

// Right is one verb on one resource.
type Right struct {
	Verb, Group, Resource, Name string
	// Why is that of the rule it comes from.
	Why string
}

func (r Right) String() string {
	s := r.Verb + " " + Qualified(r.Group, r.Resource)
	if r.Name != "" {
		s += " " + r.Name
	}
	return s
}

// Qualified is how kubectl writes a resource: with its group behind it, before the subresource.
func Qualified(group, resource string) string {
	if group == "" {
		return resource
	}
	name, sub, ok := strings.Cut(resource, "/")
	if ok {
		sub = "/" + sub
	}
	return name + "." + group + sub
}

// Rights are the single rights of rules, each once, in their order.
func Rights(rules []Rule) []Right {
	var out []Right
	known := map[Right]bool{}
	for _, rule := range rules {
		names := rule.Names
		if len(names) == 0 {
			names = []string{""}
		}
		for _, resource := range rule.Resources {
			for _, name := range names {
				for _, verb := range rule.Verbs {
					right := Right{Verb: verb, Group: rule.Group, Resource: resource, Name: name}
					if !known[right] {
						known[right] = true
						right.Why = rule.Why
						out = append(out, right)
					}
				}
			}
		}
	}
	return out
}

// Missing are the rights that no grant gives.
func Missing(grants []Grant, wanted []Right) []Right {
	var out []Right
	for _, right := range wanted {
		if !slices.ContainsFunc(grants, func(g Grant) bool { return g.gives(right) }) {
			out = append(out, right)
		}
	}
	return out
}

func (g Grant) gives(r Right) bool {
	return has(g.Verbs, r.Verb) && has(g.Groups, r.Group) && hasResource(g.Resources, r.Resource) &&
		(len(g.Names) == 0 || r.Name != "" && slices.Contains(g.Names, r.Name))
}

func has(list []string, want string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, want)
}

// hasResource knows that */scale means the scale of everything.
func hasResource(list []string, want string) bool {
	if has(list, want) {
		return true
	}
	_, sub, ok := strings.Cut(want, "/")
	return ok && slices.Contains(list, "*/"+sub)
}

// Summary names rights for people, those of one resource on one line: "get, list secrets".
func Summary(rights []Right) []string {
	var order []string
	verbs, why := map[string][]string{}, map[string]string{}
	for _, r := range rights {
		resource := strings.TrimPrefix(r.String(), r.Verb+" ")
		if _, known := verbs[resource]; !known {
			order = append(order, resource)
			why[resource] = r.Why
		}
		verbs[resource] = append(verbs[resource], r.Verb)
	}
	lines := make([]string, 0, len(order))
	for _, resource := range order {
		line := strings.Join(verbs[resource], ", ") + " " + resource
		if why[resource] != "" {
			line += " (" + why[resource] + ")"
		}
		lines = append(lines, line)
	}
	return lines
}
