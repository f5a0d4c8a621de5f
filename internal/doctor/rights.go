package doctor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/rbac"
)

// Access is one right in one place, and whether it is there.
type Access struct {
	rbac.Right
	// Namespace is "" for what belongs to no namespace.
	Namespace string
	// Useful says that a deployment goes on without it, and tells less or later.
	Useful bool
	// Allowed is what the cluster answered, Reason why; Err why it could not be asked.
	Allowed bool
	Reason  string
	Err     error
}

// Wanted are the rights to ask for, each once: always are those without which no deployment ends well, brought those to what charts bring
// along; those of the environment's gates and references, and those that are only useful come to them.
func Wanted(env v1alpha1.Environment, always []rbac.Right, brought []Access) []Access {
	var all []Access
	add := func(a Access) {
		if !slices.ContainsFunc(all, func(b Access) bool {
			return a.Namespace == b.Namespace && a.Verb == b.Verb && a.Group == b.Group && a.Resource == b.Resource && a.Name == b.Name
		}) {
			all = append(all, a)
		}
	}
	for _, right := range append(slices.Clone(always), gateRights(env)...) {
		add(Access{Right: right, Namespace: env.Namespace})
	}
	for _, a := range append(referenceRights(env), brought...) {
		add(a)
	}
	for _, right := range rbac.Rights(rbac.Deploy().For(rbac.Better)) {
		add(Access{Right: right, Namespace: env.Namespace, Useful: true})
	}
	return all
}

