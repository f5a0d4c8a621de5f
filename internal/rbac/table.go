package rbac

const (
	apps        = "apps"
	autoscaling = "autoscaling"
	batch       = "batch"
	networking  = "networking.k8s.io"
	gatewayAPI  = "gateway.networking.k8s.io"
	operator    = "external-secrets.io"
)

// View is for those who look: status of rollouts and their history, but no Secret.
func View() Role {
	return Role{
		Name: "sluice-view", File: "view.yaml", About: "look at rollouts: sluice status, sluice history. No Secret can be read with it.",
		Rules: []Rule{
			{Use: Every, Why: "the records of rollouts, the pin of the cluster's identity", Resources: []string{"configmaps"}, Verbs: []string{"get", "list"}},
			{Use: Every, Why: "who drives a rollout", Group: "coordination.k8s.io", Resources: []string{"leases"}, Verbs: []string{"get"}},
		},
	}
}

// Deploy is for whoever deploys, rolls back, aborts, resumes and removes in one namespace.
func Deploy() Role {
	return Role{
		Name: "sluice-deploy", File: "deploy.yaml",
		About: "deploy, roll back, abort, resume and uninstall services of one namespace. Whoever may make pods in a namespace can read all its\n" +
			"Secrets and act as all its service accounts: this role can, as any that deploys with Helm.",
		Rules: append(own(), chart()...),
	}
}

// own are the rights for what Sluice itself writes and looks at.
func own() []Rule {
	return []Rule{
		{Use: Every, Why: "the records of rollouts, the pin of the cluster's identity, the routes of slots", Resources: []string{"configmaps"},
			Verbs: []string{"get", "list", "create", "patch", "delete"}},
		{Use: Every, Why: "one rollout at a time", Group: "coordination.k8s.io", Resources: []string{"leases"}, Verbs: []string{"get", "create", "update", "delete"}},
		{Use: Every, Why: "Helm's releases, variables", Resources: []string{"secrets"}, Verbs: []string{"get", "list", "create", "update", "patch", "delete"}},
		{Use: Every, Why: "what is ready", Resources: []string{"pods", "services"}, Verbs: []string{"list"}},
		{Use: Every, Why: "what is ready", Group: "discovery.k8s.io", Resources: []string{"endpointslices"}, Verbs: []string{"list"}},
		{Use: Every, Why: "what is ready", Group: apps, Resources: []string{"deployments", "statefulsets", "daemonsets"}, Verbs: []string{"list"}},
		{Use: Every, Why: "who wrote routes last", Group: networking, Resources: []string{"ingresses"}, Verbs: []string{"list"}},
		{Use: Every, Why: "who wrote routes last", Group: gatewayAPI, Resources: []string{"httproutes"}, Verbs: []string{"list"}},
		{Use: Slots, Why: "the Services that both slots share", Resources: []string{"services"}, Verbs: []string{"get", "create", "update", "patch", "delete"}},
		{Use: Slots, Why: "free the pods of a slot, and bring them back", Group: apps, Resources: []string{"deployments/scale"}, Verbs: []string{"patch"}},
		{Use: Slots, Why: "keep the size of the live slot while traffic moves", Group: autoscaling, Resources: []string{"horizontalpodautoscalers"}, Verbs: []string{"list", "patch"}},
		{Use: Nginx, Why: "move traffic", Group: networking, Resources: []string{"ingresses"}, Verbs: []string{"get", "create", "update", "patch", "delete"}},
		{Use: Gateway, Why: "move traffic", Group: gatewayAPI, Resources: []string{"httproutes"}, Verbs: []string{"get", "create", "update", "patch", "delete"}},
		{Use: References, Why: "variables that only the cluster reads", Group: operator, Resources: []string{"externalsecrets"},
			Verbs: []string{"get", "list", "create", "patch", "delete"}},
		{Use: References, Why: "where the cluster reads them", Group: operator, Resources: []string{"secretstores"}, Verbs: []string{"get"}},
		{Use: Better, Why: "what failing pods said last", Resources: []string{"pods/log"}, Verbs: []string{"get"}},
		{Use: Better, Why: "hear of a change at once", Resources: []string{"pods"}, Verbs: []string{"watch"}},
		{Use: Better, Why: "hear of a change at once", Group: apps, Resources: []string{"deployments"}, Verbs: []string{"watch"}},
		{Use: Better, Why: "hear of a change at once", Group: "discovery.k8s.io", Resources: []string{"endpointslices"}, Verbs: []string{"watch"}},
		{Use: Gates, Why: "gates of http that have no way from outside; each method has a verb: GET and HEAD get, POST create, PUT update",
			Resources: []string{"services/proxy"}, Verbs: []string{"get", "create", "update", "patch", "delete"}},
		{Use: Gates, Why: "the tests of charts", Resources: []string{"pods"}, Verbs: []string{"get"}},
		{Use: Gates, Why: "the tests of charts", Group: batch, Resources: []string{"jobs"}, Verbs: []string{"get"}},
	}
}

