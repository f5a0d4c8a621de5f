package vault_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables/variablestest"
	"github.com/sluice-dev/sluice/internal/variables/vault"
	"github.com/sluice-dev/sluice/test/proxy"
)

const canary = "c4nary-0123456789"

// Everything that answers in Vault's place holds the canary, wherever an answer can hold something.
func TestFaults(t *testing.T) {
	const refusal = `{"errors":["` + canary + `"],"data":{"data":{"A":"` + canary + `"}}}`
	body := func(status int, text string, headers ...string) http.HandlerFunc {
		return proxy.Answer(status, strings.ReplaceAll(text, "CANARY", canary), headers...)
	}
	for name, c := range map[string]struct {
		fault    http.HandlerFunc
		says     string
		cure     string
		requests int
	}{
		"throttled":                {body(429, refusal), "is throttled: a quota takes no more requests for now (asked 4 times)", "wait some seconds", 4},
		"throttled for long":       {body(429, refusal, "Retry-After", "3600"), "it asks to come back in 1h0m0s", "wait some seconds", 1},
		"broken":                   {body(500, refusal), "answered 500 (asked 4 times)", "run the command again", 4},
		"away":                     {body(502, "<html>CANARY"), "answered 502 (asked 4 times)", "run the command again", 4},
		"behind":                   {body(412, refusal), "answered 412 (asked 4 times)", "run the command again", 4},
		"sealed":                   {body(503, `{"errors":["Vault is sealed"]}`), "is sealed", "vault operator unseal", 1},
		"a connection that breaks": {proxy.Reset, "does not answer", "check the network", 4},
		"half an answer":           {proxy.Cut(`{"data":{"data":{"A":"` + canary), "does not answer: unexpected EOF (asked 4 times)", "check the network", 4},
		"half a refusal": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			w.WriteHeader(403)
			proxy.Cut(canary)(w, r)
		}, "does not answer: unexpected EOF (asked 4 times)", "check the network", 4},
		"a sign-in page":             {body(200, "<html>CANARY"), "does not answer as Vault does", "proxy", 1},
		"a redirect to one":          {body(302, "CANARY", "Location", "/CANARY"), "does not answer as Vault does", "proxy", 2},
		"a redirect to nowhere":      {body(307, "CANARY"), "does not answer as Vault does", "proxy", 1},
		"JSON of somebody else":      {body(200, `{"CANARY":1234567890}`), "does not answer as Vault does", "proxy", 1},
		"data of another form":       {body(200, `{"data":{"data":1234567890,"metadata":"CANARY"}}`), "does not answer as Vault does", "proxy", 1},
		"data without a version":     {body(200, `{"data":{"data":{"A":"CANARY"}}}`), "does not answer as Vault does", "proxy", 1},
		"no data":                    {body(200, `{"data":{"data":null,"metadata":{"version":1}}}`), "does not answer as Vault does", "proxy", 1},
		"a deletion at no time":      {body(200, `{"data":{"data":{"A":"CANARY"},"metadata":{"version":1,"deletion_time":"CANARY"}}}`), "does not answer as Vault does", "proxy", 1},
		"a proxy's refusal":          {body(403, "<html>CANARY"), "does not answer as Vault does", "proxy", 1},
		"a proxy's page not found":   {body(404, "<html>CANARY"), "does not answer as Vault does", "proxy", 1},
		"an empty page":              {body(404, ""), "does not answer as Vault does", "proxy", 1},
		"a question it does not get": {body(400, refusal), "answered 400 to the question for second/data/calculator/prod", "vault read", 1},
		"a refusal":                  {body(403, refusal), "forbidden: the token's policies do not let it read second/data/calculator/prod", "capabilities = [\"read\"]", 1},
		"a flood":                    {body(200, `{"data":{"data":{"A":"`+strings.Repeat("x", 17<<20)+`","B":""},"metadata":{"version":1}}}`), "does not answer as Vault does", "proxy", 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := startFake(t)
			b.put("second", "calculator/prod", "A", canary)
			b.put("second", "calculator/prod", "B", canary)
			b.Always(c.fault)
			got, err := b.store(nil).Resolve(t.Context(), variablestest.Current("A", "B"))
			if got != nil || !fault.Is(err, fault.Unreachable) {
				t.Fatalf("it gave %v, %v", got, err)
			}
			variablestest.Told(t, err, []string{b.Server.URL + ", second/calculator/prod", "variables A, B: ", c.says}, c.cure, canary, "1234567890")
			if seen := b.Seen(); len(seen) != c.requests {
				t.Errorf("%d requests: %v", len(seen), seen)
			}
		})
	}
}

