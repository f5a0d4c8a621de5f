package vault_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fake answers as Vault 1.21 does, as far as the tests ask it; the same tests run against the real server (real_test.go), so that it
// cannot drift from it.
type fake struct {
	mu       sync.Mutex
	engines  map[string]string // mount → version
	held     map[string][]*version
	custom   map[string]map[string]string
	policies map[string][]string
	tokens   map[string][]string // token → policies
	accepts  map[string]string   // mount of a login → credential
	sealed   bool
	removed  int  // the versions up to this one were removed for want of room
	lives    bool // a version with a deletion time is to be deleted then, and not yet
	count    int
}

type version struct {
	data      map[string]json.RawMessage
	deleted   string
	destroyed bool
}

const fakeRoot = "hvs.root-of-the-fake"

func newFake() *fake {
	return &fake{engines: map[string]string{}, held: map[string][]*version{}, custom: map[string]map[string]string{},
		policies: map[string][]string{}, tokens: map[string][]string{fakeRoot: nil}, accepts: map[string]string{}}
}

func refuse(w http.ResponseWriter, status int, errors ...string) {
	if errors == nil {
		errors = []string{}
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": errors})
}

func say(w http.ResponseWriter, status int, data any, more ...any) {
	body := map[string]any{"request_id": "1", "data": data, "auth": nil, "warnings": nil}
	for i := 0; i+1 < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	var body map[string]json.RawMessage
	_ = json.NewDecoder(r.Body).Decode(&body)
	login := strings.HasPrefix(path, "auth/") && strings.HasSuffix(path, "/login")
	policies, known := f.tokens[r.Header.Get("X-Vault-Token")]
	switch {
	case f.sealed:
		refuse(w, 503, "Vault is sealed")
	case login:
		f.login(w, strings.TrimSuffix(strings.TrimPrefix(path, "auth/"), "/login"), body)
	case !known:
		refuse(w, 403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
	case policies != nil && !f.allowed(policies, path):
		if strings.HasPrefix(path, "sys/internal/ui/mounts/") {
			refuse(w, 403, "preflight capability check returned 403")
			return
		}
		refuse(w, 403, "1 error occurred:\n\t* permission denied\n\n")
	default:
		f.serve(w, r, path, body)
	}
}

func (f *fake) allowed(policies []string, path string) bool {
	mount, mounts := strings.CutPrefix(path, "sys/internal/ui/mounts/")
	for _, p := range policies {
		for _, allowed := range f.policies[p] {
			if allowed == path || strings.HasSuffix(allowed, "*") && strings.HasPrefix(path, strings.TrimSuffix(allowed, "*")) || mounts && strings.HasPrefix(allowed, mount+"/") {
				return true
			}
		}
	}
	return false
}

func (f *fake) login(w http.ResponseWriter, mount string, body map[string]json.RawMessage) {
	credential, ok := f.accepts[mount]
	switch {
	case !ok:
		refuse(w, 403, "permission denied")
	case string(body["secret_id"]) != strconv.Quote(credential) && string(body["jwt"]) != strconv.Quote(credential):
		refuse(w, 400, "invalid role or secret ID")
	default:
		f.count++
		token := fmt.Sprintf("hvs.lent-%d", f.count)
		f.tokens[token] = []string{"reader"}
		say(w, 200, nil, "auth", map[string]any{"client_token": token, "lease_duration": 3600})
	}
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request, path string, body map[string]json.RawMessage) {
	parts := strings.SplitN(path, "/", 3)
	switch {
	case path == "sys/seal":
		f.sealed = true
		w.WriteHeader(204)
	case strings.HasPrefix(path, "sys/internal/ui/mounts/"):
		engine := strings.TrimPrefix(path, "sys/internal/ui/mounts/")
		if f.engines[engine] == "" {
			refuse(w, 403, "preflight capability check returned 403")
			return
		}
		say(w, 200, map[string]any{"type": "kv", "options": map[string]string{"version": f.engines[engine]}})
	case strings.HasPrefix(path, "sys/policies/acl/"):
		var policy string
		_ = json.Unmarshal(body["policy"], &policy)
		f.policies[parts[2][len("acl/"):]] = nil
		for _, m := range regexp.MustCompile(`path "([^"]+)"`).FindAllStringSubmatch(policy, -1) {
			f.policies[parts[2][len("acl/"):]] = append(f.policies[parts[2][len("acl/"):]], m[1])
		}
		w.WriteHeader(204)
	case path == "auth/token/create":
		f.count++
		token, policies := fmt.Sprintf("hvs.made-%d", f.count), []string{}
		_ = json.Unmarshal(body["policies"], &policies)
		f.tokens[token] = policies
		say(w, 200, nil, "auth", map[string]any{"client_token": token})
	case path == "auth/token/revoke":
		var token string
		_ = json.Unmarshal(body["token"], &token)
		delete(f.tokens, token)
		w.WriteHeader(204)
	case f.engines[parts[0]] == "1":
		f.first(w, r, path, body)
	case f.engines[parts[0]] == "2" && len(parts) == 3:
		f.second(w, r, parts, body)
	case f.engines[parts[0]] == "2":
		say(w, 404, nil, "warnings", []string{"Invalid path for a versioned K/V secrets engine."})
	default:
		refuse(w, 404, fmt.Sprintf("no handler for route %q. route entry not found.", path))
	}
}

func (f *fake) first(w http.ResponseWriter, r *http.Request, path string, body map[string]json.RawMessage) {
	switch held := f.held[path]; {
	case r.Method == http.MethodPut:
		f.held[path] = []*version{{data: body}}
		w.WriteHeader(204)
	case held == nil:
		refuse(w, 404)
	default:
		say(w, 200, held[0].data)
	}
}

func (f *fake) second(w http.ResponseWriter, r *http.Request, parts []string, body map[string]json.RawMessage) {
	at := parts[0] + "/" + parts[2]
	held := f.held[at]
	metadata := func(n int) map[string]any {
		v := held[n-1]
		return map[string]any{"version": n, "deletion_time": v.deleted, "destroyed": v.destroyed, "custom_metadata": f.custom[at]}
	}
	switch {
	case parts[1] == "metadata" && r.Method == http.MethodGet && held == nil:
		refuse(w, 404)
	case parts[1] == "metadata" && r.Method == http.MethodGet:
		versions := map[string]any{}
		for n := f.removed + 1; n <= len(held); n++ {
			versions[strconv.Itoa(n)] = map[string]any{"created_time": "2026-01-01T00:00:00Z", "deletion_time": held[n-1].deleted, "destroyed": held[n-1].destroyed}
		}
		say(w, 200, map[string]any{"current_version": len(held), "oldest_version": f.removed, "custom_metadata": f.custom[at], "versions": versions})
	case parts[1] == "metadata":
		var custom map[string]string
		_ = json.Unmarshal(body["custom_metadata"], &custom)
		f.custom[at] = custom
		w.WriteHeader(204)
	case parts[1] == "destroy":
		held[len(held)-1].destroyed = true
		w.WriteHeader(204)
	case r.Method == http.MethodDelete:
		held[len(held)-1].deleted = time.Now().UTC().Format(time.RFC3339Nano)
		w.WriteHeader(204)
	case r.Method == http.MethodPut:
		v := &version{}
		_ = json.Unmarshal(body["data"], &v.data)
		f.held[at] = append(held, v)
		held = f.held[at]
		say(w, 200, metadata(len(held)))
	default:
		n, _ := strconv.Atoi(r.URL.Query().Get("version"))
		if n == 0 {
			n = len(held)
		}
		switch {
		case n <= f.removed || n > len(held) || n < 1:
			refuse(w, 404)
		case held[n-1].deleted != "" && !f.lives || held[n-1].destroyed:
			say(w, 404, map[string]any{"data": nil, "metadata": metadata(n)})
		default:
			say(w, 200, map[string]any{"data": held[n-1].data, "metadata": metadata(n)})
		}
	}
}
