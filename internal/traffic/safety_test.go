package traffic_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

func weighted() []v1alpha1.Router {
	return []v1alpha1.Router{v1alpha1.RouterNginx, v1alpha1.RouterGateway}
}

func all() []v1alpha1.Router { return append(weighted(), v1alpha1.RouterService) }

// TestNotReady leads nobody to a slot without ready pods while the other one answers, and anybody away from one that does not.
func TestNotReady(t *testing.T) {
	for _, kind := range all() {
		t.Run(string(kind), func(t *testing.T) {
			b := newBench(t, kind)
			b.endpoints("shop-web", true)
			b.settle(t, v1alpha1.Only(blue))
			b.endpoints("shop-web-green", false)
			splits := []v1alpha1.Split{v1alpha1.Only(green)}
			if kind != v1alpha1.RouterService {
				splits = append(splits, v1alpha1.Between(blue, green, 25))
			}
			for _, split := range splits {
				err := b.shift(split, 1)
				if !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "shop-web-green") {
					t.Errorf("%s: got %v, want it to wait for shop-web-green", split, err)
				}
				if s := b.look(t); s.Split.Weights[green] != 0 {
					t.Errorf("%s: users are at %s", split, s.Split)
				}
			}
			for _, dead := range []string{"shop-web-blue", "shop-web", "shop-api-blue", "shop-api-green"} {
				b.endpoints(dead, false)
			}
			if err := b.shift(v1alpha1.Only(green), 1); err != nil {
				t.Errorf("with neither ready: %v", err)
			}
		})
	}
}

// TestFrozenDriver stops a driver right before a write, lets a successor take everything back, and wakes the first one.
func TestFrozenDriver(t *testing.T) {
	for _, kind := range all() {
		from := v1alpha1.Only(blue)
		for _, to := range []v1alpha1.Split{v1alpha1.Between(blue, green, 50), v1alpha1.Only(green)} {
			if kind == v1alpha1.RouterService && to.Header != v1alpha1.SlotNone {
				continue
			}
			for asleep := 1; ; asleep++ {
				b := newBench(t, kind)
				b.settle(t, from)
				writes, frozen := 0, false
				b.server.before = func(string) {
					if writes++; writes != asleep {
						return
					}
					b.server.before, frozen = nil, true
					b.now = b.now.Add(time.Minute)
					if err := b.shift(from, 2); err != nil {
						t.Fatal(err)
					}
				}
				err := b.shift(to, 1)
				if !frozen {
					break
				}
				if s := b.look(t); s.Split.Weights[green] != 0 {
					t.Errorf("%s: woken before write %d it led users to %s (%v)", kind, asleep, s.Split, err)
				}
			}
		}
	}
}

// TestSlept passes too much time between looking and writing: nothing may be written, not even created.
func TestSlept(t *testing.T) {
	for _, kind := range all() {
		b := newBench(t, kind)
		target := b.target
		pass := traffic.Begin(target, 1, func() time.Time { return b.now })
		b.now = b.now.Add(11 * time.Second)
		if err := pass.Awake(); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: got %v, want a conflict", kind, err)
		}
	}
}

// TestStatusWrites lets a controller write the status between the router's look and its write, as all of them do.
func TestStatusWrites(t *testing.T) {
	for _, kind := range weighted() {
		b := newBench(t, kind)
		b.settle(t, v1alpha1.Only(blue))
		disturbed := map[string]bool{}
		b.server.before = func(write string) {
			_, key, _ := strings.Cut(write, " ")
			resource, name, _ := strings.Cut(key, "/")
			if o := b.server.get(resource, name); o != nil && !disturbed[write] {
				disturbed[write] = true
				o["status"] = document{"seen": b.now.String()}
				b.server.change(t, resource, name, func(document) {})
			}
		}
		b.settle(t, v1alpha1.Between(blue, green, 50))
		b.settle(t, v1alpha1.Only(green))
		if len(disturbed) < 2 {
			t.Errorf("%s: nothing was disturbed: %v", kind, disturbed)
		}
	}
}

