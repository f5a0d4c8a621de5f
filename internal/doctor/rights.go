package doctor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Right is something that a deployment does in a cluster, as a rule of a Role has it.
type Right struct {
	Group string
	// Resource with its subresource: "pods/log".
	Resource string
	Verbs    []string
	// Names restrict it to objects; none: to all.
	Names []string
	// For says what it is needed for.
	For string
	// Cluster says that no Role gives it, but a ClusterRole.
	Cluster bool
	// Useful says that a deployment goes on without it, and knows less.
	Useful bool
}

// Rights are what `sluice deploy` needs in the namespace of an environment, beside what the charts of the services bring along.
func Rights(env v1alpha1.Environment) []Right {
	const gateway = "gateway.networking.k8s.io"
	rights := []Right{
		{Resource: "configmaps", Verbs: []string{"get", "list", "create", "patch", "delete"}, For: "the record of each rollout, the pin of the namespace to its cluster"},
		{Group: "coordination.k8s.io", Resource: "leases", Verbs: []string{"get", "create", "update", "delete"}, For: "the lock that lets one run at a time move a service"},
		{Resource: "secrets", Verbs: []string{"get", "list", "create", "update", "patch", "delete"}, For: "Helm's releases, the variables of the services"},
		{Resource: "services", Verbs: []string{"get", "list", "create", "update", "patch", "delete"}, For: "the Services of slots, the traffic of callers inside the cluster"},
		{Group: "apps", Resource: "deployments", Verbs: []string{"get", "list", "create", "patch", "delete"}, For: "the workloads of slots"},
		{Group: "apps", Resource: "deployments/scale", Verbs: []string{"patch"}, For: "freeing and restoring a slot"},
		{Group: "apps", Resource: "statefulsets", Verbs: []string{"list"}, For: "seeing whether a slot is ready"},
		{Group: "apps", Resource: "daemonsets", Verbs: []string{"list"}, For: "seeing whether a slot is ready"},
		{Resource: "pods", Verbs: []string{"get", "list"}, For: "seeing whether a slot is ready, and why not"},
		{Group: "discovery.k8s.io", Resource: "endpointslices", Verbs: []string{"list"}, For: "seeing who gets the traffic"},
		{Group: "autoscaling", Resource: "horizontalpodautoscalers", Verbs: []string{"list", "patch"}, For: "keeping the live slot from scaling down while its traffic goes elsewhere"},
		route("networking.k8s.io", "ingresses", router(env) == v1alpha1.RouterNginx),
		route(gateway, "httproutes", router(env) == v1alpha1.RouterGateway),
		{Resource: "pods/log", Verbs: []string{"get"}, For: "telling the last words of a container that failed", Useful: true},
		{Resource: "pods", Verbs: []string{"watch"}, For: "seeing changes at once", Useful: true},
		{Group: "apps", Resource: "deployments", Verbs: []string{"watch"}, For: "seeing changes at once", Useful: true},
		{Group: "discovery.k8s.io", Resource: "endpointslices", Verbs: []string{"watch"}, For: "seeing changes at once", Useful: true},
	}
	return append(rights, gateRights(env)...)
}

// route is the right to a kind of route: where it is the router's it is written, else only looked at before a slot is freed.
func route(group, resource string, routed bool) Right {
	if routed {
		return Right{Group: group, Resource: resource, Verbs: []string{"get", "list", "create", "update", "patch", "delete"}, For: "shifting traffic"}
	}
	return Right{Group: group, Resource: resource, Verbs: []string{"list"}, For: "seeing that no newer run has written a route"}
}

// router is the one that shifts the environment's traffic; "" where it is never shifted.
func router(env v1alpha1.Environment) v1alpha1.Router {
	switch {
	case env.Strategy.BlueGreen != nil:
		return env.Strategy.BlueGreen.Traffic.Router()
	case env.Strategy.Canary != nil:
		return env.Strategy.Canary.Traffic.Router()
	}
	return ""
}

// gateRights are what the environment's gates do in the cluster.
func gateRights(env v1alpha1.Environment) []Right {
	gates := slices.Clone(env.Gates)
	if env.Strategy.Canary != nil {
		for _, step := range env.Strategy.Canary.Steps {
			gates = append(gates, step.Gates...)
		}
	}
	var rights []Right
	for _, g := range gates {
		switch {
		case g.HelmTest != nil:
			rights = append(rights,
				Right{Resource: "pods", Verbs: []string{"create", "delete"}, For: "running Helm's tests"},
				Right{Group: "batch", Resource: "jobs", Verbs: []string{"get", "create", "delete"}, For: "running Helm's tests"},
				Right{Resource: "pods/log", Verbs: []string{"get"}, For: "telling what Helm's tests say"})
		case g.HTTP != nil && proxied(env, *g.HTTP):
			rights = append(rights, Right{Resource: "services/proxy", Verbs: []string{proxyVerb(g.HTTP.Method)}, For: "asking a slot that no route leads to"})
		}
	}
	return rights
}

