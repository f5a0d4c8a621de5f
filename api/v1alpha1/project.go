package v1alpha1

import "slices"

// Project is the content of a sluice.yaml: what is built, and where it goes.
type Project struct {
	// APIVersion is sluice.dev/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind is Project.
	Kind string `json:"kind"`
	// Name of the project in reports.
	Name string `json:"name"`
	// Registry is the OCI repository prefix under which images, charts and releases are pushed, for example localhost:5000/calculator.
	Registry string `json:"registry"`
	// Buildkit is the address of the BuildKit that builds Dockerfiles, for example unix:///run/buildkit/buildkitd.sock, tcp://builder:1234, docker-container://name, or docker for Docker's own. A tcp:// address says how TLS is spoken behind a ?: tcp://builder:1234?tlscacert=ca.pem&tlscert=cert.pem&tlskey=key.pem, and tlsservername=name; files are relative to sluice.yaml. Default: $BUILDKIT_HOST, then Docker's own, then the local cluster's.
	Buildkit string `json:"buildkit,omitempty"`
	// Services by name.
	Services map[string]Service `json:"services"`
	// Environments by name.
	Environments map[string]Environment `json:"environments"`
	// Signing says with which key releases are signed. Default: they are not.
	Signing *Signing `json:"signing,omitempty"`
	// Verify says what a release must prove before it may be deployed, in environments that do not say so themselves. Default: nothing.
	Verify *Verification `json:"verify,omitempty"`
	// Scan says how images are searched for vulnerabilities. Default: they are not.
	Scan *Scan `json:"scan,omitempty"`
}

// Service is one deployable microservice: sources, images and one chart.
type Service struct {
	// Paths a change of which touches the service, beside what its own keys name (the folders of its images and its chart, the values files
	// of the environments): files, folders and patterns, relative to sluice.yaml. `*` and `?` stand for parts of a name, `**` for any number of
	// folders; a folder stands for all below it. A path behind a `!` is taken out again, also of what the other keys name; the last one that matches counts.
	// Default: nothing more, and in a file with one service the whole folder of sluice.yaml.
	Paths []string `json:"paths,omitempty"`
	// Images by the name under which the chart's values refer to them.
	Images map[string]Image `json:"images,omitempty"`
	// Chart is the folder of the Helm chart, relative to sluice.yaml.
	Chart string `json:"chart"`
	// ImageValues maps an image's name to the path in the chart's values that takes its full reference (repository@digest).
	ImageValues map[string]string `json:"imageValues,omitempty"`
	// SlotValues maps a path in the chart's values to a template over .Service and .Slot, for charts whose names do not derive from the release name.
	SlotValues map[string]string `json:"slotValues,omitempty"`
	// Shared names objects ("Kind/name") that both slots use and that exist once, in the Helm release <service>-shared.
	Shared []string `json:"shared,omitempty"`
	// PerSlot names volumes ("PersistentVolumeClaim/name") of which each slot may have its own, empty at first: caches and scratch space.
	// A volume that is listed neither here nor under shared is refused with two slots, for the new version would start without its data.
	PerSlot []string `json:"perSlot,omitempty"`
	// Variables that the service takes of its environment's store, by name. They have the same name in every environment; the store differs.
	Variables map[string]Variable `json:"variables,omitempty"`
	// VariableValues says where the chart wants to be told about variables.
	VariableValues *VariableValues `json:"variableValues,omitempty"`
}

