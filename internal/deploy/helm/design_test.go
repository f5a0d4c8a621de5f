package helm

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	releasecommon "helm.sh/helm/v4/pkg/release/common"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files")

// offline is a session without a cluster: enough to render and decide.
func offline(h history) *session {
	return &session{
		Releaser: &Releaser{}, ctx: context.Background(), scope: deploy.Scope{Service: "shop", Environment: "dev", Namespace: "shop-dev"},
		history: h, getter: &getter{config: &rest.Config{}}, caps: &capabilities{found: common.DefaultCapabilities},
	}
}

func archive(t *testing.T) []byte {
	t.Helper()
	c, err := loader.LoadDir("testdata/shop")
	if err != nil {
		t.Fatal(err)
	}
	path, err := chartutil.Save(c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func request(t *testing.T, slot, live v1alpha1.Slot, values map[string]any, change ...func(*v1alpha1.Release)) deploy.Request {
	t.Helper()
	file, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	r := &v1alpha1.Release{
		Service: "shop", Version: "1.2.3", Images: map[string]string{"shop": "registry/shop@sha256:1"},
		Spec:         v1alpha1.Service{ImageValues: map[string]string{"shop": "image"}},
		Environments: map[string]v1alpha1.Environment{"dev": {Values: []string{"dev.yaml"}}},
		Files:        map[string][]byte{"dev.yaml": file}, ChartArchive: archive(t),
	}
	for _, c := range change {
		c(r)
	}
	return deploy.Request{
		Scope: deploy.Scope{Service: "shop", Environment: "dev", Namespace: "shop-dev"}, Slot: slot, Live: live, Release: r,
		Ref: v1alpha1.ReleaseRef{Ref: "registry/shop@sha256:2", Digest: "sha256:2", Version: "1.2.3"}, DeployDigest: "digest", Rollout: 7, Generation: 3,
		Cause: "release 1.2.3 by ann@host",
	}
}

func installed(labels map[string]string) []revision {
	return []revision{{release: "shop", version: 1, status: releasecommon.StatusDeployed, labels: labels}}
}

const (
	slotNone   = v1alpha1.SlotNone
	slotDirect = v1alpha1.SlotDirect
	slotBlue   = v1alpha1.SlotBlue
	slotGreen  = v1alpha1.SlotGreen
)

func TestTransformGolden(t *testing.T) {
	everything := map[string]any{
		"httpRoute": true, "pvc": true, "nodePort": true, "seed": true,
		"migration": map[string]any{"enabled": true, "command": "succeed"},
	}
	share := func(r *v1alpha1.Release) { r.Spec.Shared = []string{"PersistentVolumeClaim/shop-data"} }
	for _, c := range []struct {
		name       string
		slot, live v1alpha1.Slot
	}{
		{"direct", slotDirect, slotDirect},
		{"direct-beside-blue", slotDirect, slotBlue},
		{"green-beside-blue", slotGreen, slotBlue},
		{"blue-first", slotBlue, slotNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := offline(history{}).design(request(t, c.slot, c.live, everything, share))
			if err != nil {
				t.Fatal(err)
			}
			// Through Helm's own format, as the post-renderer gets it.
			in, err := stream(b.own)
			if err != nil {
				t.Fatal(err)
			}
			out, err := b.Run(in)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, c.name+".yaml", out.String())
			shared, err := manifest(b.sharedObjects())
			if err != nil {
				t.Fatal(err)
			}
			if c.slot == slotGreen {
				golden(t, c.name+"-shared.yaml", shared)
			}
		})
	}
}

func golden(t *testing.T, name, have string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), have); d != "" {
		t.Errorf("%s differs (go test -update writes it):\n%s", path, d)
	}
}

