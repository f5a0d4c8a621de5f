package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/internal/config"
)

func TestCommittedSchemaIsFresh(t *testing.T) {
	want, err := generate("../../../api/v1alpha1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(config.Schema())); diff != "" {
		t.Errorf("internal/config/schema.json is stale: run make generate (-want +got)\n%s", diff)
	}
}

func TestCommittedReferenceIsFresh(t *testing.T) {
	want, err := reference("../../../api/v1alpha1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../docs/reference/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/reference/configuration.md is stale: run make generate (-want +got)\n%s", diff)
	}
}

// TestEveryKeyIsDescribed wants a comment on every field of every noun that a sluice.yaml holds.
func TestEveryKeyIsDescribed(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(config.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	definitions, _ := root["$defs"].(map[string]any)
	if len(definitions) < 10 {
		t.Fatalf("only %d definitions", len(definitions))
	}
	definitions["Project"] = root
	for name, d := range definitions {
		properties, _ := d.(map[string]any)["properties"].(map[string]any)
		for key, p := range properties {
			if text, _ := p.(map[string]any)["description"].(string); text == "" {
				t.Errorf("%s.%s has no comment in api/v1alpha1", name, key)
			}
		}
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("sluice.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("sluice.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSchemaAcceptsAndRefuses(t *testing.T) {
	const good = `
apiVersion: sluice.dev/v1alpha1
kind: Project
name: a
registry: localhost:5000/a
services: {a: {chart: chart, images: {a: {ko: .}}, imageValues: {a: image}}}
environments:
  dev:
    cluster: {context: c}
    namespace: x
    strategy: {canary: {traffic: {nginx: {}}, steps: [{weight: 0}, {weight: 100, hold: "${HOLD}"}], keepOld: 1m30s}}
    analysis: {errors: {max: 0.1%, codes: [5xx]}, probe: {path: /, rate: 0.5}, effect: "${EFFECT}", metrics: [{name: a, prometheus: {query: a}, condition: "< 1"}]}
    gates: [{http: {path: /, expect: {json: {a: [1]}}}}, {helmTest: {}}]
`
	schema := compile(t)
	for _, test := range []struct{ name, from, to string }{
		{"the good one", "", ""},
		{"an unknown key", "keepOld:", "keepold:"},
		{"a missing key", "    namespace: x\n", ""},
		{"two members of a union", "nginx: {}", "nginx: {}, gateway: {}"},
		{"no member of a union", "nginx: {}", ""},
		{"a wrong type", "weight: 0", `weight: "0"`},
		{"a weight over 100", "weight: 100", "weight: 101"},
		{"no duration", "1m30s", "90"},
		{"another kind", "kind: Project", "kind: Release"},
		{"no environment", "environments:", "environments: {}\nothers:"},
		{"an image without a builder", "{ko: .}", "{}"},
		{"a number as a share", "max: 0.1%", "max: 0.1"},
		{"no share", "max: 0.1%", "max: '0.1'"},
		{"a rate of nothing", "rate: 0.5", "rate: 0"},
		{"a rate as a string", "rate: 0.5", "rate: '0.5'"},
		{"a metric of nothing", "prometheus: {query: a}, ", ""},
	} {
		text := strings.Replace(good, test.from, test.to, 1)
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); (err == nil) != (test.from == "") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
