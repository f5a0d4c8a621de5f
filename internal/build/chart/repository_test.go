package chart_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	repo "helm.sh/helm/v4/pkg/repo/v1"

	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/fault"
)

// site is an http server with a chart repository whose index Helm wrote.
type site struct {
	*httptest.Server
	dir string

	mu sync.Mutex
	// asked are the paths of requests, with the name of who asked; serve answers in place of the files.
	asked []string
	serve func(w http.ResponseWriter, r *http.Request) bool
}

func newSite(t *testing.T, start func(http.Handler) *httptest.Server) *site {
	t.Helper()
	s := &site{dir: t.TempDir()}
	for _, version := range []string{"1.2.3", "1.2.9", "1.3.0", "1.2.4+a"} {
		if err := os.WriteFile(filepath.Join(s.dir, "db-"+version+".tgz"), database(t, version), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.index(t, "", nil)
	files := http.FileServer(http.Dir(s.dir))
	s.Server = start(http.StripPrefix("/charts/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := r.BasicAuth()
		s.mu.Lock()
		s.asked = append(s.asked, strings.TrimSpace(r.URL.Path+" "+user))
		serve := s.serve
		s.mu.Unlock()
		if serve == nil || !serve(w, r) {
			files.ServeHTTP(w, r)
		}
	})))
	t.Cleanup(s.Close)
	return s
}

// index lets Helm write index.yaml, as `helm repo index` does.
func (s *site) index(t *testing.T, base string, change func(*repo.IndexFile)) {
	t.Helper()
	index, err := repo.IndexDirectory(s.dir, base)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(index)
	}
	if err := index.WriteFile(filepath.Join(s.dir, "index.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// app is a chart that needs the site's in the locked version.
func (s *site) app(t *testing.T, version string) string {
	t.Helper()
	return appOf(t, s.URL+"/charts", version)
}

func appOf(t *testing.T, address, version string) string {
	t.Helper()
	file := strings.Replace(remote, "oci://registry.test/charts/", address, 1)
	return write(t, map[string]string{"Chart.yaml": file, "Chart.lock": lockOf(t, file, version)})
}

func TestPackFetchesFromARepository(t *testing.T) {
	s := newSite(t, httptest.NewServer)
	for _, version := range []string{"1.2.3", "1.2.4+a"} {
		packed, err := chart.Packer{}.Pack(t.Context(), s.app(t, version), "2.0.0")
		if err != nil {
			t.Fatal(err)
		}
		if have := contents(t, packed.Archive)["app/db"]; have != version {
			t.Errorf("the archive holds db %s, want %s", have, version)
		}
	}
	// An index may say where archives lie: elsewhere, and in an OCI registry.
	other := newSite(t, httptest.NewServer)
	s.index(t, other.URL+"/charts", nil)
	if _, err := (chart.Packer{}).Pack(t.Context(), s.app(t, "1.2.3"), "2.0.0"); err != nil || len(other.asked) != 1 {
		t.Errorf("%v, asked %v", err, other.asked)
	}
	s.index(t, "", func(i *repo.IndexFile) {
		for _, v := range i.Entries["db"] {
			v.URLs = []string{"oci://registry.test/charts/db:" + v.Version}
		}
	})
	registry := shelf{"registry.test/charts/db:1.2.3": database(t, "1.2.3"), "registry.test/charts/db:1.2.9": database(t, "1.2.3")}
	if _, err := (chart.Packer{Fetch: registry.fetch}).Pack(t.Context(), s.app(t, "1.2.3"), "2.0.0"); err != nil {
		t.Error(err)
	}
	if _, err := (chart.Packer{Fetch: registry.fetch}).Pack(t.Context(), s.app(t, "1.2.9"), "2.0.0"); !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), "has the digest") {
		t.Errorf("another archive in the registry: %v", err)
	}
	// The index is read once, however many charts come from it; offline, nothing is.
	s.index(t, "", nil)
	s.asked = nil
	two := strings.Replace(remote, "oci://registry.test/charts/", s.URL+"/charts", 1)
	two = strings.Replace(two, "}]", fmt.Sprintf("}, {name: db, alias: other, version: 1.2.3, repository: '%s/charts'}]", s.URL), 1)
	dir := write(t, map[string]string{"Chart.yaml": two})
	if _, err := (chart.Packer{}).Pack(t.Context(), dir, "2.0.0"); !fault.Is(err, fault.Usage) || len(s.asked) > 0 {
		t.Errorf("without a lock: %v, asked %v", err, s.asked)
	}
	packed, err := chart.Packer{Offline: true}.Pack(t.Context(), s.app(t, "1.2.3"), "2.0.0")
	if err != nil || len(s.asked) > 0 || len(packed.Missing) != 1 {
		t.Errorf("offline: %v, asked %v, missing %v", err, s.asked, packed.Missing)
	}
}

