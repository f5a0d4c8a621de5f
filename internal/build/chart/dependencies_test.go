package chart_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	helm "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"

	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/fault"
)

// tree is a folder with a chart, app, beside two that it needs: a library, and a chart that the library needs.
func tree() map[string]string {
	return map[string]string{
		"app/Chart.yaml":                 "apiVersion: v2\nname: app\nversion: 0.0.0\ndependencies: [{name: common, version: ^1.0.0, repository: 'file://../common'}]\n",
		"app/templates/a.yaml":           `{{ include "common.a" . }}`,
		"common/Chart.yaml":              "apiVersion: v2\nname: common\nversion: 1.2.0\ntype: library\ndependencies: [{name: base, version: 0.1.0, repository: 'file://../base'}]\n",
		"common/templates/_a.tpl":        `{{ define "common.a" }}kind: ConfigMap{{ end }}`,
		"common/notes.bak":               "not for the archive",
		"common/.helmignore":             "*.bak\n",
		"base/Chart.yaml":                "apiVersion: v2\nname: base\nversion: 0.1.0\n",
		"base/templates/b.yaml":          "kind: Secret\n",
		"app/charts/common/Chart.yaml":   "apiVersion: v2\nname: common\nversion: 1.1.0\n",
		"app/charts/common/old/file.txt": "an old copy",
	}
}

// contents lists the charts in an archive with their versions, and the files of each.
func contents(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	c, err := loader.LoadArchive(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	var walk func(prefix string, c *helm.Chart)
	walk = func(prefix string, c *helm.Chart) {
		out[prefix+c.Name()] = c.Metadata.Version
		for _, f := range c.Raw {
			if f.Name != "Chart.yaml" && !strings.HasPrefix(f.Name, "charts/") {
				out[prefix+c.Name()+"/"+f.Name] = string(f.Data)
			}
		}
		for _, d := range c.Dependencies() {
			walk(prefix+c.Name()+"/", d)
		}
	}
	walk("", c)
	return out
}

func TestPackTakesFoldersBesideTheChart(t *testing.T) {
	dir := write(t, tree())
	packed, err := chart.Packer{}.Pack(t.Context(), filepath.Join(dir, "app"), "2.0.0")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"app": "2.0.0", "app/templates/a.yaml": tree()["app/templates/a.yaml"],
		"app/common": "1.2.0", "app/common/templates/_a.tpl": tree()["common/templates/_a.tpl"], "app/common/.helmignore": "*.bak\n",
		"app/common/base": "0.1.0", "app/common/base/templates/b.yaml": "kind: Secret\n",
	}
	if diff := cmp.Diff(want, contents(t, packed.Archive)); diff != "" {
		t.Errorf("the archive differs (-want +got):\n%s", diff)
	}
	again, err := chart.Packer{}.Pack(t.Context(), filepath.Join(write(t, tree()), "app"), "2.0.0")
	if err != nil || !bytes.Equal(packed.Archive, again.Archive) {
		t.Errorf("the same folders in another place gave other bytes (%v)", err)
	}
	changed := tree()
	changed["base/templates/b.yaml"] = "kind: Service\n"
	other, err := chart.Packer{}.Pack(t.Context(), filepath.Join(write(t, changed), "app"), "2.0.0")
	if err != nil || bytes.Equal(packed.Archive, other.Archive) {
		t.Errorf("a changed dependency gave the same bytes (%v)", err)
	}
	if old, err := os.ReadFile(filepath.Join(dir, "app/charts/common/old/file.txt")); err != nil || string(old) != "an old copy" {
		t.Errorf("the folder was changed: %q, %v", old, err)
	}
}

const remote = "apiVersion: v2\nname: app\nversion: 0.0.0\ndependencies: [{name: db, version: ~1.2.0, repository: 'oci://registry.test/charts/'}]\n"

// lockOf writes a Chart.lock as Helm would for a Chart.yaml.
func lockOf(t *testing.T, chartfile, version string) string {
	t.Helper()
	c, err := loader.LoadDir(write(t, map[string]string{"Chart.yaml": chartfile}))
	if err != nil {
		t.Fatal(err)
	}
	d := c.Metadata.Dependencies[0]
	found := []*helm.Dependency{{Name: d.Name, Repository: d.Repository, Version: version}}
	data, err := json.Marshal([2][]*helm.Dependency{c.Metadata.Dependencies, found})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("dependencies: [{name: %s, repository: %q, version: %q}]\ndigest: sha256:%x\ngenerated: \"2026-01-02T03:04:05Z\"\n",
		d.Name, d.Repository, version, sha256.Sum256(data))
}

