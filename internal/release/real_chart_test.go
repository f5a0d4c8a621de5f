package release_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/downloader"
	"helm.sh/helm/v4/pkg/getter"
	helm "helm.sh/helm/v4/pkg/registry"

	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/release"
)

// TestADependencyFromARegistry lets Helm push a chart, and write the Chart.lock of another one that needs it.
func TestADependencyFromARegistry(t *testing.T) {
	// Helm's client gives up at the first failure, so this registry has none.
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host, reg, dir := strings.TrimPrefix(server.URL, "http://"), realMaker().Registry, t.TempDir()
	packer := chart.Packer{Fetch: func(ctx context.Context, reference string) ([]byte, error) {
		return release.FetchChart(ctx, reg, reference)
	}}
	client, err := helm.NewClient(helm.ClientOptPlainHTTP(), helm.ClientOptWriter(io.Discard),
		helm.ClientOptCredentialsFile(filepath.Join(dir, "none.json")))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "db/Chart.yaml", "apiVersion: v2\nname: db\nversion: 0.0.0\n")
	for _, version := range []string{"1.2.3", "1.2.4", "1.3.0"} {
		packed, err := packer.Pack(t.Context(), filepath.Join(dir, "db"), version)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Push(packed.Archive, host+"/charts/db:"+version); err != nil {
			t.Fatal(err)
		}
	}
	app := filepath.Join(dir, "app")
	put(t, dir, "app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 0.0.0\ndependencies: [{name: db, version: ~1.2.0, repository: 'oci://"+host+"/charts'}]\n")
	manager := downloader.Manager{
		Out: io.Discard, ChartPath: app, SkipUpdate: true, RegistryClient: client,
		Getters:          getter.Providers{{Schemes: []string{helm.OCIScheme}, New: getter.NewOCIGetter}},
		RepositoryConfig: filepath.Join(dir, "repositories.yaml"), RepositoryCache: filepath.Join(dir, "cache"), ContentCache: filepath.Join(dir, "content"),
	}
	if err := manager.Update(); err != nil {
		t.Fatal(err)
	}
	vendored, err := packer.Pack(t.Context(), app, "2.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(app, "charts")); err != nil {
		t.Fatal(err)
	}
	fetched, err := packer.Pack(t.Context(), app, "2.0.0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := loader.LoadArchive(bytes.NewReader(fetched.Archive))
	if err != nil {
		t.Fatal(err)
	}
	if d := c.Dependencies(); len(d) != 1 || d[0].Metadata.Version != "1.2.4" {
		t.Errorf("dependencies: %+v", d)
	}
	if !bytes.Equal(vendored.Archive, fetched.Archive) {
		t.Error("what Helm put into charts/ and what was fetched give other bytes")
	}
	put(t, dir, "app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 0.0.0\ndependencies: [{name: db, version: ^1.0.0, repository: 'oci://"+host+"/charts'}]\n")
	if _, err := packer.Pack(t.Context(), app, "2.0.0"); !fault.Is(err, fault.Usage) {
		t.Errorf("a lock of another Chart.yaml: %v", err)
	}
}