// referenceRights are what it takes to let the cluster read variables.
func referenceRights(env v1alpha1.Environment) []Access {
	if env.References == nil || env.References.ExternalSecrets == nil {
		return nil
	}
	var wanted []Access
	for _, right := range rbac.Rights(rbac.Deploy().For(rbac.References)) {
		one := Access{Right: right, Namespace: env.Namespace}
		if right.Resource == "secretstores" && env.References.ExternalSecrets.Kind == v1alpha1.KindClusterSecretStore {
			one.Resource, one.Name, one.Namespace = "clustersecretstores", env.References.ExternalSecrets.Store, ""
		}
		wanted = append(wanted, one)
	}
	return wanted
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
func gateRights(env v1alpha1.Environment) []rbac.Right {
	gates := slices.Clone(env.Gates)
	if env.Strategy.Canary != nil {
		for _, step := range env.Strategy.Canary.Steps {
			gates = append(gates, step.Gates...)
		}
	}
	var wanted []rbac.Right
	for _, right := range rbac.Rights(rbac.Deploy().For(rbac.Gates)) {
		if slices.ContainsFunc(gates, func(g v1alpha1.Gate) bool {
			if right.Resource == "services/proxy" {
				return g.HTTP != nil && proxied(env, *g.HTTP) && proxyVerb(g.HTTP.Method) == right.Verb
			}
			return g.HelmTest != nil
		}) {
			wanted = append(wanted, right)
		}
	}
	return wanted
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

// lack is what is missing of one resource.
type lack struct {
	Access
	verbs, whys, reasons []string
}

// lacks are the rights that are missing, those of one resource together.
func lacks(all []Access) []*lack {
	var found []*lack
	for _, a := range all {
		if a.Allowed || a.Err != nil {
			continue
		}
		at := slices.IndexFunc(found, func(l *lack) bool {
			return l.Namespace == a.Namespace && l.Group == a.Group && l.Resource == a.Resource && l.Name == a.Name && l.Useful == a.Useful
		})
		if at < 0 {
			at = len(found)
			found = append(found, &lack{Access: a})
		}
		l := found[at]
		l.verbs = append(l.verbs, a.Verb)
		if !slices.Contains(l.whys, a.Why) {
			l.whys = append(l.whys, a.Why)
		}
		if a.Reason != "" && !slices.Contains(l.reasons, a.Reason) {
			l.reasons = append(l.reasons, a.Reason)
		}
	}
	return found
}

// rights explains what the credentials may do, against what a deployment needs.
func rights(f Facts) Section {
	s := Section{Name: "rights"}
	if f.Cluster.Access == nil {
		s.Findings = []Finding{{Code: "rights", Severity: Skipped, Title: "not looked at, for nobody is logged in to the cluster"}}
		return s
	}
	missing := lacks(f.Cluster.Access)
	for _, l := range missing {
		s.Findings = append(s.Findings, lacking(l))
	}
	if at := slices.IndexFunc(f.Cluster.Access, func(a Access) bool { return a.Err != nil }); at >= 0 {
		a := f.Cluster.Access[at]
		found := failed("whether one may "+a.Right.String()+", and perhaps more, could not be found out", a.Err)
		found.Code = "rights.unknown"
		s.Findings = append(s.Findings, found)
	}
	if len(s.Findings) == 0 {
		s.Findings = []Finding{{Code: "rights", Severity: OK, Title: fmt.Sprintf("all %d that a deployment needs are there", len(f.Cluster.Access))}}
	}
	for _, n := range f.Cluster.Notes {
		s.Findings = append(s.Findings, Finding{Code: "rights.chart", Severity: Warning, Title: n.Title}.seen(n.Says).next(n.Next))
	}
	s.Next = granting(f, missing)
	return s
}

func lacking(l *lack) Finding {
	where := " in " + l.Namespace
	if l.Namespace == "" {
		where = " in the cluster"
	}
	what := rbac.Qualified(l.Group, l.Resource)
	if l.Name != "" {
		what += " " + l.Name
	}
	found := bad("may not %s %s%s", strings.Join(l.verbs, ", "), what, where)
	found.Code = "rights.missing"
	use := "needed for: "
	if l.Useful {
		found.Severity, use = Warning, "useful for: "
	}
	return found.seen(use + strings.Join(l.whys, "; ")).seen(l.reasons...)
}

// granting says how somebody gets what is missing.
func granting(f Facts, missing []*lack) []string {
	if slices.ContainsFunc(missing, func(l *lack) bool {
		return slices.ContainsFunc(l.reasons, func(r string) bool { return strings.Contains(r, "in Azure") })
	}) {
		return azureRoles(f)
	}
	var steps, places []string
	for _, l := range missing {
		if slices.Contains(places, l.Namespace) {
			continue
		}
		places = append(places, l.Namespace)
		what := "somebody who may grant rights in " + l.Namespace + " runs, with a context of theirs for " + f.Cluster.Server + ", to give all that a deployment needs there:\n"
		if l.Namespace == "" {
			what = outside(f, missing)
		}
		steps = append(steps, what+apply(f, l.Namespace))
	}
	if len(steps) > 0 && onAzure(f.Cluster) {
		steps = append(steps, "the members of these groups of Entra ID may do everything in the cluster, and grant it: az aks show "+named(f.Cluster.Azure)+" --query aadProfile.adminGroupObjectIDs")
	}
	return steps
}

// outside says who gives what is missing in no namespace, and for what: the way to a store, which has a name, the ingress controller, whose pods
// are looked for everywhere, and what charts bring.
func outside(f Facts, missing []*lack) string {
	way, counted, brought := false, false, false
	for _, l := range missing {
		switch {
		case l.Namespace != "":
		case l.Name != "":
			way = true
		case l.Group == "" && slices.Contains([]string{"pods", "pods/proxy", "services"}, l.Resource):
			counted = true
		default:
			brought = true
		}
	}
	who := "somebody who may grant rights in the whole cluster runs, with a context of theirs for " + f.Cluster.Server + ":\n"
	if counted {
		who = "the analysis looks for the ingress controller in all namespaces, unless analysis.source.ingress.namespace names one: " + who
	}
	switch {
	case way && brought:
		return "references are read by a ClusterSecretStore, and the charts bring objects; neither belongs to a namespace: " + who
	case way:
		return "references are read by a ClusterSecretStore, which belongs to no namespace: " + who
	case brought && !counted:
		return "the charts bring objects that belong to no namespace. Somebody else installs those, or gives these rights:\n"
	case brought:
		return "the charts bring objects that belong to no namespace; " + who
	}
	return who
}

// azureRoles says how somebody gets rights that Azure keeps, and not the cluster.
func azureRoles(f Facts) []string {
	id := f.Cluster.Azure
	if id == "" {
		id = "$(az aks show " + named("") + " --query id --output tsv)"
	}
	return []string{
		fmt.Sprintf("the cluster asks Azure what somebody may do. Somebody who may assign roles runs:\naz role assignment create --assignee %s --role \"Azure Kubernetes Service RBAC Writer\" --scope %s/namespaces/%s", f.Cluster.user(), id, f.Namespace),
		"kinds that were added to the cluster, such as HTTPRoutes, need the role \"Azure Kubernetes Service RBAC Admin\" there",
	}
}

func (c Cluster) user() string {
	if c.Login == nil || c.Login.User == "" {
		return "USER"
	}
	return c.Login.User
}

// apply is the command that gives whoever is logged in all that was asked about in a namespace. Its objects are named after that person:
// what others have stays as it is, and what was given before comes again.
func apply(f Facts, namespace string) string {
	user := f.Cluster.user()
	sum := sha256.Sum256([]byte(user + " " + f.Environment))
	name, kind := "sluice-"+hex.EncodeToString(sum[:4]), "Role"
	meta := fmt.Sprintf("{name: %s, namespace: %s}", name, namespace)
	if namespace == "" {
		kind, meta = "ClusterRole", fmt.Sprintf("{name: %s}", name)
	}
	var b strings.Builder
	b.WriteString("kubectl apply -f - <<'END'\n")
	fmt.Fprintf(&b, "apiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata: %s\nrules:\n", kind, meta)
	for _, r := range rules(f.Cluster.Access, namespace) {
		fmt.Fprintf(&b, "- %s\n", r)
	}
	fmt.Fprintf(&b, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: %sBinding\nmetadata: %s\n", kind, meta)
	fmt.Fprintf(&b, "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %s, name: %s}\nsubjects:\n- %s\nEND", kind, name, subject(user))
	return b.String()
}

// rules are those of a Role that gives all rights in a namespace.
func rules(all []Access, namespace string) []string {
	var order []string
	verbs := map[string][]string{}
	for _, a := range all {
		if a.Namespace != namespace {
			continue
		}
		what := fmt.Sprintf("apiGroups: [%q], resources: [%s]", a.Group, a.Resource)
		if a.Name != "" {
			what += fmt.Sprintf(", resourceNames: [%q]", a.Name)
		}
		if verbs[what] == nil {
			order = append(order, what)
		}
		verbs[what] = append(verbs[what], a.Verb)
	}
	for i, what := range order {
		order[i] = fmt.Sprintf("{%s, verbs: [%s]}", what, strings.Join(verbs[what], ", "))
	}
	return order
}

func subject(user string) string {
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		if namespace, name, ok := strings.Cut(account, ":"); ok {
			return fmt.Sprintf("{kind: ServiceAccount, name: %s, namespace: %s}", name, namespace)
		}
	}
	return fmt.Sprintf("{apiGroup: rbac.authorization.k8s.io, kind: User, name: %q}", user)
}
