package helm

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/check"
	"github.com/sluice-dev/sluice/internal/check/checktest"
)

// chartOf makes a chart of its files; those below charts/NAME belong to another chart that it brings along.
func chartOf(name string, files map[string]string) *chart.Chart {
	c := &chart.Chart{Metadata: &chart.Metadata{APIVersion: "v2", Name: name, Version: "1.0.0", KubeVersion: ">=1.99.0"}}
	below := map[string]map[string]string{}
	for file, text := range files {
		data := []byte(text)
		if rest, ok := strings.CutPrefix(file, "charts/"); ok {
			sub, inner, _ := strings.Cut(rest, "/")
			if below[sub] == nil {
				below[sub] = map[string]string{}
			}
			below[sub][inner] = text
			continue
		}
		switch {
		case file == "values.schema.json":
			c.Schema = data
		case path.Dir(file) == "templates":
			c.Templates = append(c.Templates, &common.File{Name: file, Data: data})
		default:
			c.Raw = append(c.Raw, &common.File{Name: file, Data: data})
		}
	}
	for sub, inner := range below {
		c.AddDependency(chartOf(sub, inner))
	}
	return c
}

func subjectOf(t *testing.T, strategy v1alpha1.Strategy, values string, files map[string]string) check.Subject {
	t.Helper()
	file, err := chartutil.Save(chartOf("app", files), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return check.Subject{Environment: "dev", Release: &v1alpha1.Release{
		Service: "shop", Version: "0.0.0-check", ChartArchive: archive, Images: map[string]string{"web": "registry/web@sha256:0"},
		Spec:         v1alpha1.Service{Chart: "deploy/chart", ImageValues: map[string]string{"web": "image"}, SlotValues: map[string]string{"name": "{{.Slot}}"}},
		Environments: map[string]v1alpha1.Environment{"dev": {Namespace: "dev", Values: []string{"dev.yaml"}, Strategy: strategy}},
		Files:        map[string][]byte{"dev.yaml": []byte(values)},
	}}
}

func TestExaminerKeepsTheContract(t *testing.T) {
	for name, strategy := range map[string]v1alpha1.Strategy{"direct": {Direct: &v1alpha1.Direct{}}, "slots": {BlueGreen: &v1alpha1.BlueGreen{}}} {
		t.Run(name, func(t *testing.T) {
			const fine = `{apiVersion: v1, kind: ConfigMap, metadata: {name: {{ .Release.Name }}, namespace: {{ (lookup "v1" "Secret" "a" "b").x }}}}`
			checktest.Run(t, Examiner{},
				subjectOf(t, strategy, "a: 1", map[string]string{"templates/a.yaml": fine}),
				subjectOf(t, strategy, "a: 1", map[string]string{"templates/a.yaml": "{{ fail `no` }}"}))
		})
	}
}

func TestExaminerFindsAllAtOnce(t *testing.T) {
	direct, slots := v1alpha1.Strategy{Direct: &v1alpha1.Direct{}}, v1alpha1.Strategy{Canary: &v1alpha1.Canary{}}
	const set = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: {{ .Release.Name }}}}"
	for name, c := range map[string]struct {
		strategy v1alpha1.Strategy
		values   string
		files    map[string]string
		want     []string
	}{
		"templates": {direct, "", map[string]string{
			"templates/a.yaml":           "\n{{ required `a host is needed` .Values.host }}",
			"templates/b.yaml":           "{{ .Values.a.b }}",
			"templates/c.yaml":           "{{ if }}",
			"templates/d.yaml":           "a: [",
			"templates/e.yaml":           "kind: {{ .Values.kind }}",
			"charts/db/templates/f.yaml": "{{ nosuch }}",
			"templates/g.yaml":           "{apiVersion: v1, kind: ConfigMap, metadata: {name: g}}",
		}, []string{
			`deploy/chart/charts/db/templates/f.yaml:1:1: function "nosuch" not defined (service shop in dev)`,
			"deploy/chart/templates/a.yaml:2:4: a host is needed (service shop in dev)",
			"deploy/chart/templates/b.yaml:1:11: nil pointer evaluating interface {}.b (service shop in dev)",
			"deploy/chart/templates/c.yaml:1:1: missing value for if (service shop in dev)",
			"deploy/chart/templates/d.yaml: yaml: line 1: did not find expected node content (service shop in dev); the template renders no YAML",
			"deploy/chart/templates/e.yaml: Object 'Kind' is missing in '{\"kind\":null}' (service shop in dev); the template renders no Kubernetes object",
		}},
		"definitions": {direct, "", map[string]string{
			"templates/_a.tpl":  "{{ define `a` }}\n  {{ fail `not so` }}{{ end }}{{ define `b` }}\n\n {{ .Values.b.c }}{{ end }}",
			"templates/a.yaml":  "{{ include `a` . }}",
			"templates/a2.yaml": "{{ include `a` . }}",
			"templates/b.yaml":  "{{ include `b` . }}",
			"templates/c.yaml":  "{{ include `c` . }}",
		}, []string{
			"deploy/chart/templates/_a.tpl:4:12: nil pointer evaluating interface {}.c (service shop in dev)",
			"deploy/chart/templates/a.yaml:1:4: not so (service shop in dev)",
			"deploy/chart/templates/a2.yaml:1:4: not so (service shop in dev)",
			"deploy/chart/templates/c.yaml:1:4: template: no template \"c\" associated with template \"gotpl\" (service shop in dev)",
		}},
		"broken definitions": {direct, "", map[string]string{"templates/_a.tpl": "{{ define `a` }}", "templates/a.yaml": "{{ include `a` . }}"}, []string{
			"deploy/chart/templates/_a.tpl:1:1: unexpected EOF (service shop in dev)",
		}},
		"values": {slots, "replicas: many\nname: 3", map[string]string{
			"values.schema.json": `{"required": ["host"], "properties": {"replicas": {"type": "integer"}, "image": {"maxLength": 3}, "name": {"maxLength": 4, "type": "string"}, "host": {}}}`,
		}, []string{
			"services.shop.imageValues.web: the chart's schema does not take an image's reference at image: maxLength: got 21, want 3 (service shop in dev)",
			"services.shop.slotValues.name: the chart's schema does not take it: maxLength: got 5, want 4 (service shop in dev)",
			"deploy/chart/values.schema.json: host: missing property 'host' in every values file and in the chart's own (service shop in dev); set it in a values file of the environment",
			"dev.yaml: name: got number, want string (service shop in dev)",
			"dev.yaml: replicas: got string, want integer (service shop in dev)",
		}},
		"a values file that is none": {direct, "a: [", nil, []string{
			"dev.yaml: error converting YAML to JSON: yaml: line 1: did not find expected node content (service shop in dev)",
		}},
		"an image below what is no map": {direct, "image: 1", map[string]string{"templates/a.yaml": ""}, nil},
		"what slots cannot share": {slots, "", map[string]string{"templates/a.yaml": set}, []string{
			"deploy/chart: slots: service shop cannot have two slots with StatefulSet/shop (app/templates/a.yaml): each slot would run its own (service shop in dev); list what both",
		}},
		"what one copy may have": {direct, "", map[string]string{"templates/a.yaml": set}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := Examiner{}.Check(t.Context(), subjectOf(t, c.strategy, c.values, c.files))
			if err != nil || len(report.Unchecked) > 0 {
				t.Fatal(err, report.Unchecked)
			}
			have := make([]string, len(report.Findings))
			for i, f := range report.Findings {
				have[i] = f.String()
				if i < len(c.want) && strings.HasPrefix(have[i], c.want[i]) {
					have[i] = c.want[i]
				}
			}
			if diff := cmp.Diff(c.want, have, cmp.Transformer("empty", func(s []string) string { return strings.Join(s, "\n") })); diff != "" {
				t.Errorf("the findings differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExaminerSaysWhatItDidNotLookAt(t *testing.T) {
	direct := v1alpha1.Strategy{Direct: &v1alpha1.Direct{}}
	for schema, far := range map[string]string{
		`{"$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://schemas.invalid/app.json", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "string"}}}`: "",
		`{"properties": {"a": {"$ref": "https://schemas.invalid/a.json"}}}`:                                     "https://schemas.invalid/a.json",
		`{"$id": "https://schemas.invalid/app.json", "allOf": [{"properties": {"a": {"$ref": "other.json"}}}]}`: "other.json",
		`{"$schema": "https://schemas.invalid/meta.json"}`:                                                      "https://schemas.invalid/meta.json",
	} {
		report, err := Examiner{}.Check(t.Context(), subjectOf(t, direct, "a: 1", map[string]string{"charts/db/values.schema.json": schema, "templates/a.yaml": "{{ fail `no` }}"}))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case far == "" && len(report.Unchecked) > 0, far != "" && (len(report.Unchecked) != 1 || len(report.Findings) != 1):
			t.Errorf("%s: %v", schema, report)
		case far != "" && (!strings.Contains(report.Unchecked[0].Message, far) || report.Unchecked[0].File != "deploy/chart/charts/db/values.schema.json"):
			t.Errorf("%s: %v", schema, report)
		}
	}
	// Nobody is asked for it, also where all else is fine.
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	t.Cleanup(server.Close)
	far := map[string]string{"values.schema.json": `{"$ref": "` + server.URL + `/a.json"}`, "templates/a.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: {{ .Release.Name }}}}"}
	for _, strategy := range []v1alpha1.Strategy{direct, {BlueGreen: &v1alpha1.BlueGreen{}}} {
		report, err := Examiner{}.Check(t.Context(), subjectOf(t, strategy, "a: 1", far))
		if err != nil || len(report.Findings) > 0 || len(report.Unchecked) != 1 || asked {
			t.Errorf("%v, %v, asked: %v", report, err, asked)
		}
	}
	// A template that would fail for want of what is missing is not rendered; values are compared with the schemas that are there.
	subject := subjectOf(t, direct, "a: 1", map[string]string{"templates/a.yaml": "{{ include `common.name` . }}", "values.schema.json": `{"properties": {"a": {"type": "string"}}}`})
	subject.Missing = []string{"common 1.0.0 of oci://registry.invalid"}
	report, err := Examiner{}.Check(t.Context(), subject)
	if err != nil || len(report.Findings) != 1 || report.Findings[0].Path != "a" {
		t.Errorf("%v, %v", report, err)
	}
}
