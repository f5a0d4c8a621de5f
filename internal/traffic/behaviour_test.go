package traffic_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

func (b *bench) shift(split v1alpha1.Split, generation int64) error {
	return b.router.Shift(context.Background(), traffic.Shift{Target: b.target, Split: split, Generation: generation})
}

func (b *bench) look(t *testing.T) traffic.State {
	t.Helper()
	s, err := b.router.Split(context.Background(), b.target)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// settle drives to a split as the rollout machine does.
func (b *bench) settle(t *testing.T, split v1alpha1.Split) {
	t.Helper()
	for range 20 {
		s := b.look(t)
		if s.Split.Equal(split) && !s.Transition && s.Converged() {
			b.server.written()
			return
		}
		if !s.Split.Equal(split) || s.Transition {
			if err := b.shift(split, 1); err != nil {
				t.Fatal(err)
			}
		}
		b.now = b.now.Add(6 * time.Second)
	}
	t.Fatalf("%s was never reached: %+v", split, b.look(t))
}

// stages shifts until the split is reached, and returns the writes of each call that made some.
func (b *bench) stages(t *testing.T, split v1alpha1.Split) [][]string {
	t.Helper()
	var out [][]string
	for range 30 {
		if s := b.look(t); s.Split.Equal(split) && !s.Transition {
			return out
		}
		if err := b.shift(split, 1); err != nil {
			t.Fatal(err)
		}
		if writes := b.server.written(); len(writes) > 0 {
			out = append(out, writes)
		}
		b.now = b.now.Add(time.Second)
	}
	t.Fatalf("%s was never reached", split)
	return nil
}

var bothServices = []string{"update services/shop-web", "update services/shop-api"}

// TestStages spells out which writes go together, and what waits for the proxies.
func TestStages(t *testing.T) {
	middle := v1alpha1.Between(blue, green, 25)
	for _, c := range []struct {
		name     string
		kind     v1alpha1.Router
		from, to v1alpha1.Split
		want     [][]string
	}{
		{"nginx, first installation", v1alpha1.RouterNginx, v1alpha1.Split{}, v1alpha1.Only(blue),
			[][]string{{"create ingresses/shop", "create services/shop-web", "create services/shop-api"}}},
		{"nginx, a canary begins without weight", v1alpha1.RouterNginx, v1alpha1.Only(blue), middle,
			[][]string{{"create ingresses/shop-canary", "update ingresses/shop-canary"}}},
		{"nginx, promotion", v1alpha1.RouterNginx, middle, v1alpha1.Only(green), [][]string{
			{"update ingresses/shop-canary"}, {"update ingresses/shop"}, {"update ingresses/shop-canary"},
			append([]string{"delete ingresses/shop-canary"}, bothServices...),
		}},
		{"nginx, back from a step", v1alpha1.RouterNginx, middle, v1alpha1.Only(blue),
			[][]string{{"update ingresses/shop-canary"}, {"delete ingresses/shop-canary"}}},
		{"nginx, back from everything", v1alpha1.RouterNginx, v1alpha1.Only(green), v1alpha1.Only(blue),
			[][]string{append([]string{"update ingresses/shop"}, bothServices...)}},
		{"gateway, step", v1alpha1.RouterGateway, v1alpha1.Only(blue), middle, [][]string{{"update httproutes/shop"}}},
		{"gateway, promotion", v1alpha1.RouterGateway, middle, v1alpha1.Only(green), [][]string{append([]string{"update httproutes/shop"}, bothServices...)}},
		{"gateway, back", v1alpha1.RouterGateway, middle, v1alpha1.Only(blue), [][]string{{"update httproutes/shop"}}},
		{"service", v1alpha1.RouterService, v1alpha1.Only(blue), v1alpha1.Only(green), [][]string{bothServices}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.kind)
			if c.from.Weights != nil {
				b.settle(t, v1alpha1.Only(blue))
				b.settle(t, c.from)
			}
			if diff := cmp.Diff(c.want, b.stages(t, c.to)); diff != "" {
				t.Errorf("writes by call (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPromotionWaits asks again at once after every stage: nothing may be written before the proxies had their time.
func TestPromotionWaits(t *testing.T) {
	b := newBench(t, v1alpha1.RouterNginx)
	b.settle(t, v1alpha1.Only(blue))
	b.settle(t, v1alpha1.Between(blue, green, 25))
	for _, stage := range []string{"update ingresses/shop-canary", "update ingresses/shop", "update ingresses/shop-canary"} {
		for i, want := range []string{stage, "", ""} {
			if err := b.shift(v1alpha1.Only(green), 1); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(b.server.written(), " "); got != want {
				t.Errorf("call %d of the stage wrote %q, want %q", i+1, got, want)
			}
			b.now = b.now.Add(2 * time.Second)
		}
		if s := b.look(t); !s.Transition {
			t.Errorf("between two stages: %+v", s)
		}
	}
}

// TestBackIsImmediate takes users off the candidate in one call, and the canary away only when the proxies have followed.
func TestBackIsImmediate(t *testing.T) {
	b := newBench(t, v1alpha1.RouterNginx)
	b.settle(t, v1alpha1.Only(blue))
	b.settle(t, v1alpha1.Between(blue, green, 25))
	for range 2 {
		// Right after the second stage of a promotion, so that both Ingresses lead to the candidate.
		if err := b.shift(v1alpha1.Only(green), 1); err != nil {
			t.Fatal(err)
		}
		b.now = b.now.Add(6 * time.Second)
	}
	b.server.written()
	for i, want := range []string{"update ingresses/shop update ingresses/shop-canary", "", "delete ingresses/shop-canary"} {
		if i == 2 {
			b.now = b.now.Add(6 * time.Second)
		}
		if err := b.shift(v1alpha1.Only(blue), 1); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(b.server.written(), " "); got != want {
			t.Errorf("call %d wrote %q, want %q", i+1, got, want)
		}
		if s := b.look(t); s.Split.Weights[blue] != 100 {
			t.Errorf("after call %d users are at %s", i+1, s.Split)
		}
	}
}

// TestMainIngress looks at what users of the chart's Ingress rely on.
func TestMainIngress(t *testing.T) {
	b := newBench(t, v1alpha1.RouterNginx)
	b.settle(t, v1alpha1.Only(blue))
	b.settle(t, v1alpha1.Between(blue, green, 25))
	var main, canary struct {
		Metadata struct{ Labels, Annotations map[string]string }
		Spec     struct {
			IngressClassName string
			TLS              []any
			Rules            []struct {
				Host string
				HTTP struct {
					Paths []struct {
						Path    string
						Backend struct{ Service struct{ Name string } }
					}
				}
			}
		}
	}
	read(t, b.server.get("ingresses", "shop"), &main)
	read(t, b.server.get("ingresses", "shop-canary"), &canary)
	backends := map[string]string{}
	for _, p := range main.Spec.Rules[0].HTTP.Paths {
		backends["main "+p.Path] = p.Backend.Service.Name
	}
	for _, p := range canary.Spec.Rules[0].HTTP.Paths {
		backends["canary "+p.Path] = p.Backend.Service.Name
	}
	want := map[string]string{
		"main /": "shop-web-blue", "main /api": "shop-api-blue", "main /auth": "sso",
		"canary /": "shop-web-green", "canary /api": "shop-api-green",
	}
	if diff := cmp.Diff(want, backends); diff != "" {
		t.Errorf("backends (-want +got):\n%s", diff)
	}
	if len(main.Spec.TLS) != 1 || main.Spec.IngressClassName != "nginx" || main.Spec.Rules[0].Host != "shop.test" ||
		main.Metadata.Annotations["cert-manager.io/issuer"] != "ours" || main.Metadata.Labels["app"] != "shop" {
		t.Errorf("the main Ingress lost something of the chart's: %+v", main)
	}
	annotations := canary.Metadata.Annotations
	for _, k := range []string{v1alpha1.AnnotationGeneration, v1alpha1.AnnotationShifted, v1alpha1.AnnotationSplit} {
		delete(annotations, k)
	}
	wantAnnotations := map[string]string{
		"nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "25",
		"nginx.ingress.kubernetes.io/canary-by-header": "canary", "nginx.ingress.kubernetes.io/canary-by-header-value": "always",
		"nginx.ingress.kubernetes.io/proxy-body-size": "8m",
	}
	if diff := cmp.Diff(wantAnnotations, annotations); diff != "" {
		t.Errorf("annotations of the canary (-want +got):\n%s", diff)
	}
	if canary.Metadata.Labels[v1alpha1.LabelService] != "shop" || canary.Metadata.Labels[v1alpha1.LabelEnvironment] != "test" || len(canary.Spec.TLS) != 0 {
		t.Errorf("the canary Ingress: %+v", canary)
	}
}

func read(t *testing.T, from document, into any) {
	t.Helper()
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestForeignHand edits what the router wrote; it must be told, and the next shift must put it right.
func TestForeignHand(t *testing.T) {
	middle := v1alpha1.Between(blue, green, 25)
	annotate := func(key, value string) func(document) {
		return func(o document) { meta(o)["annotations"].(document)[key] = value }
	}
	for _, c := range []struct {
		name, resource, object string
		kind                   v1alpha1.Router
		edit                   func(document)
		want                   string
	}{
		{"canary weight", "ingresses", "shop-canary", v1alpha1.RouterNginx, annotate("nginx.ingress.kubernetes.io/canary-weight", "60"), `"green 60", Sluice wrote "green 25"`},
		{"nonsense weight", "ingresses", "shop-canary", v1alpha1.RouterNginx, annotate("nginx.ingress.kubernetes.io/canary-weight", "many"), `weight "many"`},
		{"another header", "ingresses", "shop-canary", v1alpha1.RouterNginx, annotate("nginx.ingress.kubernetes.io/canary-by-header", "beta"), `header "beta"`},
		{"main to another slot", "ingresses", "shop", v1alpha1.RouterNginx, replace("-blue", "-green"), `"green", Sluice wrote "blue"`},
		{"one path to another slot", "ingresses", "shop", v1alpha1.RouterNginx, replace("shop-api-blue", "shop-api-green"), "slots blue and green"},
		{"main to a stranger", "ingresses", "shop", v1alpha1.RouterNginx, replace("shop-api-blue", "maintenance"), "Service maintenance"},
		{"weights of a route", "httproutes", "shop", v1alpha1.RouterGateway, replace(`"weight":25`, `"weight":75`), "Sluice wrote"},
		{"a stranger in a route", "httproutes", "shop", v1alpha1.RouterGateway, replace("shop-api-green", "maintenance"), "Service maintenance"},
		{"selector of a Service", "services", "shop-web", v1alpha1.RouterNginx, replace(`"release":"shop-blue"`, `"release":"elsewhere"`), "release=elsewhere"},
		{"selector to the other slot", "services", "shop-api", v1alpha1.RouterGateway, replace(`"release":"shop-blue"`, `"release":"shop-green"`), "Sluice wrote blue"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.kind)
			b.settle(t, v1alpha1.Only(blue))
			b.settle(t, middle)
			before := b.server.get(c.resource, c.object)["spec"]
			b.server.change(t, c.resource, c.object, c.edit)
			s := b.look(t)
			if !strings.Contains(s.Foreign, c.want) {
				t.Errorf("foreign is %q, want it to say %q", s.Foreign, c.want)
			}
			if s.Split.Equal(middle) && !s.Transition {
				t.Errorf("it passes for the planned split: %+v", s)
			}
			b.settle(t, middle)
			if diff := cmp.Diff(before, b.server.get(c.resource, c.object)["spec"]); diff != "" || b.look(t).Foreign != "" {
				t.Errorf("not put right: %s %s", b.look(t).Foreign, diff)
			}
		})
	}
}

// replace edits an object as text.
func replace(old, with string) func(document) {
	return func(o document) {
		text, err := json.Marshal(o["spec"])
		if err != nil || !strings.Contains(string(text), old) {
			panic(old + " is not in " + string(text))
		}
		var spec any
		if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), old, with)), &spec); err != nil {
			panic(err)
		}
		o["spec"] = spec
	}
}