// Environment is a place where services run: cluster, namespace, values, strategy and gates.
type Environment struct {
	// After names the environments a release must have been verified in before it may come here.
	After []string `json:"after,omitempty"`
	// Cluster that holds the environment.
	Cluster Cluster `json:"cluster"`
	// Registry is the OCI repository prefix that the environment's cluster pulls from, for example registry.example.com/prod. A release is
	// copied there by digest, with its images, chart and all that refers to them, before it is deployed. Default: where it was built.
	Registry string `json:"registry,omitempty"`
	// Namespace of the cluster; no other environment may share it.
	Namespace string `json:"namespace"`
	// Values are Helm values files, relative to sluice.yaml, later ones winning.
	Values []string `json:"values,omitempty"`
	// Entry is the URL at which users reach the service; gates and the last line of the output use it.
	Entry string `json:"entry,omitempty"`
	// Variables says which secure store holds the environment's variables. Default: none, which only services without variables can do with.
	Variables *VariableStore `json:"variables,omitempty"`
	// References says what reads, in the cluster, the variables that services take as reference. Default: nothing, which only environments of services without them can do with.
	References *References `json:"references,omitempty"`
	// Strategy says how a release takes over.
	Strategy Strategy `json:"strategy"`
	// Gates asked of the new version before users see it, and at every step.
	Gates []Gate `json:"gates,omitempty"`
	// Analysis judges the requests of the new version against those of the live one, at every step. Default: only gates are asked.
	Analysis *Analysis `json:"analysis,omitempty"`
	// Timeout is how long the deployment may take until its pods are ready. Default 5m.
	Timeout Duration `json:"timeout,omitempty"`
	// Verify says what a release must prove before it may come here, in place of what the project says.
	Verify *Verification `json:"verify,omitempty"`
}

// Files are those, relative to sluice.yaml, that a release carries for the environment: values, encrypted variables, certificates of a
// store of variables.
func (e Environment) Files() []string {
	files := slices.Clone(e.Values)
	if e.Variables == nil {
		return files
	}
	if e.Variables.SOPS != "" {
		files = append(files, e.Variables.SOPS)
	}
	if e.Variables.Vault != nil && e.Variables.Vault.CAFile != "" {
		files = append(files, e.Variables.Vault.CAFile)
	}
	return files
}

// Cluster names a Kubernetes cluster; the current context is never used by accident. Exactly one of context, inCluster and aks is set.
type Cluster struct {
	// Context of the kubeconfig.
	Context string `json:"context,omitempty"`
	// Kubeconfig is a path. Default: $KUBECONFIG, then ~/.kube/config; for the context sluice-local also the local cluster's own file.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// InCluster uses the service account of the pod that sluice runs in, instead of a context.
	InCluster bool `json:"inCluster,omitempty"`
	// AKS finds a cluster of Azure Kubernetes Service by its name in Azure, and signs in as whoever the run is: no kubeconfig is needed,
	// and none is written.
	AKS *AKS `json:"aks,omitempty"`
	// Identity is the API server's URL or the UID of the kube-system namespace; verified before the first write.
	// Where it is missing it is pinned at the first rollout.
	Identity string `json:"identity,omitempty"`
}

// AKS names a cluster of Azure Kubernetes Service.
type AKS struct {
	// Subscription is the id of the Azure subscription, as 11111111-2222-3333-4444-555555555555.
	Subscription string `json:"subscription"`
	// ResourceGroup that holds the cluster.
	ResourceGroup string `json:"resourceGroup"`
	// Name of the managed cluster.
	Name string `json:"name"`
	// RunCommand says when requests are carried by the run-command API of AKS instead of the network: never, always, or as fallback, when
	// the API server is private and cannot be reached. It is slow: every request takes seconds. Default fallback.
	RunCommand RunCommand `json:"runCommand,omitempty"`
}

// RunCommand says when the run-command API of AKS carries requests.
type RunCommand string

// The times.
const (
	RunCommandNever    RunCommand = "never"
	RunCommandFallback RunCommand = "fallback"
	RunCommandAlways   RunCommand = "always"
)

// ID is the id of the cluster's resource in Azure.
func (a AKS) ID() string {
	return "/subscriptions/" + a.Subscription + "/resourceGroups/" + a.ResourceGroup + "/providers/Microsoft.ContainerService/managedClusters/" + a.Name
}