// proxied says that a gate may ask through the API server: where no route leads to the slot, or it names a Service.
func proxied(env v1alpha1.Environment, g v1alpha1.HTTPGate) bool {
	if g.URL != "" {
		u, err := url.Parse(g.URL)
		return err == nil && (!strings.Contains(u.Hostname(), ".") && u.Hostname() != "localhost" || strings.HasSuffix(u.Hostname(), ".svc"))
	}
	switch router(env) {
	case v1alpha1.RouterService, v1alpha1.RouterNone:
		return true
	}
	return env.Entry == ""
}

// proxyVerb is what the API server calls a request of a method to a Service.
func proxyVerb(method string) string {
	switch strings.ToUpper(method) {
	case "POST":
		return "create"
	case "PUT":
		return "update"
	case "PATCH":
		return "patch"
	case "DELETE":
		return "delete"
	}
	return "get"
}

// Brought is the right to a kind of object that a chart brings along.
func Brought(group, resource, service string, cluster bool) Right {
	return Right{Group: group, Resource: resource, Verbs: []string{"get", "create", "patch", "delete"}, For: "the chart of " + service, Cluster: cluster}
}

// identityRight is the one to read which cluster this is.
func identityRight() Right {
	return Right{Resource: "namespaces", Verbs: []string{"get"}, Names: []string{"kube-system"}, For: "knowing which cluster this is", Cluster: true}
}

// Merged are rights with one entry for each resource: those that are only useful stay apart, and what is needed is not asked again as useful.
func Merged(rights []Right) []Right {
	var merged []Right
	at := func(r Right, useful bool) int {
		return slices.IndexFunc(merged, func(m Right) bool {
			return m.Group == r.Group && m.Resource == r.Resource && m.Cluster == r.Cluster && m.Useful == useful && slices.Equal(m.Names, r.Names)
		})
	}
	for _, useful := range []bool{false, true} {
		for _, r := range rights {
			if r.Useful != useful {
				continue
			}
			r.Verbs = slices.Clone(r.Verbs)
			if i := at(r, false); useful && i >= 0 {
				r.Verbs = slices.DeleteFunc(r.Verbs, func(v string) bool { return slices.Contains(merged[i].Verbs, v) })
			}
			i := at(r, useful)
			if i < 0 {
				if len(r.Verbs) > 0 {
					merged = append(merged, r)
				}
				continue
			}
			for _, v := range r.Verbs {
				if !slices.Contains(merged[i].Verbs, v) {
					merged[i].Verbs = append(merged[i].Verbs, v)
				}
			}
			if !strings.Contains(merged[i].For, r.For) {
				merged[i].For += ", " + r.For
			}
		}
	}
	return merged
}

// rights explains what the credentials may do, against what a deployment needs.
func rights(f Facts) Section {
	s := Section{Name: "rights"}
	if f.Cluster.Access == nil {
		s.Findings = []Finding{{Code: "rights", Severity: Skipped, Title: "not looked at, for nobody is logged in to the cluster"}}
		return s
	}
	asked, missing := 0, 0
	var reasons []string
	for _, a := range f.Cluster.Access {
		asked += len(a.Right.Verbs)
		missing += len(a.Missing)
		if len(a.Missing) > 0 || a.Err != nil {
			s.Findings = append(s.Findings, lacking(a, f.Namespace))
			reasons = append(reasons, a.Reasons...)
		}
	}
	if len(s.Findings) == 0 {
		s.Findings = []Finding{{Code: "rights", Severity: OK, Title: fmt.Sprintf("all %d that a deployment needs are there", asked)}}
	}
	s.Findings = append(s.Findings, noted(f.Cluster.Notes)...)
	if missing > 0 {
		s.Next = granting(f, reasons)
	}
	return s
}

// noted are the findings of what was met on the way.
func noted(notes []Note) []Finding {
	var found []Finding
	for _, n := range notes {
		found = append(found, Finding{Code: "rights.chart", Severity: Warning, Title: n.Title}.seen(n.Says).next(n.Next))
	}
	return found
}

