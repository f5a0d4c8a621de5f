package helm

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"helm.sh/helm/v4/pkg/chart/common"
	chartcommon "helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

func TestValuesThatDoNotFitTheSchema(t *testing.T) {
	const schema = `{"type": "object", "required": ["host"], "additionalProperties": false, "properties": {
  "host": {"type": "string"}, "replicas": {"type": "integer"}, "log": {"type": "object", "properties": {"level": {"enum": ["info", "debug"]}}},
  "hosts": {"type": "array", "items": {"type": "string"}}, "image": {"type": "string", "pattern": "@sha256:"}, "name": {"type": "string", "maxLength": 3},
  "a/b": {"type": "string"}, "db": {}, "global": {}}}`
	c := &chart.Chart{Metadata: &chart.Metadata{Name: "shop"}, Schema: []byte(schema), Values: map[string]any{"host": "h", "log": map[string]any{"level": "info"}}}
	sub := &chart.Chart{Metadata: &chart.Metadata{Name: "db"}, Schema: []byte(`{"properties": {"size": {"type": "integer"}}}`)}
	c.AddDependency(sub)
	for name, tt := range map[string]struct {
		base, dev string
		want      []string
		hint      string
	}{
		"the last file that says it":   {"replicas: many", "replicas: 'few'", []string{"dev.yaml: replicas: got string, want integer"}, "correct dev.yaml and build"},
		"the only file that says it":   {"log: {level: warn}", "log: {format: json}", []string{"base.yaml: log.level: value must be one of 'info', 'debug'"}, "correct base.yaml"},
		"a misspelt key":               {"replica: 2", "", []string{"base.yaml: replica: additional properties 'replica' not allowed"}, "base.yaml"},
		"an item of a list":            {"hosts: [a, 1]", "", []string{"base.yaml: hosts.1: got number, want string"}, "base.yaml"},
		"what a file takes away":       {"host: null", "", []string{"in no values file: host: missing property 'host'"}, "the values files of environment dev"},
		"a key with a slash":           {"a/b: 1", "", []string{"base.yaml: a/b: got number, want string"}, "base.yaml"},
		"a chart that it brings along": {"db: {size: big}", "", []string{"base.yaml: db.size: got string, want integer"}, "base.yaml"},
		"the image":                    {"", "image: x", []string{"imageValues.shop: image: 'x' does not match pattern '@sha256:'"}, "imageValues.shop"},
		"a slot value":                 {"name: shop-blue", "", []string{"slotValues.name: name: maxLength: got 9, want 3"}, "slotValues.name"},
		"two files":                    {"replicas: many", "hosts: none", []string{"base.yaml: replicas: got string", "dev.yaml: hosts: got string, want array"}, "base.yaml, dev.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			req := deploy.Request{Scope: deploy.Scope{Service: "shop", Environment: "dev"}, Slot: v1alpha1.SlotBlue, Release: &v1alpha1.Release{
				Spec:         v1alpha1.Service{ImageValues: map[string]string{"shop": "image"}, SlotValues: map[string]string{"name": "{{.Service}}-{{.Slot}}"}},
				Environments: map[string]v1alpha1.Environment{"dev": {Values: []string{"base.yaml", "dev.yaml"}}},
				Files:        map[string][]byte{"base.yaml": []byte(tt.base), "dev.yaml": []byte(tt.dev)},
			}}
			plain := req
			release := *req.Release
			release.Spec = v1alpha1.Service{}
			plain.Release = &release
			v, err := values(plain, slotDirect)
			if err != nil {
				t.Fatal(err)
			}
			_, err = chartcommon.ToRenderValues(c, v, common.ReleaseOptions{Name: "shop"}, common.DefaultCapabilities)
			if err == nil {
				t.Fatal("the values fit the schema")
			}
			got := wrongValues(req, "shop", err)
			if !fault.Is(got, fault.Fatal) || !strings.Contains(fault.HintOf(got), tt.hint) {
				t.Errorf("%v, hint %q, want %q", got, fault.HintOf(got), tt.hint)
			}
			for _, want := range append(tt.want, "environment dev") {
				if !strings.Contains(got.Error(), want) {
					t.Errorf("the message lacks %q:\n%v", want, got)
				}
			}
		})
	}
}

func TestAnUnknownComplaintIsPassedOn(t *testing.T) {
	cause := errors.New("something else")
	err := wrongValues(deploy.Request{Scope: deploy.Scope{Environment: "dev"}}, "shop", cause)
	if !errors.Is(err, cause) || !strings.Contains(fault.HintOf(err), "environment dev") {
		t.Errorf("have %v, hint %q", err, fault.HintOf(err))
	}
}

func TestPointers(t *testing.T) {
	for pointed, want := range map[string][]string{"": nil, "/a": {"a"}, "/a~1b/~01/0": {"a/b", "~1", "0"}} {
		if d := cmp.Diff(want, pointer(pointed)); d != "" {
			t.Errorf("%q:\n%s", pointed, d)
		}
	}
}