func TestRoutesNameStableAndSlotServices(t *testing.T) {
	for _, c := range []struct {
		slot, live    v1alpha1.Slot
		service       string
		selectorLabel string
	}{
		{slotDirect, slotDirect, "shop", ""},
		{slotDirect, slotGreen, "shop-direct", ""},
		{slotBlue, slotDirect, "shop-blue", "blue"},
	} {
		b, err := offline(history{}).design(request(t, c.slot, c.live, nil))
		if err != nil {
			t.Fatal(err)
		}
		if have := b.routes.SlotService("shop"); have != c.service {
			t.Errorf("%s beside %s: slot Service %q, want %q", c.slot, c.live, have, c.service)
		}
		var stable struct {
			Metadata struct{ Name, Namespace string }
			Spec     struct{ Selector map[string]string }
		}
		if err := json.Unmarshal(b.routes.Services[0].Manifest, &stable); err != nil {
			t.Fatal(err)
		}
		if stable.Metadata.Name != "shop" || stable.Metadata.Namespace != "shop-dev" || stable.Spec.Selector[v1alpha1.LabelSlot] != c.selectorLabel {
			t.Errorf("%s beside %s: stable Service %+v", c.slot, c.live, stable)
		}
		if len(b.routes.Objects) != 1 || b.routes.Objects[0].Name != "shop" || !strings.Contains(string(b.routes.Objects[0].Manifest), `"service":{"name":"shop"`) {
			t.Errorf("%s beside %s: routes %+v", c.slot, c.live, b.routes.Objects)
		}
	}
}

func TestDesignRefuses(t *testing.T) {
	spec := func(change func(*v1alpha1.Service)) func(*v1alpha1.Release) {
		return func(r *v1alpha1.Release) { change(&r.Spec) }
	}
	for _, c := range []struct {
		name    string
		values  map[string]any
		change  func(*v1alpha1.Release)
		history history
		kind    fault.Kind
		want    []string
	}{
		{"names collide", map[string]any{"fullnameOverride": "fixed"}, nil, nil, fault.Usage,
			[]string{"slots blue and green", "Deployment/fixed (shop/templates/deployment.yaml)", "Service/fixed"}},
		{"one Service collides", map[string]any{"serviceName": "known"}, nil, nil, fault.Usage, []string{"Service/known (shop/templates/service.yaml)"}},
		{"a StatefulSet", map[string]any{"statefulSet": true}, nil, nil, fault.Usage, []string{"StatefulSet/shop-store (shop/templates/more.yaml)"}},
		{"a CronJob", map[string]any{"cronJob": true}, nil, nil, fault.Usage, []string{"CronJob/shop-nightly"}},
		{"a volume", map[string]any{"pvc": true}, nil, nil, fault.Usage,
			[]string{"PersistentVolumeClaim/shop-data (shop/templates/more.yaml)", "without the data"}},
		{"another volume is meant to be per slot", map[string]any{"pvc": true},
			spec(func(s *v1alpha1.Service) { s.PerSlot = []string{"PersistentVolumeClaim/shop-cache"} }), nil, fault.Usage, []string{"PersistentVolumeClaim/shop-data"}},
		{"shared is not rendered", nil, spec(func(s *v1alpha1.Service) { s.Shared = []string{"Secret/none"} }), nil, fault.Usage, []string{"Secret/none", "Deployment/shop"}},
		{"selectors catch all slots", map[string]any{"fixedSelector": true}, nil, history{"shop": installed(nil)}, fault.Usage,
			[]string{"Service/shop", "selects the pods of every slot"}},
		{"schema", map[string]any{"replicas": "many"}, nil, nil, fault.Fatal, []string{"environment dev does not fit the schema of chart shop", "dev.yaml: replicas: got string, want"}},
		{"unknown environment", nil, func(r *v1alpha1.Release) { r.Environments = map[string]v1alpha1.Environment{"prod": {}} }, nil, fault.Usage, []string{`"dev"`, "prod"}},
		{"values file is lost", nil, func(r *v1alpha1.Release) { r.Files = nil }, nil, fault.Fatal, []string{"dev.yaml"}},
		{"values are no YAML", nil, func(r *v1alpha1.Release) { r.Files["dev.yaml"] = []byte("a: [") }, nil, fault.Fatal, []string{"dev.yaml"}},
		{"image is lost", nil, func(r *v1alpha1.Release) { r.Images = nil }, nil, fault.Usage, []string{`"shop"`}},
		{"chart is broken", nil, func(r *v1alpha1.Release) { r.ChartArchive = []byte("no") }, nil, fault.Fatal, []string{"chart"}},
		{"slotValues is no template", nil, spec(func(s *v1alpha1.Service) { s.SlotValues = map[string]string{"a": "{{.Nope}}"} }), nil, fault.Usage, []string{"slotValues.a"}},
		{"path through a scalar", map[string]any{"host": "x"}, spec(func(s *v1alpha1.Service) { s.ImageValues = map[string]string{"shop": "host.image"} }), nil,
			fault.Usage, []string{"imageValues.shop", "host"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var changes []func(*v1alpha1.Release)
			if c.change != nil {
				changes = append(changes, c.change)
			}
			_, err := offline(c.history).design(request(t, slotBlue, slotGreen, c.values, changes...))
			if !fault.Is(err, c.kind) {
				t.Fatalf("want kind %v, have %v: %v", c.kind, fault.KindOf(err), err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the message lacks %q: %v", want, err)
				}
			}
		})
	}
}

