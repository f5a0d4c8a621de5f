package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

const (
	// reachTimeout is how long the API server may take for its first answer.
	reachTimeout = 5 * time.Second
	// qps and burst are high: the machine observes every second, and the API server has its own fairness.
	qps   = 200
	burst = 400
	// LocalContext is the context of the cluster that `sluice local up` runs.
	LocalContext = "sluice-local"
)

// cluster is a connection whose API server has answered.
type cluster struct {
	config *rest.Config
	client kubernetes.Interface
	// interval is how long to rest at least between two looks, where looking takes long.
	interval time.Duration
	identity
}

// connect opens the cluster that an environment names, never the current context, and asks who it is.
func (a *App) connect(ctx context.Context, environment string, spec v1alpha1.Cluster) (*cluster, error) {
	config, interval, err := a.way(ctx, environment, spec)
	if err != nil {
		return nil, err
	}
	a.keepCredentials(config)
	config.QPS, config.Burst = qps, burst
	config.UserAgent = "sluice"
	config.WarningHandler = rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fault.New(fault.Usage, "connect to the cluster of environment "+environment, "%w", err)
	}
	c := &cluster{config: config, client: client, interval: interval, identity: identity{server: normalURL(config.Host)}}
	c.uid, err = c.reach(ctx)
	if err != nil {
		return nil, c.unreachable(ctx, environment, spec, err)
	}
	return c, nil
}

// reach asks for the UID of the kube-system namespace. Where that is forbidden the cluster is reached, but its UID stays unknown.
func (c *cluster) reach(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	system, err := c.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	switch {
	case err == nil:
		return string(system.UID), nil
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		return "", nil
	}
	return "", err
}

// patience is how long the API server may take for its first answer.
func (c *cluster) patience() time.Duration {
	if c.interval > 0 {
		return slowReach
	}
	return reachTimeout
}

func (c *cluster) unreachable(ctx context.Context, environment string, spec v1alpha1.Cluster, err error) error {
	op, host := "connect to the cluster of environment "+environment, c.config.Host
	var known *fault.Error
	switch {
	case ctx.Err() != nil:
		return fault.Wrap(fault.Interrupted, op, ctx.Err())
	case errors.As(err, &known):
		// The way to the API server has said what is the matter with it.
		return fault.Wrap(known.Kind, op, known)
	case apierrors.IsUnauthorized(err):
		return fault.New(fault.Unreachable, op, "the API server %s refuses the credentials of %s", host, describeCluster(spec)).
			WithHint("log in again, or name another cluster in environments.%s.cluster", environment)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Unreachable, op, "the API server %s did not answer within %s", host, c.patience()).
			WithHint("is the cluster up, and is this network allowed to reach it?")
	}
	var request *url.Error
	if errors.As(err, &request) {
		// Which path was asked for first says nothing to a person.
		err = request.Err
	}
	f := fault.New(fault.Unreachable, op, "the API server %s cannot be reached: %w", host, err)
	if spec.Context == LocalContext {
		return f.WithHint("`sluice local up` starts the local cluster")
	}
	return f.WithHint("is the cluster up, and does %s lead to it?", describeCluster(spec))
}

func describeCluster(spec v1alpha1.Cluster) string {
	if spec.InCluster {
		return "the pod's service account"
	}
	if spec.AKS != nil {
		return "AKS cluster " + spec.AKS.Name
	}
	return fmt.Sprintf("context %q", spec.Context)
}

func (a *App) restConfig(ctx context.Context, environment string, spec v1alpha1.Cluster) (*rest.Config, error) {
	op := "cluster of environment " + environment
	if spec.InCluster {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fault.New(fault.Unreachable, op, "inCluster is set, but this is no pod with a service account: %w", err)
		}
		return config, nil
	}
	if spec.Context == "" {
		return nil, fault.New(fault.Usage, op, "no context is named, and the current one is never used").
			WithHint("set environments.%s.cluster.context, or give --context", environment)
	}
	rules, raw, err := a.kubeconfig(spec)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	if _, ok := raw.Contexts[spec.Context]; !ok {
		if spec.Context != LocalContext || spec.Kubeconfig != "" {
			return nil, noContext(op, spec.Context, rules, raw)
		}
		if rules, raw, err = a.loadLocal(ctx); err != nil {
			return nil, err
		}
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*raw, spec.Context, &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		return nil, fault.New(fault.Usage, op, "context %q: %w", spec.Context, err)
	}
	return config, nil
}

// kubeconfig loads the file the environment names, else $KUBECONFIG and ~/.kube/config. Files that do not exist are empty, but a named one must.
func (a *App) kubeconfig(spec v1alpha1.Cluster) (*clientcmd.ClientConfigLoadingRules, *clientcmdapi.Config, error) {
	if spec.Kubeconfig == "" {
		rules := clientcmd.NewDefaultClientConfigLoadingRules()
		// Loading must not write: the default rules would move files of old versions.
		rules.MigrationRules = nil
		rules.WarnIfAllMissing = false
		raw, err := rules.Load()
		if err != nil {
			return nil, nil, fmt.Errorf("read kubeconfig: %w", err)
		}
		return rules, raw, nil
	}
	return loadKubeconfig(a.path(spec.Kubeconfig))
}

func loadKubeconfig(path string) (*clientcmd.ClientConfigLoadingRules, *clientcmdapi.Config, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fault.New(fault.NotFound, "read kubeconfig", "%s does not exist", path)
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: path}
	raw, err := rules.Load()
	if err != nil {
		return nil, nil, fmt.Errorf("read kubeconfig %s: %w", path, err)
	}
	return rules, raw, nil
}

// path resolves ~ and paths relative to the project.
func (a *App) path(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, ok := a.lookup("HOME"); ok {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(a.o.Dir, path)
}

func (a *App) lookup(name string) (string, bool) {
	if a.o.LookupEnv == nil {
		return "", false
	}
	value, ok := a.o.LookupEnv(name)
	return value, ok && value != ""
}

func noContext(op, name string, rules *clientcmd.ClientConfigLoadingRules, raw *clientcmdapi.Config) error {
	f := fault.New(fault.NotFound, op, "no context %q in %s", name, strings.Join(rules.GetLoadingPrecedence(), ", "))
	names := make([]string, 0, len(raw.Contexts))
	for context := range raw.Contexts {
		names = append(names, context)
	}
	if len(names) == 0 {
		return f.WithHint("no context is known there; log in to the cluster first, or give --kubeconfig")
	}
	slices.Sort(names)
	return f.WithHint("known: %s", strings.Join(names, ", "))
}