// ObjectVerbs are what Helm does with the objects of a chart, HookVerbs with those that are hooks or tests: it waits for their end.
func ObjectVerbs() []string { return []string{"get", "create", "patch", "delete"} }

// HookVerbs are ObjectVerbs and what waiting takes.
func HookVerbs() []string { return append(ObjectVerbs(), "list", "watch") }

// chart are the rights for the kinds that the charts of services usually hold. Another kind is one more such rule.
func chart() []Rule {
	const why = "in charts"
	return []Rule{
		{Use: Chart, Why: why, Resources: []string{"configmaps", "secrets", "services", "serviceaccounts", "persistentvolumeclaims"}, Verbs: ObjectVerbs()},
		{Use: Chart, Why: why, Group: apps, Resources: []string{"deployments", "statefulsets", "daemonsets"}, Verbs: ObjectVerbs()},
		{Use: Chart, Why: why, Group: batch, Resources: []string{"cronjobs"}, Verbs: ObjectVerbs()},
		{Use: Chart, Why: why, Group: autoscaling, Resources: []string{"horizontalpodautoscalers"}, Verbs: ObjectVerbs()},
		{Use: Chart, Why: why, Group: "policy", Resources: []string{"poddisruptionbudgets"}, Verbs: ObjectVerbs()},
		{Use: Chart, Why: why, Group: networking, Resources: []string{"ingresses", "networkpolicies"}, Verbs: ObjectVerbs()},
		{Use: Chart, Why: why, Group: gatewayAPI, Resources: []string{"httproutes"}, Verbs: ObjectVerbs()},
		{Use: Chart, Why: "hooks and tests of charts", Resources: []string{"pods"}, Verbs: HookVerbs()},
		{Use: Chart, Why: "hooks and tests of charts", Group: batch, Resources: []string{"jobs"}, Verbs: HookVerbs()},
	}
}

// Ingress lets analyses read the metrics of the ingress controller's pods. It is a ClusterRole so that it can be bound for the whole cluster as
// well as in the one namespace that an environment names.
func Ingress() Role {
	return Role{
		Name: "sluice-ingress", File: "ingress.yaml", Cluster: true,
		About: "for environments with an analysis that reads the ingress controller's metrics. Bind it with a RoleBinding in the namespace that\n" +
			"analysis.source.ingress.namespace names, or with a ClusterRoleBinding where none is named. Whoever has it can send GET to every port of\n" +
			"every pod there.",
		Rules: []Rule{
			{Use: Counts, Why: "find the ingress controller, for an analysis", Resources: []string{"pods", "services"}, Verbs: []string{"list"}},
			{Use: Counts, Why: "read the ingress controller's metrics, for an analysis", Resources: []string{"pods/proxy"}, Verbs: []string{"get"}},
		},
	}
}

// Identity lets a namespace be tied to a cluster by the UID of kube-system, which no two clusters share.
func Identity() Role {
	return Role{
		Name: "sluice-identity", File: "cluster.yaml", Cluster: true,
		About: "optional: know a cluster by the UID of its namespace kube-system. Without it a cluster is known by the URL of its API server.",
		Rules: []Rule{{Use: Better, Why: "its UID is the cluster's name", Resources: []string{"namespaces"}, Names: []string{"kube-system"}, Verbs: []string{"get"}}},
	}
}

// Namespaces lets a deployment make the namespace that it goes into.
func Namespaces() Role {
	return Role{
		Name: "sluice-namespaces", File: "cluster.yaml", Cluster: true,
		About: "optional: make namespaces that are missing. It gives no right in them: bind sluice-deploy there, or for all namespaces.\n" +
			"Without it somebody else makes the namespace.",
		Rules: []Rule{{Use: Better, Why: "make the environment's namespace", Resources: []string{"namespaces"}, Verbs: []string{"get", "create"}}},
	}
}