// shelf is a registry of charts by reference.
type shelf map[string][]byte

func (s shelf) fetch(_ context.Context, reference string) ([]byte, error) {
	if archive, ok := s[reference]; ok {
		return archive, nil
	}
	return nil, fault.New(fault.NotFound, "pull "+reference, "it does not exist")
}

func database(t *testing.T, version string) []byte {
	t.Helper()
	packed, err := chart.Packer{}.Pack(t.Context(), write(t, map[string]string{"Chart.yaml": "apiVersion: v2\nname: db\nversion: 0.0.0\n"}), version)
	if err != nil {
		t.Fatal(err)
	}
	return packed.Archive
}

func TestPackFetchesWhatTheLockSays(t *testing.T) {
	registry := shelf{
		"registry.test/charts/db:1.2.3":   database(t, "1.2.3"),
		"registry.test/charts/db:1.2.9":   database(t, "1.2.9"),
		"registry.test/charts/db:1.2.4_a": database(t, "1.2.4+a"),
	}
	for _, version := range []string{"1.2.3", "1.2.4+a"} {
		dir := write(t, map[string]string{"Chart.yaml": remote, "Chart.lock": lockOf(t, remote, version)})
		packed, err := chart.Packer{Fetch: registry.fetch}.Pack(t.Context(), dir, "2.0.0")
		if err != nil {
			t.Fatal(err)
		}
		if have := contents(t, packed.Archive)["app/db"]; have != version {
			t.Errorf("the archive holds db %s, want %s", have, version)
		}
	}
	files := map[string]string{"Chart.yaml": remote, "Chart.lock": lockOf(t, remote, "1.2.3"), "charts/db/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.2.3\n"}
	packed, err := chart.Packer{}.Pack(t.Context(), write(t, files), "2.0.0")
	if err != nil || contents(t, packed.Archive)["app/db"] != "1.2.3" {
		t.Errorf("what lies in charts/ must not be fetched: %v", err)
	}
}

func TestPackOfflineNamesWhatItLeavesOut(t *testing.T) {
	files := map[string]string{
		"app/Chart.yaml":    "apiVersion: v2\nname: app\nversion: 0.0.0\ndependencies: [{name: common, version: 1.0.0, repository: 'file://../common'}]\n",
		"common/Chart.yaml": strings.Replace(remote, "name: app", "name: common", 1),
	}
	files["common/Chart.yaml"] = strings.Replace(files["common/Chart.yaml"], "0.0.0", "1.0.0", 1)
	files["common/Chart.lock"] = lockOf(t, files["common/Chart.yaml"], "1.2.3")
	packer := chart.Packer{Offline: true, Fetch: func(context.Context, string) ([]byte, error) {
		t.Error("something was fetched")
		return nil, nil
	}}
	packed, err := packer.Pack(t.Context(), filepath.Join(write(t, files), "app"), "2.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"db 1.2.3 of oci://registry.test/charts/"}, packed.Missing); diff != "" {
		t.Error(diff)
	}
	// What is wrong without anybody being asked stays wrong.
	delete(files, "common/Chart.lock")
	if _, err := packer.Pack(t.Context(), filepath.Join(write(t, files), "app"), "2.0.0"); !fault.Is(err, fault.Usage) {
		t.Errorf("without a lock: %v", err)
	}
}

func TestPackTellsAllThatIsWrong(t *testing.T) {
	files := tree()
	files["app/Chart.yaml"] = "apiVersion: v2\nname: app\nversion: 0.0.0\ndependencies: [{name: a, version: 1.0.0, repository: 'file://../a'}, {name: b, version: 1.0.0, repository: ''}]\n"
	_, err := chart.Packer{}.Pack(t.Context(), filepath.Join(write(t, files), "app"), "1.0.0")
	if err == nil || !strings.Contains(err.Error(), "dependency a: ") || !strings.Contains(err.Error(), "dependency b: ") {
		t.Errorf("got %v", err)
	}
}

