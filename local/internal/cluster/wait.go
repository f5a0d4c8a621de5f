package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/sluice-dev/sluice/local/internal/kubeapi"
)

// errNotYet says that something is under way, without anything wrong to report.
var errNotYet = errors.New("not there yet")

// errEnded says that a daemon ended that should run.
var errEnded = errors.New("ended while waiting")

const (
	pollInterval = 100 * time.Millisecond
	probeTimeout = 2 * time.Second
)

// await asks until the answer is nil, the context ends or a daemon dies; the last answer is in its error.
func (n *Node) await(ctx context.Context, what string, patience time.Duration, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("gave up after %s", patience))
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		attempt, done := context.WithTimeout(ctx, probeTimeout)
		err := probe(attempt)
		done()
		if err == nil {
			return nil
		}
		if dead := n.firstDead(); dead != "" {
			return fmt.Errorf("%s: %s %w; its last words are in %s", what, dead, errEnded, n.table.Log(dead))
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
				return fmt.Errorf("%s: %w: %w (logs are in %s)", what, cause, err, n.settings.layout().logs())
			}
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// answers probes an HTTP address for any status below 500.
func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode >= http.StatusInternalServerError {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		return nil
	}
}

// connects probes a Unix socket.
func connects(path string) func(context.Context) error {
	return func(ctx context.Context) error {
		var dialer net.Dialer
		connection, err := dialer.DialContext(ctx, "unix", path)
		if err != nil {
			return err
		}
		return connection.Close()
	}
}

// resolves asks the cluster's name server, through its Service, for the API server's Service: this needs the name server,
// the API behind it, and a kube-proxy that has programmed Services.
func (s Settings) resolves(ctx context.Context) error {
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, net.JoinHostPort(s.dnsService().String(), "53"))
	}}
	addresses, err := resolver.LookupHost(ctx, "kubernetes.default.svc."+clusterDomain+".")
	var problem *net.DNSError
	if errors.As(err, &problem) {
		// Its text names the machine's own name server, which was not asked.
		return fmt.Errorf("Service %s of the name server: %s", s.dnsService(), problem.Err)
	}
	if err != nil {
		return err
	}
	if len(addresses) != 1 || addresses[0] != s.apiService().String() {
		return fmt.Errorf("name server answers %v for the API server, want %s", addresses, s.apiService())
	}
	return nil
}

// condition is one of the conditions in an object's status.
type condition struct {
	Type               string `json:"type"`
	Status             string `json:"status"`
	Reason             string `json:"reason"`
	Message            string `json:"message"`
	ObservedGeneration int64  `json:"observedGeneration"`
}

type conditioned struct {
	Metadata struct {
		Generation int64 `json:"generation"`
	} `json:"metadata"`
	Status struct {
		Conditions []condition `json:"conditions"`
		NodeInfo   struct {
			KubeletVersion string `json:"kubeletVersion"`
		} `json:"nodeInfo"`
	} `json:"status"`
}

// hasCondition is nil if the object at path has the condition with status True.
func hasCondition(ctx context.Context, api *kubeapi.Client, path, name string) error {
	var found conditioned
	if err := api.Get(ctx, path, &found); err != nil {
		return err
	}
	for _, each := range found.Status.Conditions {
		if each.Type != name {
			continue
		}
		if each.Status == "True" {
			return nil
		}
		return fmt.Errorf("%s is %s: %s %s", name, each.Status, each.Reason, each.Message)
	}
	return fmt.Errorf("%w: %s has no condition %s", errNotYet, path, name)
}

func (s Settings) nodePath() string { return "/api/v1/nodes/" + s.Name }

func gatewayPath() string {
	return "/apis/gateway.networking.k8s.io/v1/namespaces/" + systemNamespace + "/gateways/" + gatewayName
}