func TestVolumesOfSlots(t *testing.T) {
	const claim = "PersistentVolumeClaim/shop-data"
	values := map[string]any{"pvc": true}
	for name, c := range map[string]struct {
		slot, live v1alpha1.Slot
		change     func(*v1alpha1.Service)
		refused    bool
		want       string
	}{
		"the first slot":           {slotBlue, slotNone, func(*v1alpha1.Service) {}, true, ""},
		"a slot beside direct":     {slotBlue, slotDirect, func(*v1alpha1.Service) {}, true, ""},
		"direct beside a slot":     {slotDirect, slotBlue, func(*v1alpha1.Service) {}, true, ""},
		"direct alone":             {slotDirect, slotDirect, func(*v1alpha1.Service) {}, false, "shop-data"},
		"shared":                   {slotGreen, slotBlue, func(s *v1alpha1.Service) { s.Shared = []string{claim} }, false, ""},
		"one per slot":             {slotGreen, slotBlue, func(s *v1alpha1.Service) { s.PerSlot = []string{claim} }, false, "shop-green-data"},
		"direct with its own copy": {slotDirect, slotBlue, func(s *v1alpha1.Service) { s.PerSlot = []string{claim} }, false, "shop-data"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := offline(history{}).design(request(t, c.slot, c.live, values, func(r *v1alpha1.Release) { c.change(&r.Spec) }))
			if c.refused {
				if !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), `"`+claim+`"`) || !strings.Contains(fault.HintOf(err), "perSlot") {
					t.Errorf("have %v, hint %q", err, fault.HintOf(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			objects, err := b.transform(b.own)
			if err != nil {
				t.Fatal(err)
			}
			have := ""
			for _, o := range objects {
				if o.GetKind() == "PersistentVolumeClaim" {
					have += o.GetName()
				}
			}
			if have != c.want {
				t.Errorf("the slot's release holds the volume %q, want %q", have, c.want)
			}
		})
	}
}

func TestSlotValuesCureCollisions(t *testing.T) {
	cure := func(r *v1alpha1.Release) {
		r.Spec.SlotValues = map[string]string{"fullnameOverride": "{{.Service}}-{{.Slot}}"}
	}
	b, err := offline(history{}).design(request(t, slotGreen, slotBlue, map[string]any{"fullnameOverride": "fixed"}, cure))
	if err != nil {
		t.Fatal(err)
	}
	if s := b.routes.Services[0]; s.Name != "fixed" || s.SlotService != "shop-green" {
		t.Errorf("have %s → %s", s.Name, s.SlotService)
	}
}

func TestDirectTakesAnyChart(t *testing.T) {
	values := map[string]any{"fullnameOverride": "fixed", "statefulSet": true, "cronJob": true, "fixedSelector": true}
	if _, err := offline(history{"shop": installed(nil)}).design(request(t, slotDirect, slotDirect, values)); err != nil {
		t.Error(err)
	}
}

func TestLongNamesAreRefused(t *testing.T) {
	req := request(t, slotBlue, slotNone, nil)
	req.Service = strings.Repeat("a", 48)
	if _, err := offline(history{}).design(req); !fault.Is(err, fault.Usage) {
		t.Errorf("want a usage error, have %v", err)
	}
}