// What is said while logging in is repeated, but not what was sent, nor pages.
func TestFaultsOfLogins(t *testing.T) {
	for name, c := range map[string]struct {
		fault    http.HandlerFunc
		says     string
		requests int
	}{
		"what was sent":        {proxy.Answer(400, `{"errors":["no such secret ID: `+canary+`"]}`), "was refused: Bad Request", 1},
		"too much":             {proxy.Answer(400, `{"errors":["`+strings.Repeat("x", 301)+`"]}`), "was refused: Bad Request", 1},
		"what does not fit":    {proxy.Answer(403, `{"errors":["1 error occurred:\n\t* the role is\n\tnone"]}`), "was refused: 1 error occurred: * the role is none", 1},
		"a page":               {proxy.Answer(403, `<html>`+canary), "does not answer as Vault does", 1},
		"a login of nobody":    {proxy.Answer(200, `{"auth":{"client_token":""}}`), "does not answer as Vault does", 1},
		"nothing":              {proxy.Answer(204, ""), "does not answer as Vault does", 1},
		"JSON of another form": {proxy.Answer(200, `{"auth":"`+canary+`"}`), "does not answer as Vault does", 1},
		"away":                 {proxy.Answer(503, canary), "answered 503 (asked 4 times)", 4},
		"throttled":            {proxy.Answer(429, `{"errors":["`+canary+`"]}`), "is throttled", 4},
		"sealed":               {proxy.Answer(503, `{"errors":["Vault is sealed"]}`), "is sealed", 1},
		"a connection broken":  {proxy.Reset, "does not answer", 4},
	} {
		t.Run(name, func(t *testing.T) {
			b := startFake(t)
			b.env["SECRET_ID"] = canary
			b.Always(c.fault)
			s := b.store(func(s *v1alpha1.VaultStore) {
				s.Auth = &v1alpha1.VaultAuth{AppRole: &v1alpha1.VaultAppRole{RoleID: "role-id", SecretID: v1alpha1.VaultCredential{Env: "SECRET_ID"}, Mount: "approle"}}
				s.Key = "value"
			})
			_, err := s.Resolve(t.Context(), variablestest.Current("A", "B"))
			if !fault.Is(err, fault.Unreachable) {
				t.Errorf("it failed with %v", err)
			}
			if n := len(b.Seen()); n != c.requests {
				t.Errorf("%d requests: %v", n, b.Seen())
			}
			variablestest.Told(t, err, []string{"variables A, B: ", c.says}, "", canary, "1234567890")
		})
	}
}

func TestSealed(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.put("second", "calculator/prod", "a", canary)
		s := b.store(nil)
		if _, err := s.Resolve(t.Context(), variablestest.Current("a")); err != nil {
			t.Fatal(err)
		}
		b.write("PUT", "sys/seal", nil)
		_, err := s.Resolve(t.Context(), variablestest.Current("a", "b"))
		variablestest.Told(t, err, []string{"variables a, b: " + b.Server.URL + " is sealed"}, "vault operator unseal -address="+b.Server.URL, canary, "1234567890")
	})
}

// Vault's own quota throttles, and nothing is given.
func TestThrottledByAQuota(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		if b.fake != nil {
			t.Skip("the fake has no quotas")
		}
		b.put("second", "own/a", "value", canary)
		b.put("second", "own/b", "value", canary)
		b.write("POST", "sys/quotas/rate-limit/few", map[string]any{"path": "second", "rate": 1, "interval": "600s"})
		_, err := b.store(func(s *v1alpha1.VaultStore) { s.Path, s.Key = "own", "value" }).Resolve(t.Context(), variablestest.Current("a", "b"))
		if !fault.Is(err, fault.Unreachable) {
			t.Fatalf("it failed with %v", err)
		}
		variablestest.Told(t, err, []string{"variable b: ", "is throttled"}, "vault list -address="+b.Server.URL+" sys/quotas/rate-limit", canary, "1234567890")
	})
}