// TestTakeOver begins with what plain Helm installed: routes lead to the stable name, which selects the direct pods.
func TestTakeOver(t *testing.T) {
	for _, kind := range weighted() {
		t.Run(string(kind), func(t *testing.T) {
			b := newBench(t, kind)
			plain := routes(direct, kind)
			for i := range plain.Services {
				plain.Services[i].SlotService = plain.Services[i].Name
			}
			resource := map[v1alpha1.Router]string{v1alpha1.RouterNginx: "ingresses", v1alpha1.RouterGateway: "httproutes"}[kind]
			b.target.Routes = map[v1alpha1.Slot]v1alpha1.Routes{direct: plain}
			b.server.put(resource, string(plain.Objects[0].Manifest))
			for _, s := range plain.Services {
				b.server.put("services", string(s.Manifest))
			}
			helms := func(o document) {
				meta(o)["annotations"] = document{"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "shop-test"}
			}
			b.server.change(t, resource, "shop", helms)
			for _, s := range plain.Services {
				b.server.change(t, "services", s.Name, helms)
			}
			b.now = b.now.Add(time.Hour)
			if s := b.look(t); !s.Split.Equal(v1alpha1.Only(direct)) || s.Transition || !s.Converged() || s.Foreign != "" {
				t.Errorf("plain Helm's: %+v", s)
			}
			b.target.Routes = map[v1alpha1.Slot]v1alpha1.Routes{direct: routes(direct, kind), blue: routes(blue, kind)}
			if s := b.look(t); !s.Split.Equal(v1alpha1.Only(direct)) || s.Transition || s.Foreign != "" {
				t.Errorf("after the take-over: %+v", s)
			}
			b.settle(t, v1alpha1.Between(direct, blue, 0))
			b.settle(t, v1alpha1.Only(blue))
			b.settle(t, v1alpha1.Only(direct))
			if annotations := meta(b.server.get(resource, "shop"))["annotations"].(document); annotations["meta.helm.sh/release-name"] != "shop" {
				t.Errorf("Helm's annotations are gone: %v", annotations)
			}
		})
	}
}

// TestOtherPaths has a candidate with one route more and one less: each slot's own come and go with it.
func TestOtherPaths(t *testing.T) {
	for _, kind := range weighted() {
		t.Run(string(kind), func(t *testing.T) {
			b := newBench(t, kind)
			resource, route := "ingresses", ingress
			if kind == v1alpha1.RouterGateway {
				resource, route = "httproutes", httpRoute
			}
			with := func(slot v1alpha1.Slot, name string) v1alpha1.Routes {
				r := routes(slot, kind)
				r.Objects = append(r.Objects, route(name, name+".test", map[string]string{"/": "shop-web"}))
				return r
			}
			b.target.Routes = map[v1alpha1.Slot]v1alpha1.Routes{blue: with(blue, "admin"), green: with(green, "beta")}
			there := func() []string {
				var names []string
				for key := range b.server.objects {
					if r, name, _ := strings.Cut(key, "/"); r == resource && !strings.HasSuffix(name, "-canary") {
						names = append(names, name)
					}
				}
				slices.Sort(names)
				return names
			}
			b.settle(t, v1alpha1.Only(blue))
			if got := there(); !slices.Equal(got, []string{"admin", "shop"}) {
				t.Errorf("with blue: %v", got)
			}
			for range 2 {
				b.settle(t, v1alpha1.Between(blue, green, 25))
				b.settle(t, v1alpha1.Only(green))
				if got := there(); !slices.Equal(got, []string{"beta", "shop"}) {
					t.Errorf("with green: %v", got)
				}
				b.settle(t, v1alpha1.Only(blue))
				if got := there(); !slices.Equal(got, []string{"admin", "shop"}) {
					t.Errorf("back with blue: %v", got)
				}
			}
			if err := b.router.Remove(context.Background(), b.target, 1); err != nil || len(there()) > 0 {
				t.Errorf("after remove: %v %v", there(), err)
			}
		})
	}
}

// TestWhatOthersWrote keeps what others set, and drops what only an earlier chart did.
func TestWhatOthersWrote(t *testing.T) {
	for _, kind := range weighted() {
		b := newBench(t, kind)
		resource := map[v1alpha1.Router]string{v1alpha1.RouterNginx: "ingresses", v1alpha1.RouterGateway: "httproutes"}[kind]
		b.settle(t, v1alpha1.Only(blue))
		b.server.change(t, resource, "shop", func(o document) {
			m := meta(o)
			annotations, ok := m["annotations"].(document)
			if !ok {
				annotations = document{}
				m["annotations"] = annotations
			}
			annotations["earlier/chart"], annotations["issuer/serial"], annotations["helm.sh/resource-policy"] = "x", "7", "keep"
			hand := func(manager, key string) document {
				return document{"manager": manager, "operation": "Update", "time": "2026-01-02T03:04:05Z", "fieldsType": "FieldsV1",
					"fieldsV1": document{"f:metadata": document{"f:annotations": document{"f:" + key: document{}}}}}
			}
			m["managedFields"] = []any{hand("sluice", "earlier/chart"), hand("helm", "earlier/chart"), hand("issuer", "issuer/serial")}
		})
		b.settle(t, v1alpha1.Only(green))
		got := meta(b.server.get(resource, "shop"))["annotations"].(document)
		for key, want := range map[string]any{"earlier/chart": nil, "issuer/serial": "7", "helm.sh/resource-policy": "keep"} {
			if got[key] != want {
				t.Errorf("%s: annotation %s is %v, want %v", kind, key, got[key], want)
			}
		}
	}
}

// TestHTTPRoute looks at the rules: the header's first, then the shares, and what belongs to no slot as the chart wrote it.
func TestHTTPRoute(t *testing.T) {
	b := newBench(t, v1alpha1.RouterGateway)
	b.settle(t, v1alpha1.Only(blue))
	b.settle(t, v1alpha1.Between(blue, green, 25))
	var route struct {
		Spec struct {
			Hostnames []string
			Rules     []struct {
				Matches []struct {
					Path    struct{ Value string }
					Headers []struct{ Name, Value string }
				}
				BackendRefs []struct {
					Name   string
					Weight int
				}
			}
		}
	}
	read(t, b.server.get("httproutes", "shop"), &route)
	var got []string
	for _, rule := range route.Spec.Rules {
		line := rule.Matches[0].Path.Value
		for _, h := range rule.Matches[0].Headers {
			line += fmt.Sprintf(" %s: %s", h.Name, h.Value)
		}
		for _, ref := range rule.BackendRefs {
			line += fmt.Sprintf(" → %s %d", ref.Name, ref.Weight)
		}
		got = append(got, line)
	}
	want := []string{
		"/ canary: always → shop-web-green 1", "/api canary: always → shop-api-green 1",
		"/ → shop-web-blue 75 → shop-web-green 25", "/api → shop-api-blue 75 → shop-api-green 25", "/auth → sso 100",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

// TestRedirect has a candidate with a second route that only redirects: it has nothing for the header, and comes with the promotion.
func TestRedirect(t *testing.T) {
	b := newBench(t, v1alpha1.RouterGateway)
	r := routes(green, v1alpha1.RouterGateway)
	r.Objects = append(r.Objects, v1alpha1.RouteObject{Kind: "HTTPRoute", Name: "www", Manifest: []byte(
		`{"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute","metadata":{"name":"www"},"spec":{"parentRefs":[{"name":"sluice"}],
		  "hostnames":["www.shop.test"],"rules":[{"filters":[{"type":"RequestRedirect","requestRedirect":{"hostname":"shop.test"}}]}]}}`)})
	b.target.Routes[green] = r
	b.settle(t, v1alpha1.Only(blue))
	b.settle(t, v1alpha1.Between(blue, green, 25))
	if b.server.get("httproutes", "www") != nil {
		t.Error("the redirect is there before the promotion")
	}
	b.settle(t, v1alpha1.Only(green))
	rule := b.server.get("httproutes", "www")["spec"].(document)["rules"].([]any)[0].(document)
	if _, leads := rule["backendRefs"]; leads || rule["filters"] == nil {
		t.Errorf("the redirect became %v", rule)
	}
}

// TestSlotless has an Ingress that leads to no slot: it is there with the main one and has no canary.
func TestSlotless(t *testing.T) {
	b := newBench(t, v1alpha1.RouterNginx)
	for _, slot := range []v1alpha1.Slot{blue, green} {
		r := routes(slot, v1alpha1.RouterNginx)
		r.Objects = append(r.Objects, ingress("aside", "login.test", map[string]string{"/auth": "sso"}))
		b.target.Routes[slot] = r
	}
	for _, split := range []v1alpha1.Split{v1alpha1.Only(blue), v1alpha1.Between(blue, green, 25), v1alpha1.Only(green), v1alpha1.Only(blue)} {
		b.settle(t, split)
		if b.server.get("ingresses", "aside") == nil || b.server.get("ingresses", "aside-canary") != nil || b.look(t).Foreign != "" {
			t.Errorf("at %s: %s; there are %v", split, b.look(t).Foreign, b.server.objects)
		}
	}
}

// TestLag says which Gateway has not followed, and does not take an old answer for a new one.
func TestLag(t *testing.T) {
	b := newBench(t, v1alpha1.RouterGateway)
	b.server.lagging = true
	if err := b.shift(v1alpha1.Only(blue), 1); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(time.Hour)
	if s := b.look(t); s.Converged() || !strings.Contains(s.Lag, "Gateway sluice") {
		t.Errorf("without an answer: %+v", s)
	}
	b.server.lagging = false
	b.server.change(t, "httproutes", "shop", func(document) {})
	if s := b.look(t); !s.Converged() || s.Lag != "" {
		t.Errorf("with an answer: %+v", s)
	}
	b.server.lagging = true
	if err := b.shift(v1alpha1.Only(green), 1); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(time.Hour)
	if s := b.look(t); s.Converged() || !strings.Contains(s.Lag, "generation 2") {
		t.Errorf("with an answer to an earlier generation: %+v", s)
	}
}

// TestStrangeStamps believes neither a clock far ahead nor a stamp that is none, and the next write puts them right.
func TestStrangeStamps(t *testing.T) {
	for _, stamp := range []string{"2099-01-01T00:00:00Z", "soon"} {
		b := newBench(t, v1alpha1.RouterNginx)
		b.settle(t, v1alpha1.Only(blue))
		b.server.change(t, "ingresses", "shop", func(o document) { meta(o)["annotations"].(document)[v1alpha1.AnnotationShifted] = stamp })
		if s := b.look(t); !s.Converged() {
			t.Errorf("stamp %q: it never converges: %+v", stamp, s)
		}
		if err := b.shift(v1alpha1.Between(blue, green, 25), 1); err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339Nano, meta(b.server.get("ingresses", "shop"))["annotations"].(document)[v1alpha1.AnnotationShifted].(string))
		if err != nil || at.After(b.now) {
			t.Errorf("stamp %q became %v (%v)", stamp, at, err)
		}
	}
}

// TestNoRoute names what the chart lacks.
func TestNoRoute(t *testing.T) {
	for _, kind := range all() {
		b := newBench(t, kind)
		b.target.Routes = map[v1alpha1.Slot]v1alpha1.Routes{blue: {}}
		err := b.shift(v1alpha1.Only(blue), 1)
		if err == nil || fault.HintOf(err) == "" || len(b.server.written()) > 0 {
			t.Errorf("%s without a route: %v", kind, err)
		}
	}
}
