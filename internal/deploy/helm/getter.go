package helm

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// helmManager is the field manager of the objects in Helm releases. It is Helm's own, so that fields which a chart drops
// disappear also where plain Helm wrote them, and plain Helm can go on after Sluice.
const helmManager = "helm"

// getter gives Helm its clients: one REST configuration, one discovery cache, one namespace.
type getter struct {
	config    *rest.Config
	namespace string

	mu        sync.Mutex
	discovery discovery.CachedDiscoveryInterface
	mapper    meta.RESTMapper
}

// newGetter makes clients whose requests end with ctx; fence says before a write whether it is still allowed.
func newGetter(ctx context.Context, config *rest.Config, namespace string, fence func() error) *getter {
	c := rest.CopyConfig(config)
	g := &guard{ctx: ctx, fence: fence, looked: time.Now()}
	c.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &guarded{guard: g, next: next}
	})
	return &getter{config: c, namespace: namespace}
}

// ToRESTConfig implements genericclioptions.RESTClientGetter.
func (g *getter) ToRESTConfig() (*rest.Config, error) { return g.config, nil }

// ToDiscoveryClient implements genericclioptions.RESTClientGetter.
func (g *getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.discovery == nil {
		client, err := discovery.NewDiscoveryClientForConfig(g.config)
		if err != nil {
			return nil, err
		}
		g.discovery = memory.NewMemCacheClient(client)
	}
	return g.discovery, nil
}

// ToRESTMapper implements genericclioptions.RESTClientGetter.
func (g *getter) ToRESTMapper() (meta.RESTMapper, error) {
	d, err := g.ToDiscoveryClient()
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mapper == nil {
		g.mapper = restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(d), d, nil)
	}
	return g.mapper, nil
}

// ToRawKubeConfigLoader implements genericclioptions.RESTClientGetter; only its namespace is looked at.
func (g *getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	o := &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: g.namespace}}
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), o)
}

func (g *getter) dynamic() (dynamic.Interface, error) { return dynamic.NewForConfig(g.config) }

// stale is how long a session trusts its last look at who holds the lease.
const stale = 2 * time.Second

// guard ends all requests with the call they belong to, for Helm goes on in the background when its context ends. And it
// looks again, before a write that comes after a pause, whether a newer driver has been here: a process that was frozen
// in the middle of an act must change nothing when it wakes.
type guard struct {
	ctx   context.Context
	fence func() error

	mu     sync.Mutex
	looked time.Time
}

// guarded is a client's transport behind the session's guard.
type guarded struct {
	guard *guard
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.guard.ctx.Err(); err != nil {
		return nil, err
	}
	if req.Method != http.MethodGet {
		if err := t.guard.look(); err != nil {
			return nil, err
		}
	}
	return t.next.RoundTrip(req)
}

func (g *guard) look() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.looked) < stale {
		return nil
	}
	if err := g.fence(); err != nil {
		return err
	}
	g.looked = time.Now()
	return nil
}

// capabilities are asked of the cluster once per call.
type capabilities struct {
	getter *getter
	found  *common.Capabilities
}

func (c *capabilities) get() (*common.Capabilities, error) {
	if c.found != nil {
		return c.found, nil
	}
	d, err := c.getter.ToDiscoveryClient()
	if err != nil {
		return nil, err
	}
	version, err := d.ServerVersion()
	if err != nil {
		return nil, err
	}
	apis, err := action.GetVersionSet(d)
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, err
	}
	c.found = &common.Capabilities{
		APIVersions: apis,
		KubeVersion: common.KubeVersion{Version: version.GitVersion, Major: version.Major, Minor: version.Minor},
		HelmVersion: common.DefaultCapabilities.HelmVersion,
	}
	return c.found, nil
}

func newActions(s *session, labels map[string]string, caps *common.Capabilities) *action.Configuration {
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(s.log))
	client := kube.New(s.getter)
	client.SetLogger(s.log)
	client.Namespace = s.scope.Namespace
	cfg.RESTClientGetter = s.getter
	cfg.KubeClient = client
	cfg.Capabilities = caps.Copy()
	cfg.Releases = s.storage(labels)
	cfg.HookOutputFunc = func(_, _, _ string) io.Writer { return io.Discard }
	return cfg
}
