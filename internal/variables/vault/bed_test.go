package vault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/identity/pipeline"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/vault"
	"github.com/sluice-dev/sluice/test/proxy"
)

// bed is a server with an engine of each version at `second` and `first`, behind a proxy that can fail in its place.
type bed struct {
	*proxy.Proxy
	t     *testing.T
	clock *still
	root  string
	fake  *fake // nil: it is a real one
	env   map[string]string
	files map[string]string

	contents map[string]map[string]any // of the secrets that put wrote
}

// each runs a test against the fake, and with the build tag e2e against the real server too.
func each(t *testing.T, test func(t *testing.T, b *bed)) {
	t.Helper()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
}

func startFake(t *testing.T) *bed {
	f := newFake()
	f.engines["second"], f.engines["first"] = "2", "1"
	b := newBed(t, f, fakeRoot)
	b.fake = f
	return b
}

func newBed(t *testing.T, server http.Handler, root string) *bed {
	return &bed{Proxy: proxy.New(t, server), t: t, root: root, clock: &still{}, env: map[string]string{"VAULT_TOKEN": root},
		files: map[string]string{}, contents: map[string]map[string]any{}}
}

func toServer(address string) http.Handler {
	to, _ := url.Parse(address)
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
}

// write does what an administrator does.
func (b *bed) write(method, path string, data any) map[string]any {
	b.t.Helper()
	answer, err := b.try(method, path, data)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer
}

func (b *bed) try(method, path string, data any) (map[string]any, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.Server.URL+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Vault-Token", b.root)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %d %s: %w", method, path, response.StatusCode, text, err)
	}
	var answer map[string]any
	_ = json.Unmarshal(text, &answer) // some answers are empty
	return answer, nil
}

// put writes a key of a secret beside those that it has.
func (b *bed) put(mount, path, key string, content any) {
	b.t.Helper()
	at := mount + "/" + path
	if b.contents[at] == nil {
		b.contents[at] = map[string]any{}
	}
	b.contents[at][key] = content
	if mount == "first" {
		b.write("PUT", at, b.contents[at])
		return
	}
	b.write("PUT", mount+"/data/"+path, map[string]any{"data": b.contents[at]})
}

// policy lets whoever has it read a path.
func (b *bed) policy(name, path string) {
	b.t.Helper()
	b.write("PUT", "sys/policies/acl/"+name, map[string]string{"policy": `path "` + path + `" { capabilities = ["read"] }`})
}

func (b *bed) token(policies ...string) string {
	b.t.Helper()
	return b.write("PUT", "auth/token/create", map[string]any{"policies": policies, "ttl": "1h"})["auth"].(map[string]any)["client_token"].(string)
}

func (b *bed) store(change func(*v1alpha1.VaultStore)) *vault.Store {
	b.t.Helper()
	s := v1alpha1.VaultStore{Address: b.Server.URL, Mount: "second", Path: "calculator/prod", Version: 2}
	if change != nil {
		change(&s)
	}
	store, err := vault.New(s, b.options())
	if err != nil {
		b.t.Fatal(err)
	}
	return store
}

func (b *bed) options() vault.Options {
	asked := pipeline.New(pipeline.Options{Clock: b.clock, LookupEnv: func(name string) (string, bool) { text, ok := b.env[name]; return text, ok }})
	return vault.Options{Pipeline: asked, Clock: b.clock, Getenv: func(name string) string { return b.env[name] }, ReadFile: func(path string) ([]byte, error) {
		if text, ok := b.files[path]; ok {
			return []byte(text), nil
		}
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.New("no such file")}
	}}
}

// still is a clock on which time passes only where somebody waits, and then at once. It stands in the present, for real servers do.
type still struct {
	mu     sync.Mutex
	ahead  time.Duration
	passed []time.Duration
}

func (s *still) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.ahead)
}

func (s *still) Wait(ctx context.Context, d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed = append(s.passed, d)
	return ctx.Err()
}

func (s *still) waits() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Duration(nil), s.passed...)
}

func queries(names ...string) []variables.Query {
	var all []variables.Query
	for _, name := range names {
		all = append(all, variables.Query{Name: name})
	}
	return all
}

// seen is how many requests came that end so.
func (b *bed) seen(suffix string) int {
	n := 0
	for _, r := range b.Seen() {
		if strings.HasSuffix(r, suffix) {
			n++
		}
	}
	return n
}
