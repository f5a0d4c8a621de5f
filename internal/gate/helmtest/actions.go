package helmtest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// newActions is Helm's configuration for one run; no request begins after ctx, and none writes that mayWrite refuses.
func newActions(ctx context.Context, mayWrite func() error, config *rest.Config, namespace string, log slog.Handler) (*action.Configuration, error) {
	bound := rest.CopyConfig(config)
	// Helm creates and deletes without a context.
	bound.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &bounded{ctx: ctx, mayWrite: mayWrite, next: next}
	})
	client, err := kubernetes.NewForConfig(bound)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	cached, err := discovery.NewDiscoveryClientForConfig(bound)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	getter := &getter{config: bound, namespace: namespace, discovery: memory.NewMemCacheClient(cached)}
	helm := kube.New(getter)
	helm.SetLogger(log)
	helm.Namespace = namespace
	secrets := driver.NewSecrets(client.CoreV1().Secrets(namespace))
	secrets.SetLogger(log)
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(log))
	cfg.RESTClientGetter, cfg.KubeClient, cfg.Releases = getter, helm, storage.Init(&readOnly{Driver: secrets})
	cfg.Releases.SetLogger(log)
	// Logs are evidence, and read by the gate itself.
	cfg.HookOutputFunc = func(_, _, _ string) io.Writer { return io.Discard }
	return cfg, nil
}

// readOnly keeps Helm from writing what its tests came to into the release: it would write back, minutes later, the whole
// revision as it was when the tests began, over whatever a rollback has made of it since.
type readOnly struct{ driver.Driver }

// Update changes nothing.
func (*readOnly) Update(string, release.Releaser) error { return nil }

// Query is what Helm finds a release's revisions with. Tests are told to delete what an earlier run left behind, which
// may have been killed before it could do so itself.
func (d *readOnly) Query(labels map[string]string) ([]release.Releaser, error) {
	found, err := d.Driver.Query(labels)
	for _, f := range found {
		rel, ok := f.(*releasev1.Release)
		if !ok {
			continue
		}
		for _, hook := range rel.Hooks {
			if isTest(hook) && !slices.Contains(hook.DeletePolicies, releasev1.HookBeforeHookCreation) {
				hook.DeletePolicies = append(hook.DeletePolicies, releasev1.HookBeforeHookCreation)
			}
		}
	}
	return found, err
}

// bounded begins no request once its context is over, and no write that is refused.
type bounded struct {
	ctx      context.Context
	mayWrite func() error
	next     http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := b.ctx.Err(); err != nil {
		return nil, err
	}
	if request.Method != http.MethodGet {
		if err := b.mayWrite(); err != nil {
			return nil, err
		}
	}
	return b.next.RoundTrip(request)
}

// getter gives Helm its clients.
type getter struct {
	config    *rest.Config
	namespace string
	discovery discovery.CachedDiscoveryInterface
}

// ToRESTConfig implements genericclioptions.RESTClientGetter.
func (g *getter) ToRESTConfig() (*rest.Config, error) { return g.config, nil }

// ToDiscoveryClient implements genericclioptions.RESTClientGetter.
func (g *getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.discovery, nil
}

// ToRESTMapper implements genericclioptions.RESTClientGetter.
func (g *getter) ToRESTMapper() (meta.RESTMapper, error) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(g.discovery)
	return restmapper.NewShortcutExpander(mapper, g.discovery, nil), nil
}

// ToRawKubeConfigLoader implements genericclioptions.RESTClientGetter; only its namespace is looked at.
func (g *getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	o := &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: g.namespace}}
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), o)
}
