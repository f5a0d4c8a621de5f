package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-dev/sluice/local/internal/kubeapi"
	"github.com/sluice-dev/sluice/local/internal/process"
)

// Status is what a user or a program may know about a node. Its JSON names are stable.
type Status struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Running: all processes run. Ready: everything answers, too.
	Running bool `json:"running"`
	Ready   bool `json:"ready"`
	// Problems say why it is not ready.
	Problems []string `json:"problems,omitempty"`

	Node       string `json:"node,omitempty"`
	Version    string `json:"version,omitempty"`
	Kubeconfig string `json:"kubeconfig,omitempty"`
	Context    string `json:"context,omitempty"`
	Server     string `json:"server,omitempty"`
	// Registry is host:port as image references spell it, on the machine and in the cluster.
	Registry string `json:"registry,omitempty"`
	// Buildkit is the address of the node's BuildKit, where it has one.
	Buildkit     string   `json:"buildkit,omitempty"`
	EntryURLs    []string `json:"entryURLs,omitempty"`
	MetricsURL   string   `json:"metricsURL,omitempty"`
	StorageClass string   `json:"storageClass,omitempty"`
	IngressClass string   `json:"ingressClass,omitempty"`
	GatewayClass string   `json:"gatewayClass,omitempty"`
	// Gateway is namespace/name.
	Gateway string `json:"gateway,omitempty"`
	// Kubectl is a kubectl of the node's version.
	Kubectl string `json:"kubectl,omitempty"`
	// Processes has the pid of each daemon; 0 means that it does not run.
	Processes map[string]int `json:"processes,omitempty"`
	State     string         `json:"state"`
	Logs      string         `json:"logs,omitempty"`
	Cache     string         `json:"cache,omitempty"`
}

const (
	statusVersion = "local.sluice.dev/v1alpha1"
	statusKind    = "Status"
)

// Look finds out how the node in the state folder is. No node is a status, not an error.
func Look(ctx context.Context, state string) (Status, error) {
	found, err := load(state)
	if errors.Is(err, ErrNoNode) {
		return Status{APIVersion: statusVersion, Kind: statusKind, State: state, Problems: []string{"not running"}}, nil
	}
	if err != nil {
		return Status{}, err
	}
	s := found.Settings
	status := s.describe(found.Cache)
	if s.has(buildkit) {
		status.Buildkit = s.buildkit()
	}
	table := process.Table{Records: s.layout().processes(), Logs: s.layout().logs()}
	for _, name := range s.daemons() {
		running, err := table.Running(name)
		switch {
		case errors.Is(err, process.ErrGone):
			status.Problems = append(status.Problems, name+" does not run")
			status.Processes[name] = 0
		case err != nil:
			return Status{}, err
		default:
			status.Processes[name] = running.PID
		}
	}
	status.Running = len(status.Problems) == 0
	if status.Running {
		if err := s.probe(ctx, &status); err != nil {
			status.Problems = append(status.Problems, err.Error())
		}
	}
	status.Ready = len(status.Problems) == 0
	return status, nil
}

// describe fills in what follows from the settings.
func (s Settings) describe(cache string) Status {
	return Status{
		APIVersion: statusVersion, Kind: statusKind,
		Node: s.Name, Kubeconfig: s.layout().kubeconfig(), Context: s.Name, Server: s.apiServer(),
		Registry: s.registryHost(), EntryURLs: []string{s.entryURL()}, MetricsURL: s.metricsURL(),
		StorageClass: storageClass, IngressClass: ingressClass, GatewayClass: gatewayClass, Gateway: systemNamespace + "/" + gatewayName,
		Kubectl:   s.layout().kubectl(),
		Processes: map[string]int{}, State: s.State, Logs: s.layout().logs(), Cache: cache,
	}
}

// probe asks every part once.
func (s Settings) probe(ctx context.Context, status *Status) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	api, err := s.api()
	if err != nil {
		return err
	}
	defer api.Close()
	if status.Version, err = nodeVersion(ctx, api, s.nodePath()); err != nil {
		return fmt.Errorf("API server: %w", err)
	}
	for _, part := range []struct {
		name  string
		probe func(context.Context) error
	}{
		{"node", func(ctx context.Context) error { return hasCondition(ctx, api, s.nodePath(), "Ready") }},
		{"name server", s.resolves},
		{"entry point", answers(s.entryURL())},
		{"metrics", answers(s.podMetricsURL())},
		{"Gateway", func(ctx context.Context) error { return hasCondition(ctx, api, gatewayPath(), "Programmed") }},
		{"BuildKit", s.builds},
		{"registry", answers(fmt.Sprintf("http://127.0.0.1:%d/v2/", s.RegistryPort))},
	} {
		if err := part.probe(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// builds says whether the node's BuildKit listens; where it has none, nothing is missing.
func (s Settings) builds(ctx context.Context) error {
	if !s.has(buildkit) {
		return nil
	}
	return connects(s.layout().buildkitSocket())(ctx)
}

const statusTimeout = 3 * probeTimeout

func nodeVersion(ctx context.Context, api *kubeapi.Client, path string) (string, error) {
	var node conditioned
	if err := api.Get(ctx, path, &node); err != nil {
		return "", err
	}
	return node.Status.NodeInfo.KubeletVersion, nil
}