// A server that goes away after some answers gives none of them.
func TestDownInTheMiddle(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		var names []string
		for i := range 30 {
			names = append(names, fmt.Sprintf("v%d", i))
			b.put("second", "own/"+names[i], "value", canary)
		}
		b.Fault(func(n int, _ *http.Request) http.HandlerFunc {
			if n > 10 {
				return proxy.Reset
			}
			return nil
		})
		got, err := b.store(func(s *v1alpha1.VaultStore) { s.Path, s.Key = "own", "value" }).Resolve(t.Context(), variablestest.Current(names...))
		if got != nil || !fault.Is(err, fault.Unreachable) {
			t.Fatalf("it gave %v, %v", got, err)
		}
		variablestest.Told(t, err, []string{b.Server.URL, "v29", "does not answer"}, "check the network", canary, "1234567890")
		// Who was under way asks again, and Go's client does by itself: what counts is that nothing else is asked for.
		seen := b.Seen()
		slices.Sort(seen)
		if asked := len(slices.Compact(seen)); asked > 10+8 {
			t.Errorf("%d secrets were asked for of a server that is down", asked)
		}
	})
}

func TestPassingFaultsAreWaitedOut(t *testing.T) {
	b := startFake(t)
	b.put("second", "calculator/prod", "a", "content")
	b.Fault(func(n int, _ *http.Request) http.HandlerFunc {
		return map[int]http.HandlerFunc{1: proxy.Answer(429, `{"errors":["quota"]}`, "Retry-After", "7"), 2: proxy.Answer(503, ""), 3: proxy.Cut(`{"data"`)}[n]
	})
	b.reads(b.store(nil))
	if waits, want := b.clock.waits(), []time.Duration{7 * time.Second, time.Second, 2 * time.Second}; !slices.Equal(waits, want) {
		t.Errorf("it waited %v", waits)
	}
}

func TestServerThatHangs(t *testing.T) {
	b := startFake(t)
	b.Always(b.Hang)
	o := b.options()
	o.AnswerTime = 20 * time.Millisecond
	s, err := vault.New(v1alpha1.VaultStore{Address: b.Server.URL, Mount: "second", Path: "calculator/prod", Version: 2}, o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Resolve(t.Context(), variablestest.Current("a"))
	variablestest.Told(t, err, []string{"does not answer", "deadline exceeded (asked 4 times)"}, "check the network", canary, "1234567890")

	ctx, cancel := context.WithCancel(t.Context())
	b.Always(func(w http.ResponseWriter, r *http.Request) { cancel(); b.Hang(w, r) })
	if _, err := b.store(nil).Resolve(ctx, variablestest.Current("a")); !fault.Is(err, fault.Interrupted) {
		t.Errorf("an interruption is %v", err)
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	b := startFake(t)
	at := func(address, ca string) error {
		_, err := b.store(func(s *v1alpha1.VaultStore) { s.Address, s.CAFile = address, ca }).Resolve(t.Context(), variablestest.Current("a", "b"))
		if !fault.Is(err, fault.Unreachable) {
			t.Errorf("%s failed with %v", address, err)
		}
		return err
	}
	variablestest.Told(t, at("http://127.0.0.1:1", ""), []string{"variables a, b: http://127.0.0.1:1 does not answer: dial tcp 127.0.0.1:1: connect: connection refused (asked 4 times)"}, "whether the server runs", canary, "1234567890")

	f := newFake()
	f.engines["second"] = "2"
	f.held["second/calculator/prod"] = []*version{{data: map[string]json.RawMessage{"a": json.RawMessage(`"content"`)}}}
	secure := httptest.NewTLSServer(f)
	t.Cleanup(secure.Close)
	variablestest.Told(t, at(secure.URL, ""), []string{"the certificate of " + secure.URL + " is not trusted"}, "`caFile`", canary, "1234567890")
	variablestest.Told(t, at(strings.Replace(b.Server.URL, "http:", "https:", 1), ""), []string{"does not answer: http: server gave HTTP response to HTTPS client"}, "", canary, "1234567890")
	b.files["ca.pem"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	b.env["VAULT_TOKEN"] = fakeRoot
	b.reads(b.store(func(s *v1alpha1.VaultStore) { s.Address, s.CAFile = secure.URL, "ca.pem" }))
}
