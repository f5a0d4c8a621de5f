package traffic_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/traffic"
	"github.com/sluice-dev/sluice/internal/traffic/gateway"
	"github.com/sluice-dev/sluice/internal/traffic/nginx"
	"github.com/sluice-dev/sluice/internal/traffic/service"
	"github.com/sluice-dev/sluice/internal/traffic/traffictest"
)

const (
	blue   = v1alpha1.SlotBlue
	green  = v1alpha1.SlotGreen
	direct = v1alpha1.SlotDirect
)

// bench is a router over the fake API server, with a clock that stands still until it is moved.
type bench struct {
	server *apiServer
	now    time.Time
	router traffic.Router
	target traffic.Target
}

func newBench(t *testing.T, kind v1alpha1.Router) *bench {
	t.Helper()
	b := &bench{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	clock := func() time.Time { return b.now }
	b.server = newAPIServer(clock)
	client, err := kubernetes.NewForConfig(b.server.config())
	if err != nil {
		t.Fatal(err)
	}
	callers := service.New(client, clock)
	b.target = traffic.Target{
		Service: "shop", Environment: "test", Namespace: "shop-test", Convergence: 5 * time.Second,
		Routes: map[v1alpha1.Slot]v1alpha1.Routes{blue: routes(blue, kind), green: routes(green, kind)},
	}
	switch kind {
	case v1alpha1.RouterNginx:
		b.router = nginx.New(client, callers, clock)
	case v1alpha1.RouterGateway:
		documents, err := dynamic.NewForConfig(b.server.config())
		if err != nil {
			t.Fatal(err)
		}
		b.router = gateway.New(documents, callers, clock)
	default:
		b.router = callers
	}
	for _, slot := range v1alpha1.Slots() {
		b.endpoints("shop-web-"+string(slot), true)
		b.endpoints("shop-api-"+string(slot), true)
	}
	return b
}

// endpoints says whether a Service has a ready pod.
func (b *bench) endpoints(service string, ready bool) {
	b.server.put("endpointslices", fmt.Sprintf(`{"metadata":{"name":%q,"labels":{"kubernetes.io/service-name":%q}},"addressType":"IPv4",
		"endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":%t}}]}`, service, service, ready))
}

// routes are those of a chart with two Services and one route to both.
func routes(slot v1alpha1.Slot, kind v1alpha1.Router) v1alpha1.Routes {
	r := v1alpha1.Routes{Services: []v1alpha1.StableService{stable("shop-web", slot), stable("shop-api", slot)}}
	switch kind {
	case v1alpha1.RouterNginx:
		r.Objects = []v1alpha1.RouteObject{ingress("shop", "shop.test", map[string]string{"/": "shop-web", "/api": "shop-api", "/auth": "sso"})}
	case v1alpha1.RouterGateway:
		r.Objects = []v1alpha1.RouteObject{httpRoute("shop", "shop.test", map[string]string{"/": "shop-web", "/api": "shop-api", "/auth": "sso"})}
	}
	return r
}

func stable(name string, slot v1alpha1.Slot) v1alpha1.StableService {
	return v1alpha1.StableService{Name: name, SlotService: name + "-" + string(slot), Manifest: []byte(fmt.Sprintf(
		`{"apiVersion":"v1","kind":"Service","metadata":{"name":%q,"labels":{"app":"shop"}},
		  "spec":{"selector":{"app":%q,"release":%q},"ports":[{"name":"http","port":80,"targetPort":"http"}]}}`,
		name, name, slot.HelmRelease("shop")))}
}

func ingress(name, host string, paths map[string]string) v1alpha1.RouteObject {
	var list []string
	for _, path := range []string{"/", "/api", "/auth", "/new"} {
		if paths[path] != "" {
			list = append(list, fmt.Sprintf(`{"path":%q,"pathType":"Prefix","backend":{"service":{"name":%q,"port":{"number":80}}}}`, path, paths[path]))
		}
	}
	return v1alpha1.RouteObject{Kind: "Ingress", Name: name, Manifest: []byte(fmt.Sprintf(
		`{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":%q,"namespace":"shop-test","labels":{"app":"shop"},
		  "annotations":{"nginx.ingress.kubernetes.io/proxy-body-size":"8m","cert-manager.io/issuer":"ours"}},
		  "spec":{"ingressClassName":"nginx","tls":[{"hosts":[%q],"secretName":"shop-tls"}],"rules":[{"host":%q,"http":{"paths":[%s]}}]}}`,
		name, host, host, strings.Join(list, ",")))}
}

func httpRoute(name, host string, paths map[string]string) v1alpha1.RouteObject {
	var rules []string
	for _, path := range []string{"/", "/api", "/auth", "/new"} {
		if paths[path] != "" {
			rules = append(rules, fmt.Sprintf(`{"matches":[{"path":{"type":"PathPrefix","value":%q}}],"backendRefs":[{"name":%q,"port":80}]}`, path, paths[path]))
		}
	}
	return v1alpha1.RouteObject{Kind: "HTTPRoute", Name: name, Manifest: []byte(fmt.Sprintf(
		`{"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute","metadata":{"name":%q,"namespace":"shop-test","labels":{"app":"shop"}},
		  "spec":{"parentRefs":[{"name":"sluice","namespace":"sluice-system"}],"hostnames":[%q],"rules":[%s]}}`,
		name, host, strings.Join(rules, ",")))}
}

func TestContract(t *testing.T) {
	for _, kind := range []v1alpha1.Router{v1alpha1.RouterService, v1alpha1.RouterNginx, v1alpha1.RouterGateway} {
		t.Run(string(kind), func(t *testing.T) {
			traffictest.Contract(t, func(t *testing.T) traffictest.Subject {
				b := newBench(t, kind)
				b.server.seen = func() { b.alwaysServed(t) }
				return traffictest.Subject{
					Router: b.router, Target: b.target, AllOrNothing: kind == v1alpha1.RouterService,
					Advance: func(*testing.T) { b.now = b.now.Add(6 * time.Second) },
					Break:   func(_ *testing.T, n int) { b.server.allow(n) },
				}
			})
		})
	}
}

// alwaysServed looks at the objects themselves after each write: beside a canary there is a main route.
func (b *bench) alwaysServed(t *testing.T) {
	if b.server.get("ingresses", "shop-canary") != nil && b.server.get("ingresses", "shop") == nil {
		t.Errorf("a canary Ingress stands without a main one")
	}
}
