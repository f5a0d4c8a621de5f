package pipeline_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/identity/identitytest"
	"github.com/sluice-dev/sluice/internal/identity/pipeline"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/test/proxy"
)

const jobToken = "the-token-of-the-job"

// issued is a token whose claims say what was asked for.
func issued(audience, subject string) string {
	claims, _ := json.Marshal(map[string]any{"iss": "https://ci.test", "sub": subject, "aud": audience, "exp": 1700000000})
	return "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".c2lnbmF0dXJl"
}

// services answer as GitHub Actions and Azure Pipelines document it: https://docs.github.com/actions (OpenID Connect reference) and the
// REST API of Azure DevOps, distributedtask/oidctoken/create.
func services() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /github", func(w http.ResponseWriter, r *http.Request) {
		audience := r.URL.Query().Get("audience")
		if !r.URL.Query().Has("audience") {
			audience = "https://github.com/acme"
		}
		give(w, r, "value", issued(audience, "repo:acme/shop:ref:refs/heads/main"))
	})
	mux.HandleFunc("POST /azure", func(w http.ResponseWriter, r *http.Request) {
		subject := "p://acme/shop/release"
		if connection := r.URL.Query().Get("serviceConnectionId"); connection != "" {
			subject = "sc://acme/shop/" + connection
		}
		if r.URL.Query().Get("api-version") == "" || r.Header.Get("X-TFS-FedAuthRedirect") != "Suppress" {
			http.Redirect(w, r, "/sign-in", http.StatusFound)
			return
		}
		give(w, r, "oidcToken", issued("api://AzureADTokenExchange", subject))
	})
	mux.HandleFunc("/sign-in", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"value": "a page that is no token"}`))
	})
	return mux
}

func give(w http.ResponseWriter, r *http.Request, key, token string) {
	if r.Header.Get("Authorization") != "Bearer "+jobToken {
		http.Error(w, "not "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"count": 1, key: token})
}

// still lets no time pass.
type still struct {
	mu    sync.Mutex
	waits []time.Duration
}

func (s *still) Now() time.Time { return time.Unix(1700000000, 0) }

func (s *still) Wait(ctx context.Context, d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits = append(s.waits, d)
	return ctx.Err()
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { text, ok := env[name]; return text, ok }
}

func github(p *proxy.Proxy) map[string]string {
	return map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": p.Server.URL + "/github?id=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": jobToken}
}

func azure(p *proxy.Proxy) map[string]string {
	return map[string]string{"SYSTEM_OIDCREQUESTURI": p.Server.URL + "/azure", "SYSTEM_ACCESSTOKEN": jobToken}
}

func TestContract(t *testing.T) {
	for name, env := range map[string]func(*proxy.Proxy) map[string]string{pipeline.GitHub: github, pipeline.Azure: azure} {
		t.Run(name, func(t *testing.T) {
			p := proxy.New(t, services())
			identitytest.Run(t, "sigstore", func(*testing.T) identity.Source {
				return pipeline.New(pipeline.Options{LookupEnv: lookup(env(p))})
			})
		})
	}
}

func TestWhatATokenSays(t *testing.T) {
	p := proxy.New(t, services())
	var learned []string
	of := func(env map[string]string) *pipeline.Tokens {
		return pipeline.New(pipeline.Options{LookupEnv: lookup(env), Learn: func(s ...string) { learned = append(learned, s...) }})
	}
	for name, c := range map[string]struct {
		from                       identity.Source
		audience, forWhom, subject string
	}{
		"GitHub":                          {of(github(p)), "sigstore", "sigstore", "repo:acme/shop:ref:refs/heads/main"},
		"GitHub's own audience":           {of(github(p)), "", "https://github.com/acme", "repo:acme/shop:ref:refs/heads/main"},
		"GitHub knows no connection":      {of(github(p)).Connection("c"), "sigstore", "sigstore", "repo:acme/shop:ref:refs/heads/main"},
		"Azure Pipelines":                 {of(azure(p)), "sigstore", "api://AzureADTokenExchange", "p://acme/shop/release"},
		"a connection of Azure Pipelines": {of(azure(p)).Connection("to-prod"), "", "api://AzureADTokenExchange", "sc://acme/shop/to-prod"},
	} {
		t.Run(name, func(t *testing.T) {
			learned = nil
			token, err := c.from.Token(t.Context(), c.audience)
			if err != nil {
				t.Fatal(err)
			}
			says, err := token.Claims()
			if err != nil || says.Subject != c.subject || says.Audience[0] != c.forWhom || !token.Expires.Equal(time.Unix(1700000000, 0)) {
				t.Errorf("it says %v, %v, and ends %v", says, err, token.Expires)
			}
			if len(learned) != 1 || learned[0] != token.Reveal() {
				t.Errorf("%d secrets became known", len(learned))
			}
		})
	}
	if s := of(azure(p)).System(); s != pipeline.Azure {
		t.Errorf("the system is %q", s)
	}
}

func TestNoPipeline(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		cure string
	}{
		"a laptop":                          {nil, ""},
		"a workflow without the permission": {map[string]string{"GITHUB_ACTIONS": "true"}, "id-token: write"},
		"a job without its token":           {map[string]string{"TF_BUILD": "True", "SYSTEM_OIDCREQUESTURI": "https://dev.azure.com/x"}, "SYSTEM_ACCESSTOKEN: $(System.AccessToken)"},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := pipeline.New(pipeline.Options{LookupEnv: lookup(c.env)})
			err := identitytest.Refusing(t, tokens, "x")
			if !errors.Is(err, identity.ErrAbsent) || !strings.Contains(fault.HintOf(err), c.cure) || c.cure == "" && fault.HintOf(err) != "" {
				t.Errorf("it gave %v, hint %q", err, fault.HintOf(err))
			}
			if s := tokens.System(); s != "" {
				t.Errorf("the system is %q", s)
			}
		})
	}
	for _, address := range []string{"nowhere", "http://[", "very secret"} {
		_, err := pipeline.New(pipeline.Options{LookupEnv: lookup(map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": address, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": jobToken})}).Token(t.Context(), "x")
		if !fault.Is(err, fault.Usage) || errors.Is(err, identity.ErrAbsent) || strings.Contains(err.Error(), "very secret") {
			t.Errorf("%q gave %v of kind %v", address, err, fault.KindOf(err))
		}
	}
}

// TestServicesThatFail: what may pass is asked again, what will not is not, and nothing of an answer is repeated.
func TestServicesThatFail(t *testing.T) {
	const leak = `{"value": "", "says": "very secret"}`
	for name, c := range map[string]struct {
		fault http.HandlerFunc
		want  string
		asked int
	}{
		"a refusal":          {proxy.Answer(403, leak), "answered 403 Forbidden, and gave no token", 1},
		"a page":             {proxy.Answer(200, "<html>very secret</html>"), "answered 200 OK, and gave no token", 1},
		"nothing":            {proxy.Answer(200, leak), "answered 200 OK, and gave no token", 1},
		"a way to elsewhere": {proxy.Answer(302, "", "Location", "/sign-in"), "answered 302 Found, and gave no token", 1},
		"overload":           {proxy.Answer(429, leak, "Retry-After", "7"), "answered 429 Too Many Requests (asked 4 times)", 4},
		"a failure":          {proxy.Answer(503, leak), "answered 503 Service Unavailable (asked 4 times)", 4},
		"a reset":            {proxy.Reset, "does not answer: ", 4},
	} {
		t.Run(name, func(t *testing.T) {
			p := proxy.New(t, services())
			p.Always(c.fault)
			clock := &still{}
			tokens := pipeline.New(pipeline.Options{LookupEnv: lookup(github(p)), Clock: clock})
			err := identitytest.Refusing(t, tokens, "x", "very secret", jobToken)
			if !strings.Contains(fmt.Sprint(err), "the token service of GitHub Actions at "+p.Server.URL+" "+c.want) || fault.HintOf(err) == "" {
				t.Errorf("it gave %v, hint %q", err, fault.HintOf(err))
			}
			if errors.As(err, new(*variables.Later)) {
				t.Error("whoever asked would ask again")
			}
			if n := len(p.Seen()); n != c.asked {
				t.Errorf("it was asked %d times: %v", n, p.Seen())
			}
			if name == "overload" && clock.waits[0] != 7*time.Second {
				t.Errorf("it waited %v", clock.waits)
			}
			p.Fault(func(n int, _ *http.Request) http.HandlerFunc {
				if n == 1 && c.asked > 1 {
					return c.fault
				}
				return nil
			})
			if token, err := tokens.Token(t.Context(), "x"); err != nil || token.Reveal() == "" {
				t.Errorf("when it has passed it gave %v", err)
			}
		})
	}
}

func TestAJobThatIsNotTakenForOne(t *testing.T) {
	p := proxy.New(t, services())
	env := azure(p)
	env["SYSTEM_ACCESSTOKEN"] = "of another job"
	err := identitytest.Refusing(t, pipeline.New(pipeline.Options{LookupEnv: lookup(env)}), "x", "of another job")
	if !strings.Contains(fmt.Sprint(err), "answered 401 Unauthorized") || !strings.Contains(fault.HintOf(err), "SYSTEM_ACCESSTOKEN") {
		t.Errorf("it gave %v, hint %q", err, fault.HintOf(err))
	}
}