func TestPackRefusesDependencies(t *testing.T) {
	local := func(changes map[string]string) map[string]string {
		files := tree()
		maps.Copy(files, changes)
		return files
	}
	oci := func(lock string, changes map[string]string) map[string]string {
		files := map[string]string{"app/Chart.yaml": remote}
		if lock != "" {
			files["app/Chart.lock"] = lock
		}
		maps.Copy(files, changes)
		return files
	}
	asks := func(name, version, repository string) map[string]string {
		return map[string]string{"app/Chart.yaml": fmt.Sprintf("apiVersion: v2\nname: app\nversion: 0.0.0\ndependencies: [{name: %s, version: %q, repository: %q}]\n", name, version, repository)}
	}
	wide := strings.Replace(remote, "~1.2.0", "^1.0.0", 1)
	for name, c := range map[string]struct {
		files         map[string]string
		message, hint string
		kind          fault.Kind
	}{
		"no such folder":           {local(asks("common", "1.x", "file://../commons")), "commons: there is no such folder", "file://../commons", fault.Usage},
		"an absolute path":         {local(asks("common", "1.x", "file:///common")), "another machine", "file://../common", fault.Usage},
		"another name":             {local(asks("commons", "1.x", "file://../common")), "is called common", "Chart.yaml", fault.Usage},
		"out of range":             {local(asks("common", "^2.0.0", "file://../common")), "has version 1.2.0, Chart.yaml asks for ^2.0.0", "", fault.Usage},
		"no range":                 {local(asks("common", "newest", "file://../common")), `"newest" is neither`, "", fault.Usage},
		"a circle":                 {local(map[string]string{"base/Chart.yaml": "apiVersion: v2\nname: base\nversion: 0.1.0\ndependencies: [{name: app, version: 0.0.0, repository: 'file://../app'}]\n"}), "in a circle", "", fault.Usage},
		"broken":                   {local(map[string]string{"base/Chart.yaml": "a: b: c"}), "dependency common: dependency base: load", "helm lint", fault.Usage},
		"no repository":            {asks("common", "1.x", ""), "names no repository", "file://", fault.Usage},
		"a name that Helm knows":   {asks("common", "1.x", "@stable"), "@stable", "helm dependency build", fault.Usage},
		"no lock":                  {oci("", nil), "no Chart.lock", "helm dependency update", fault.Usage},
		"a lock of another file":   {oci(lockOf(t, wide, "1.2.3"), nil), "Chart.lock is out of date", "helm dependency update", fault.Usage},
		"not in the registry":      {oci(lockOf(t, remote, "1.2.8"), nil), "db:1.2.8: it does not exist", "push it", fault.Usage},
		"another version under it": {oci(lockOf(t, remote, "1.2.5"), nil), "holds version 1.2.3", "push", fault.Fatal},
		"no chart under it":        {oci(lockOf(t, remote, "1.2.6"), nil), "is no chart", "", fault.Fatal},
		"an old copy in charts": {oci(lockOf(t, remote, "1.2.3"), map[string]string{"app/charts/db/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.2.1\n"}),
			"holds version 1.2.1, Chart.lock says 1.2.3", "helm dependency build", fault.Usage},
		"two of one name": {oci(lockOf(t, remote, "1.2.3"), map[string]string{"app/charts/a/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.2.3\n",
			"app/charts/b/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.2.3\n"}), "dependency db", "keep one", fault.Usage},
	} {
		t.Run(name, func(t *testing.T) {
			registry := shelf{"registry.test/charts/db:1.2.5": database(t, "1.2.3"), "registry.test/charts/db:1.2.6": []byte("no")}
			dir := filepath.Join(write(t, c.files), "app")
			_, err := chart.Packer{Fetch: registry.fetch}.Pack(t.Context(), dir, "1.0.0")
			switch {
			case !fault.Is(err, c.kind):
				t.Fatalf("got %v of kind %v, want %v", err, fault.KindOf(err), c.kind)
			case !strings.Contains(err.Error(), c.message), !strings.Contains(err.Error(), "pack chart "+dir):
				t.Errorf("%q does not say %q", err, c.message)
			case !strings.Contains(fault.HintOf(err), c.hint):
				t.Errorf("the hint %q does not speak of %q", fault.HintOf(err), c.hint)
			}
		})
	}
}
