package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sluice-dev/sluice/internal/config"
)

// FuzzLoad wants no panic, a place for every problem, and of an accepted file that what was understood, written out as JSON
// (which is YAML) with its defaults, pleases the schema, is accepted again and means the same.
func FuzzLoad(f *testing.F) {
	dir := filepath.Dir(write(f, small))
	f.Add([]byte(small))
	f.Add([]byte(strings.ReplaceAll(small, "gateway", "nginx")))
	f.Add([]byte(strings.ReplaceAll(small, "{direct: {}}", "{blueGreen: {traffic: {service: {}}, hold: 1m, keepOld: 1h}}")))
	f.Add([]byte(small + "    analysis: {errors: {max: 1%}, slower: {than: 500ms}, metrics: [{name: a, prometheus: {query: 'a{s=\"$${\"}'}, condition: '< 1'}]" + server + "}\n"))
	f.Add([]byte(strings.Replace(small, dev, dev+"    analysis: {errors: {max: 0.1%, codes: [5xx]}, probe: {rate: 0.5}}\n", 1)))
	f.Add([]byte("a: &a [*a]\n<<: *a\n"))
	f.Add([]byte("- - ? |\n  x\n: >-\n y\n---\n..."))
	path, schema := filepath.Join(dir, "fuzz.yaml"), compileSchema(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := loadText(t, path, text)
		if err != nil {
			for _, p := range config.ProblemsOf(err) {
				if p.Message == "" || p.Line < 0 || p.Line > strings.Count(string(text), "\n")+strings.Count(string(text), "\r")+2 {
					t.Errorf("a problem without a place or words: %+v", p)
				}
			}
			return
		}
		data, err := json.Marshal(first.Project)
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err == nil {
			err = schema.Validate(value)
		}
		if err != nil {
			t.Errorf("what the loader accepts the schema refuses:\n%s\n%v", data, err)
		}
		second, err := loadText(t, path, []byte(strings.ReplaceAll(string(data), "${", "$${")))
		if err != nil {
			t.Fatalf("what was accepted is refused when written out:\n%s\n%v", data, err)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("what was accepted means something else when written out (-first +second)\n%s", diff)
		}
	})
}

func compileSchema(t testing.TB) *jsonschema.Schema {
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

func loadText(t *testing.T, path string, text []byte) (*config.File, error) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return config.Load(path, getenv)
}
