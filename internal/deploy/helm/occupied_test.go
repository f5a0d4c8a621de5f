package helm

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

func route(t *testing.T, text string) object {
	t.Helper()
	objects, err := parseDocuments("r.yaml", text)
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	return objects[0]
}

func TestWhichRoutesCompete(t *testing.T) {
	ingress := func(head, host, path string) string {
		return fmt.Sprintf(`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {%s rules: [{host: "other"}, {host: %q, http: {paths: [%s]}}]}}`, head, host, path)
	}
	httpRoute := func(parent, hosts, rules string) string {
		return fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: a}, spec: {parentRefs: [%s], %s rules: [%s]}}`, parent, hosts, rules)
	}
	const (
		root   = `{path: /, pathType: Prefix}`
		nginx  = `ingressClassName: nginx,`
		gw     = `{name: gw}`
		shop   = `hostnames: [shop.test],`
		header = `{matches: [{headers: [{name: Canary, value: always}]}]}`
	)
	for _, c := range []struct {
		name, a, b, want string
	}{
		{"the same host and path", ingress(nginx, "shop.test", root), ingress(nginx, "shop.test", root), "host shop.test, path / (Prefix)"},
		{"the same host in capitals", ingress(nginx, "shop.test", root), ingress(nginx, "Shop.Test", root), "host shop.test, path / (Prefix)"},
		{"any host", ingress(nginx, "", root), ingress(nginx, "", root), "any host, path / (Prefix)"},
		{"another host", ingress(nginx, "shop.test", root), ingress(nginx, "web.test", root), ""},
		{"a host within any", ingress(nginx, "shop.test", root), ingress(nginx, "", root), ""},
		{"another path", ingress(nginx, "shop.test", root), ingress(nginx, "shop.test", `{path: /api, pathType: Prefix}`), ""},
		{"one of several paths", ingress(nginx, "shop.test", `{path: /x, pathType: Exact}, {path: /api, pathType: Prefix}`),
			ingress(nginx, "shop.test", `{path: /api/, pathType: Prefix}`), "host shop.test, path /api (Prefix)"},
		{"another type of path", ingress(nginx, "shop.test", root), ingress(nginx, "shop.test", `{path: /, pathType: Exact}`), ""},
		{"a slash at the end of an exact path", ingress(nginx, "shop.test", `{path: /a, pathType: Exact}`), ingress(nginx, "shop.test", `{path: /a/, pathType: Exact}`), ""},
		{"another class", ingress(nginx, "shop.test", root), ingress("ingressClassName: internal,", "shop.test", root), ""},
		{"a class that the cluster fills in", ingress("", "shop.test", root), ingress(nginx, "shop.test", root), "host shop.test, path / (Prefix)"},

		{"the same HTTPRoute", httpRoute(gw, shop, `{}`), httpRoute(gw, shop, `{matches: [{path: {type: PathPrefix, value: /}}]}`), "host shop.test, path / (PathPrefix)"},
		{"no rules", httpRoute(gw, shop, ``), httpRoute(gw, shop, `{}`), "host shop.test, path / (PathPrefix)"},
		{"the namespace spelt out", httpRoute(gw, shop, `{}`), httpRoute(`{name: gw, namespace: shop-dev, kind: Gateway, group: gateway.networking.k8s.io}`, shop, `{}`), "host shop.test, path / (PathPrefix)"},
		{"another Gateway", httpRoute(gw, shop, `{}`), httpRoute(`{name: other}`, shop, `{}`), ""},
		{"a Gateway elsewhere", httpRoute(gw, shop, `{}`), httpRoute(`{name: gw, namespace: other}`, shop, `{}`), ""},
		{"a listener of it", httpRoute(gw, shop, `{}`), httpRoute(`{name: gw, sectionName: https}`, shop, `{}`), "host shop.test, path / (PathPrefix)"},
		{"two listeners", httpRoute(`{name: gw, sectionName: http}`, shop, `{}`), httpRoute(`{name: gw, sectionName: https}`, shop, `{}`), ""},
		{"two ports", httpRoute(`{name: gw, port: 80}`, shop, `{}`), httpRoute(`{name: gw, port: 443}`, shop, `{}`), ""},
		{"another host name", httpRoute(gw, shop, `{}`), httpRoute(gw, `hostnames: [web.test],`, `{}`), ""},
		{"one of two host names", httpRoute(gw, `hostnames: [web.test, shop.test],`, `{}`), httpRoute(gw, shop, `{}`), "host shop.test, path / (PathPrefix)"},
		{"only those with a header", httpRoute(gw, shop, `{}`), httpRoute(gw, shop, header), ""},
		{"both only those with a header", httpRoute(gw, shop, header), httpRoute(gw, shop, `{matches: [{headers: [{name: canary, value: always, type: Exact}]}]}`),
			"host shop.test, path / (PathPrefix), header canary: always (Exact)"},
		{"another method", httpRoute(gw, shop, `{matches: [{method: GET}]}`), httpRoute(gw, shop, `{matches: [{method: POST}]}`), ""},
		{"another parameter", httpRoute(gw, shop, `{matches: [{queryParams: [{name: a, value: b}]}]}`), httpRoute(gw, shop, `{matches: [{queryParams: [{name: a, value: c}]}]}`), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := route(t, c.a), route(t, c.b)
			for range 2 {
				at, ok := meeting(a, b, "shop-dev")
				if ok != (c.want != "") || ok && at.String() != c.want {
					t.Errorf("compete: %v at %q, want %q", ok, at, c.want)
				}
				a, b = b, a
			}
		})
	}
}

// namespaceOf is a session whose API server answers lists of Ingresses with status and body, and counts them.
func namespaceOf(t *testing.T, status int, body string) (*session, *int) {
	t.Helper()
	asked := new(int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked++
		w.Header().Set("Content-Type", "application/json")
		if r.Method != http.MethodGet || r.URL.Path != "/apis/networking.k8s.io/v1/namespaces/shop-dev/ingresses" {
			status, body = http.StatusBadRequest, r.Method+" "+r.URL.Path
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	s := offline(history{})
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"}, meta.RESTScopeNamespace)
	s.ctx, s.getter.config, s.getter.mapper = context.Background(), &rest.Config{Host: server.URL}, mapper
	return s, asked
}

// ingresses is a list with one Ingress that serves the chart's host, with the given metadata.
func ingresses(metadata string) string {
	return `{"apiVersion":"networking.k8s.io/v1","kind":"IngressList","metadata":{},"items":[{"apiVersion":"networking.k8s.io/v1","kind":"Ingress",
"metadata":{"name":"web","namespace":"shop-dev"` + metadata + `},"spec":{"ingressClassName":"nginx","rules":[{"host":"shop.localhost","http":{"paths":[
{"path":"/","pathType":"Prefix","backend":{"service":{"name":"web","port":{"number":80}}}}]}}]}}]}`
}

func TestAFirstInstallationLeavesServedHostsAlone(t *testing.T) {
	ofRelease := func(name string) string {
		return `,"annotations":{"meta.helm.sh/release-name":"` + name + `","meta.helm.sh/release-namespace":"shop-dev"}`
	}
	const forbidden = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`
	for _, c := range []struct {
		name   string
		live   v1alpha1.Slot
		status int
		body   string
		asked  int
		want   []string
		hint   string
	}{
		{"of another Helm release", slotNone, 200, ingresses(ofRelease("web")), 1,
			[]string{"Ingress/shop (shop/templates/routes.yaml)", "host shop.localhost, path / (Prefix)", "Ingress/web of the Helm release web", "shop-dev"}, "name the service web"},
		{"of nobody", slotNone, 200, ingresses(""), 1, []string{"Ingress/web, which no Helm release holds"}, "take the other one away"},
		{"of another service", slotNone, 200, ingresses(`,"labels":{"sluice.dev/service":"web"}`), 1, []string{"Ingress/web of Sluice's service web"}, "another host or path"},
		{"of the service itself", slotNone, 200, ingresses(`,"labels":{"sluice.dev/service":"shop"}`), 1, nil, ""},
		{"of the service's own release", slotNone, 200, ingresses(ofRelease("shop")), 1, nil, ""},
		{"of a slot that failed", slotNone, 200, ingresses(ofRelease("shop-green")), 1, nil, ""},
		{"only a canary", slotNone, 200, ingresses(`,"annotations":{"nginx.ingress.kubernetes.io/canary":"true"}`), 1, nil, ""},
		{"nobody may ask", slotNone, 403, forbidden, 1, nil, ""},
		{"the service lives already", slotGreen, 200, ingresses(ofRelease("web")), 0, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, asked := namespaceOf(t, c.status, c.body)
			// An HTTPRoute too, a kind that this cluster does not know.
			b, err := s.design(request(t, slotBlue, c.live, map[string]any{"httpRoute": true}))
			if err != nil {
				t.Fatal(err)
			}
			err = s.refuseOccupied(b)
			if *asked != c.asked {
				t.Errorf("the API server was asked %d times, want %d", *asked, c.asked)
			}
			if c.want == nil {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Fatalf("have %v (%v), hint %q", err, fault.KindOf(err), fault.HintOf(err))
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the message lacks %q: %v", want, err)
				}
			}
		})
	}
}

func TestWhatCannotBeFoundOutIsNotTakenForFree(t *testing.T) {
	s, _ := namespaceOf(t, 500, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500}`)
	b, err := s.design(request(t, slotBlue, slotNone, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := classify(context.Background(), "check", s.refuseOccupied(b)); !fault.Is(err, fault.Transient) {
		t.Errorf("have %v (%v)", err, fault.KindOf(err))
	}
}