// TestOwnership refuses, naming it, what has the right name and belongs to somebody else, and takes over what plain Helm installed.
func TestOwnership(t *testing.T) {
	const plain = `{"metadata":{"name":"NAME"META},"spec":SPEC}`
	specs := map[string]string{
		"ingresses":  `{"rules":[{"host":"shop.test","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"shop-web","port":{"number":80}}}}]}}]}`,
		"httproutes": `{"parentRefs":[],"rules":[{"backendRefs":[{"name":"shop-web","port":80}]}]}`,
		"services":   `{"selector":{"app":"shop-web","release":"shop"},"ports":[{"port":80}]}`,
	}
	kinds := map[string]v1alpha1.Router{"ingresses": v1alpha1.RouterNginx, "httproutes": v1alpha1.RouterGateway, "services": v1alpha1.RouterService}
	names := map[string]string{"ingresses": "shop", "httproutes": "shop", "services": "shop-web"}
	for resource, kind := range kinds {
		for _, c := range []struct{ name, meta, refused string }{
			{"nobody's", "", "was not made by Sluice"},
			{"another release's", `,"annotations":{"meta.helm.sh/release-name":"blog","meta.helm.sh/release-namespace":"shop-test"}`, "Helm release blog"},
			{"another namespace's release", `,"annotations":{"meta.helm.sh/release-name":"shop","meta.helm.sh/release-namespace":"else"}`, "in namespace else"},
			{"another service's", `,"labels":{"sluice.dev/service":"blog","sluice.dev/environment":"test"}`, "service blog"},
			{"another environment's", `,"labels":{"sluice.dev/service":"shop","sluice.dev/environment":"prod"}`, "environment prod"},
			{"plain Helm's", `,"annotations":{"meta.helm.sh/release-name":"shop","meta.helm.sh/release-namespace":"shop-test"}`, ""},
			{"taken over", `,"labels":{"sluice.dev/service":"shop","sluice.dev/environment":"test"}`, ""},
		} {
			t.Run(resource+" "+c.name, func(t *testing.T) {
				b := newBench(t, kind)
				b.server.put(resource, strings.NewReplacer("NAME", names[resource], "META", c.meta, "SPEC", specs[resource]).Replace(plain))
				before := b.server.get(resource, names[resource])
				err := b.shift(v1alpha1.Only(blue), 1)
				switch {
				case c.refused == "" && err != nil:
					t.Errorf("refused: %v", err)
				case c.refused != "" && (!fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), names[resource])):
					t.Errorf("got %v, want it refused with %q", err, c.refused)
				case c.refused != "":
					if diff := cmp.Diff(before, b.server.get(resource, names[resource])); diff != "" {
						t.Errorf("it was changed: %s", diff)
					}
					if foreign := b.look(t).Foreign; !strings.Contains(foreign, c.refused) {
						t.Errorf("foreign is %q", foreign)
					}
					if err := b.router.Remove(context.Background(), b.target, 1); err != nil || b.server.get(resource, names[resource]) == nil {
						t.Errorf("remove took it away (%v)", err)
					}
				}
			})
		}
	}
}
