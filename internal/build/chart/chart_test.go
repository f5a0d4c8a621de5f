package chart_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/v2/loader"

	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/fault"
)

// write makes a chart's folder from file names and contents.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const chartYAML = `apiVersion: v2
name: shop
version: 0.0.0
annotations: {b: "2", a: "1"}
`

// full is a chart with everything that could come in another order or with another time.
func full() map[string]string {
	return map[string]string{
		"Chart.yaml":                  chartYAML + "dependencies: [{name: cache, version: 1.0.0, repository: ''}, {name: queue, version: 1.0.0, repository: ''}, {name: mail, version: 1.0.0, repository: ''}]\n",
		"Chart.lock":                  "dependencies: []\ndigest: sha256:00\n",
		"values.yaml":                 "# a comment stays\nreplicas: 1\n",
		"values.schema.json":          `{"type":"object"}`,
		"templates/deployment.yaml":   "kind: Deployment\n",
		"templates/_helpers.tpl":      "{{ define \"x\" }}{{ end }}\n",
		"templates/tests/test.yaml":   "kind: Pod\n",
		"README.md":                   "read me",
		".helmignore":                 "*.bak\n",
		"notes.bak":                   "not for the archive",
		"charts/cache/Chart.yaml":     "apiVersion: v2\nname: cache\nversion: 1.0.0\n",
		"charts/cache/templates/a.y":  "a",
		"charts/queue/Chart.yaml":     "apiVersion: v2\nname: queue\nversion: 1.0.0\n",
		"charts/mail/Chart.yaml":      "apiVersion: v2\nname: mail\nversion: 1.0.0\n",
		"charts/mail/templates/b.yml": "b",
	}
}

func TestPackIsAHelmChartOfTheVersion(t *testing.T) {
	packed, err := chart.Packer{}.Pack(t.Context(), write(t, full()), "1.2.3-rc.1")
	if err != nil {
		t.Fatal(err)
	}
	c, err := loader.LoadArchive(bytes.NewReader(packed.Archive))
	if err != nil {
		t.Fatalf("Helm cannot read it: %v", err)
	}
	type seen struct{ Name, Version, AppVersion string }
	want := seen{"shop", "1.2.3-rc.1", "1.2.3-rc.1"}
	if diff := cmp.Diff(want, seen{c.Name(), c.Metadata.Version, c.Metadata.AppVersion}); diff != "" {
		t.Errorf("the chart differs (-want +got):\n%s", diff)
	}
	var metadata seen
	if err := json.Unmarshal(packed.Metadata, &metadata); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, metadata); diff != "" {
		t.Errorf("the configuration differs (-want +got):\n%s", diff)
	}
	if packed.Name != "shop" {
		t.Errorf("Name is %q", packed.Name)
	}
	var values string
	for _, f := range c.Raw {
		if f.Name == "values.yaml" {
			values = string(f.Data)
		}
		if f.Name == "notes.bak" {
			t.Error("an ignored file is in the archive")
		}
	}
	if values != full()["values.yaml"] {
		t.Errorf("values.yaml is %q", values)
	}
	if len(c.Dependencies()) != 3 || len(c.Templates) != 3 {
		t.Errorf("%d dependencies and %d templates", len(c.Dependencies()), len(c.Templates))
	}
}

func TestPackGivesTheSameBytesEveryTime(t *testing.T) {
	first, err := chart.Packer{}.Pack(t.Context(), write(t, full()), "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		dir := write(t, full())
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chtimes(path, time.Time{}, time.Unix(1_000_000_000, 0))
		})
		if err != nil {
			t.Fatal(err)
		}
		again, err := chart.Packer{}.Pack(t.Context(), dir, "1.0.0")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Archive, again.Archive) || !bytes.Equal(first.Metadata, again.Metadata) {
			t.Fatal("the same files with other times gave other bytes")
		}
	}
	changed := full()
	changed["values.yaml"] += "x: 1\n"
	other, err := chart.Packer{}.Pack(t.Context(), write(t, changed), "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first.Archive, other.Archive) {
		t.Error("other values gave the same bytes")
	}
}

func TestPackLeavesTheFolderAlone(t *testing.T) {
	dir := write(t, full())
	if _, err := (chart.Packer{}).Pack(t.Context(), dir, "9.9.9"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != full()["Chart.yaml"] {
		t.Errorf("Chart.yaml was changed to\n%s", data)
	}
}

func TestPackRefusesWhatIsNoChart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "chart.tgz")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		dir, message, hint string
	}{
		"no folder":          {filepath.Join(t.TempDir(), "gone"), "no such folder", "helm create"},
		"a file":             {file, "no folder", "unpack"},
		"no Chart.yaml":      {write(t, map[string]string{"values.yaml": ""}), "holds no Chart.yaml", "helm create"},
		"bad Chart.yaml":     {write(t, map[string]string{"Chart.yaml": "a: b: c"}), "Chart.yaml", "helm lint"},
		"no name":            {write(t, map[string]string{"Chart.yaml": "apiVersion: v2\nversion: 1.0.0\n"}), "name", ""},
		"bad values":         {write(t, map[string]string{"Chart.yaml": chartYAML, "values.yaml": "a: b: c"}), "values.yaml", "helm lint"},
		"bad schema":         {write(t, map[string]string{"Chart.yaml": chartYAML, "values.schema.json": "{"}), "values.schema.json", ""},
		"a library":          {write(t, map[string]string{"Chart.yaml": chartYAML + "type: library\n"}), "library", "application"},
		"missing dependency": {write(t, map[string]string{"Chart.yaml": chartYAML + "dependencies: [{name: db, version: 1.0.0, repository: 'https://example.test'}]\n"}), "db", "helm dependency update"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := chart.Packer{}.Pack(t.Context(), tt.dir, "1.0.0")
			switch {
			case !fault.Is(err, fault.Usage):
				t.Fatalf("got %v of kind %v, want a usage error", err, fault.KindOf(err))
			case !strings.Contains(err.Error(), tt.message), !strings.Contains(err.Error(), tt.dir):
				t.Errorf("%q does not name the folder and %q", err, tt.message)
			case !strings.Contains(fault.HintOf(err), tt.hint):
				t.Errorf("the hint %q does not speak of %q", fault.HintOf(err), tt.hint)
			}
		})
	}
}

func TestPackRefusesAVersionThatHelmWould(t *testing.T) {
	if _, err := (chart.Packer{}).Pack(t.Context(), write(t, full()), "not-semver"); !fault.Is(err, fault.Usage) {
		t.Errorf("got %v, want a usage error", err)
	}
}