func TestPackReadsAnIndexOnce(t *testing.T) {
	s := newSite(t, httptest.NewServer)
	queue, err := chart.Packer{}.Pack(t.Context(), write(t, map[string]string{"Chart.yaml": "apiVersion: v2\nname: queue\nversion: 0.0.0\n"}), "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "queue-1.0.0.tgz"), queue.Archive, 0o644); err != nil {
		t.Fatal(err)
	}
	s.index(t, "", nil)
	inner := strings.Replace(strings.Replace(remote, "oci://registry.test/charts/", s.URL+"/charts", 1), "name: db, version: ~1.2.0", "name: queue, version: 1.0.0", 1)
	inner = strings.Replace(inner, "name: app\nversion: 0.0.0", "name: inner\nversion: 1.0.0", 1)
	outer := "apiVersion: v2\nname: app\nversion: 0.0.0\ndependencies: [{name: inner, version: 1.0.0, repository: 'file://../inner'}, {name: inner2, version: 1.0.0, repository: 'file://../inner2'}]\n"
	dir := write(t, map[string]string{
		"app/Chart.yaml": outer, "inner/Chart.yaml": inner, "inner/Chart.lock": lockOf(t, inner, "1.0.0"),
		"inner2/Chart.yaml": strings.Replace(inner, "name: inner", "name: inner2", 1), "inner2/Chart.lock": lockOf(t, inner, "1.0.0"),
	})
	if _, err := (chart.Packer{}).Pack(t.Context(), filepath.Join(dir, "app"), "2.0.0"); err != nil {
		t.Fatal(err)
	}
	if have := strings.Join(s.asked, ", "); have != "index.yaml, queue-1.0.0.tgz, queue-1.0.0.tgz" {
		t.Errorf("asked for %s", have)
	}
}

func TestPackRefusesWhatARepositoryAnswers(t *testing.T) {
	answer := func(path string, code int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == path {
				w.WriteHeader(code)
				_, _ = w.Write([]byte(body))
			}
			return r.URL.Path == path
		}
	}
	slow := func(w http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	}
	for name, c := range map[string]struct {
		version       string
		index         func(*repo.IndexFile)
		serve         func(http.ResponseWriter, *http.Request) bool
		message, hint string
		kind          fault.Kind
	}{
		"a version between two":  {"1.2.5", nil, nil, "no version 1.2.5 of it; the nearest below is 1.2.4+a and above is 1.2.9", "helm dependency update", fault.Usage},
		"a version above all":    {"1.9.0", nil, nil, "no version 1.9.0 of it; the nearest below is 1.3.0", "", fault.Usage},
		"no such chart":          {"1.2.3", func(i *repo.IndexFile) { delete(i.Entries, "db") }, nil, "has no chart db", "Chart.yaml", fault.Usage},
		"no index":               {"1.2.3", nil, answer("index.yaml", 404, ""), "there is no http", "index.yaml lies directly below", fault.Usage},
		"a page":                 {"1.2.3", nil, answer("index.yaml", 200, "<html>\n\t<a: b: c>"), "is no index of a chart repository", "browser", fault.Usage},
		"an empty page":          {"1.2.3", nil, answer("index.yaml", 200, ""), "has no apiVersion", "browser", fault.Usage},
		"a failure":              {"1.2.3", nil, answer("index.yaml", 500, ""), "answers 500", "try again", fault.Unreachable},
		"who must log in":        {"1.2.3", nil, answer("index.yaml", 401, ""), "refuses the credentials: 401", "helm repo add", fault.Unreachable},
		"no archive":             {"1.2.3", nil, answer("db-1.2.3.tgz", 404, ""), "though the index of", "helm dependency update", fault.Usage},
		"another archive":        {"1.2.3", nil, answer("db-1.2.3.tgz", 200, "other"), "has the digest sha256:", "who changed it", fault.Fatal},
		"an archive of no bound": {"1.2.3", nil, answer("db-1.2.3.tgz", 200, strings.Repeat("x", 32<<20+1)), "more than 32 MiB", "", fault.Fatal},
		"nothing in time":        {"1.2.3", nil, slow, "does not answer in time", "try again", fault.Unreachable},
		"a broken connection": {"1.2.3", nil, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "100")
			return true
		}, "unexpected EOF", "reached from here", fault.Unreachable},
		"no digest": {"1.2.3", func(i *repo.IndexFile) {
			for _, v := range i.Entries["db"] {
				v.Digest = ""
			}
		}, nil, "has no digest of version 1.2.3", "helm dependency build", fault.Fatal},
		"no place": {"1.2.3", func(i *repo.IndexFile) {
			for _, v := range i.Entries["db"] {
				v.URLs = nil
			}
		}, nil, "does not say where version 1.2.3 lies", "", fault.Fatal},
		"another kind of place": {"1.2.3", func(i *repo.IndexFile) {
			for _, v := range i.Entries["db"] {
				v.URLs = []string{"s3://bucket/db.tgz"}
			}
		}, nil, "s3://bucket/db.tgz, which nothing here can fetch", "", fault.Fatal},
		"a circle of redirects": {"1.2.3", nil, func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "/charts/index.yaml", http.StatusFound)
			return true
		}, "in a circle", "", fault.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, httptest.NewServer)
			s.index(t, "", c.index)
			s.serve = c.serve
			timeout := time.Minute
			if strings.Contains(c.message, "in time") {
				timeout = 100 * time.Millisecond
			}
			_, err := chart.Packer{Repositories: chart.Repositories{Timeout: timeout}}.Pack(t.Context(), s.app(t, c.version), "1.0.0")
			switch {
			case !fault.Is(err, c.kind):
				t.Fatalf("got %v of kind %v, want %v", err, fault.KindOf(err), c.kind)
			case !strings.Contains(err.Error(), c.message), !strings.Contains(err.Error(), "dependency db"):
				t.Errorf("%q does not say %q", err, c.message)
			case !strings.Contains(fault.HintOf(err), c.hint):
				t.Errorf("the hint %q does not speak of %q", fault.HintOf(err), c.hint)
			}
		})
	}
}