func lacking(a Access, namespace string) Finding {
	what := a.Right.Resource
	if a.Right.Group != "" {
		what += "." + a.Right.Group
	}
	where := " in " + namespace
	if a.Right.Cluster {
		where = " in the cluster"
	}
	if a.Err != nil {
		found := failed("whether "+what+" may be used"+where+" could not be found out", a.Err)
		found.Code = "rights.unknown"
		return found
	}
	found := bad("may not %s %s%s", strings.Join(a.Missing, ", "), what, where).seen("needed for " + a.Right.For).seen(a.Reasons...)
	if a.Right.Useful {
		found.Severity = Warning
		found.Evidence[0] = "useful for " + a.Right.For
	}
	found.Code = "rights.missing"
	return found
}

// granting says how somebody gets what is missing.
func granting(f Facts, reasons []string) []string {
	if slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(r, "in Azure") }) {
		return azureRoles(f)
	}
	var here, everywhere []Right
	for _, a := range f.Cluster.Access {
		if a.Right.Cluster {
			everywhere = append(everywhere, a.Right)
		} else {
			here = append(here, a.Right)
		}
	}
	steps := []string{}
	lacks := func(cluster bool) bool {
		return slices.ContainsFunc(f.Cluster.Access, func(a Access) bool { return a.Right.Cluster == cluster && len(a.Missing) > 0 })
	}
	if lacks(false) {
		steps = append(steps, "somebody who may grant rights there runs, with a context of theirs for "+f.Cluster.Server+", to give all that a deployment needs:\n"+apply(f, "Role", here))
	}
	if lacks(true) {
		steps = append(steps, "the charts bring objects that belong to no namespace. Somebody else installs those, or gives these rights:\n"+apply(f, "ClusterRole", everywhere))
	}
	return steps
}

// azureRoles says how somebody gets rights that Azure keeps, and not the cluster.
func azureRoles(f Facts) []string {
	who, id := f.Cluster.user(), f.Cluster.Azure
	if id == "" {
		id = "$(az aks show --resource-group RESOURCE_GROUP --name CLUSTER --query id --output tsv)"
	}
	return []string{
		fmt.Sprintf("the cluster asks Azure what somebody may do. Somebody who may assign roles runs:\naz role assignment create --assignee %s --role \"Azure Kubernetes Service RBAC Writer\" --scope %s/namespaces/%s", who, id, f.Namespace),
		"kinds that were added to the cluster, such as HTTPRoutes, need the role \"Azure Kubernetes Service RBAC Admin\" there",
	}
}

func (c Cluster) user() string {
	if c.Login == nil {
		return "USER"
	}
	return c.Login.User
}

// apply is the command that gives rights to whoever is logged in. Its objects are named after that person: what others have stays as it is.
func apply(f Facts, kind string, rights []Right) string {
	user := f.Cluster.user()
	sum := sha256.Sum256([]byte(user))
	meta := fmt.Sprintf("{name: sluice-%s, namespace: %s}", hex.EncodeToString(sum[:4]), f.Namespace)
	if kind == "ClusterRole" {
		meta = fmt.Sprintf("{name: sluice-%s-%s}", f.Namespace, hex.EncodeToString(sum[:4]))
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(meta, "{name: "), ",")
	name = strings.TrimSuffix(name, "}")
	var b strings.Builder
	b.WriteString("kubectl apply -f - <<'END'\n")
	fmt.Fprintf(&b, "apiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata: %s\nrules:\n", kind, meta)
	for _, r := range rights {
		fmt.Fprintf(&b, "- %s\n", rule(r))
	}
	fmt.Fprintf(&b, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: %sBinding\nmetadata: %s\n", kind, meta)
	fmt.Fprintf(&b, "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %s, name: %s}\nsubjects:\n- %s\nEND", kind, name, subject(user))
	return b.String()
}

// rule is a right as a Role has it.
func rule(r Right) string {
	names := ""
	if len(r.Names) > 0 {
		names = fmt.Sprintf(", resourceNames: [%s]", strings.Join(r.Names, ", "))
	}
	return fmt.Sprintf("{apiGroups: [%q], resources: [%s], verbs: [%s]%s}", r.Group, r.Resource, strings.Join(r.Verbs, ", "), names)
}

func subject(user string) string {
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		if namespace, name, ok := strings.Cut(account, ":"); ok {
			return fmt.Sprintf("{kind: ServiceAccount, name: %s, namespace: %s}", name, namespace)
		}
	}
	return fmt.Sprintf("{apiGroup: rbac.authorization.k8s.io, kind: User, name: %q}", user)
}