func TestPackTriesARepositoryAgain(t *testing.T) {
	s := newSite(t, httptest.NewServer)
	seen := map[string]int{}
	s.serve = func(w http.ResponseWriter, r *http.Request) bool {
		if seen[r.URL.Path]++; seen[r.URL.Path] == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	if _, err := (chart.Packer{}).Pack(t.Context(), s.app(t, "1.2.3"), "1.0.0"); err != nil {
		t.Error(err)
	}
}

func TestPackIsInterrupted(t *testing.T) {
	s := newSite(t, httptest.NewServer)
	ctx, cancel := context.WithCancel(t.Context())
	s.serve = func(_ http.ResponseWriter, r *http.Request) bool {
		cancel()
		<-r.Context().Done()
		return true
	}
	if _, err := (chart.Packer{}).Pack(ctx, s.app(t, "1.2.3"), "1.0.0"); !fault.Is(err, fault.Interrupted) {
		t.Errorf("got %v", err)
	}
}

func TestCredentialsStayWithTheirHost(t *testing.T) {
	s, other := newSite(t, httptest.NewTLSServer), newSite(t, httptest.NewTLSServer)
	certificate := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "repositories.yaml")
	keep := func(e repo.Entry) {
		t.Helper()
		file := repo.NewFile()
		e.Name, e.URL, e.Username, e.Password, e.CAFile = "own", s.URL+"/charts/", "ann", "secret", certificate
		file.Add(&e)
		if err := file.WriteFile(config, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pack := func() error {
		s.asked, other.asked = nil, nil
		_, err := chart.Packer{Repositories: chart.Repositories{Config: config}}.Pack(t.Context(), s.app(t, "1.2.3"), "1.0.0")
		return err
	}
	asked := func(what string, own, foreign string) {
		t.Helper()
		if have := strings.Join(s.asked, ", "); have != own {
			t.Errorf("%s: the repository was asked for %s, want %s", what, have, own)
		}
		if have := strings.Join(other.asked, ", "); have != foreign {
			t.Errorf("%s: the other host was asked for %s, want %s", what, have, foreign)
		}
	}
	if err := pack(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("nobody said that this certificate is to be trusted: %v", err)
	}
	keep(repo.Entry{})
	if err := pack(); err != nil {
		t.Fatal(err)
	}
	asked("the same host", "index.yaml ann, db-1.2.3.tgz ann", "")
	s.index(t, other.URL+"/charts", nil)
	if err := pack(); err != nil {
		t.Fatal(err)
	}
	asked("an archive elsewhere", "index.yaml ann", "db-1.2.3.tgz")
	keep(repo.Entry{PassCredentialsAll: true})
	if err := pack(); err != nil {
		t.Fatal(err)
	}
	asked("an archive elsewhere, with --pass-credentials", "index.yaml ann", "db-1.2.3.tgz ann")
	keep(repo.Entry{})
	s.index(t, "", nil)
	s.serve = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL+"/charts/"+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	}
	if err := pack(); err != nil {
		t.Fatal(err)
	}
	asked("a redirect", "index.yaml ann, db-1.2.3.tgz ann", "index.yaml, db-1.2.3.tgz")
	s.serve = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "http://"+s.Listener.Addr().String()+"/charts/index.yaml", http.StatusFound)
		return true
	}
	if err := pack(); !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "not encrypted") {
		t.Errorf("a redirect to http: %v", err)
	}
	if err := os.WriteFile(config, []byte("repositories: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := pack(); !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), config) {
		t.Errorf("a broken file of credentials: %v", err)
	}
}

func TestNoCredentialsInAnAddress(t *testing.T) {
	for _, address := range []string{"https://ann:secret@charts.test", "https://ann:secret@charts.test:port"} {
		for _, offline := range []bool{true, false} {
			_, err := chart.Packer{Offline: offline}.Pack(t.Context(), appOf(t, address, "1.2.3"), "1.0.0")
			if !fault.Is(err, fault.Usage) || strings.Contains(err.Error()+fault.HintOf(err), "secret") {
				t.Errorf("%s: %v", address, err)
			}
		}
	}
}

func TestRepositoryConfig(t *testing.T) {
	for value, want := range map[string]string{"/a/r.yaml": "/a/r.yaml", "": "repositories.yaml"} {
		have := chart.RepositoryConfig(func(string) (string, bool) { return value, value != "" })
		if !strings.HasSuffix(have, want) {
			t.Errorf("%q gives %s", value, have)
		}
	}
}
