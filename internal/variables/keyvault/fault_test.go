package keyvault_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables/keyvault"
	"github.com/sluice-dev/sluice/test/proxy"
)

const canary = "c4nary-0123456789"

// Everything that answers in the vault's place holds the canary, wherever an answer can hold something.
func TestFaults(t *testing.T) {
	const json = `{"error":{"code":"` + canary + `","message":"` + canary + `","innererror":{"code":"` + canary + `"}}}`
	body := func(status int, text string, headers ...string) http.HandlerFunc {
		return proxy.Answer(status, strings.ReplaceAll(text, "CANARY", canary), headers...)
	}
	for name, c := range map[string]struct {
		fault    http.HandlerFunc
		says     string
		cure     string
		requests int
	}{
		"throttled":                  {body(429, json), "prod-vault.vault.azure.net is throttled: it takes no more requests for now (asked 4 times)", "wait some seconds", 4},
		"throttled for long":         {body(429, json, "Retry-After", "3600"), "it asks to come back in 1h0m0s", "wait some seconds", 1},
		"broken":                     {body(500, json), "prod-vault.vault.azure.net answered 500 (asked 4 times)", "run the command again", 4},
		"away":                       {body(503, "<html>CANARY"), "answered 503 (asked 4 times)", "run the command again", 4},
		"a connection that breaks":   {proxy.Reset, "does not answer", "check the network", 4},
		"half an answer":             {proxy.Cut(`{"value":"` + canary), "does not answer: unexpected EOF (asked 4 times)", "check the network", 4},
		"a sign-in page":             {body(200, "<html>CANARY"), "does not answer as a Key Vault does", "proxy", 1},
		"a number for a value":       {body(200, `{"value":1234567890,"id":"CANARY"}`), "does not answer as a Key Vault does", "proxy", 1},
		"a value without an id":      {body(200, `{"value":"CANARY"}`), "does not answer as a Key Vault does", "proxy", 1},
		"an id without a version":    {body(200, `{"value":"CANARY","id":"https://prod-vault.vault.azure.net/secrets/a"}`), "does not answer as a Key Vault does", "proxy", 1},
		"a proxy's refusal":          {body(403, "<html>CANARY"), "does not answer as a Key Vault does", "proxy", 1},
		"a proxy's page not found":   {body(404, "<html>CANARY"), "does not answer as a Key Vault does", "proxy", 1},
		"a flood":                    {body(200, `{"value":"`+strings.Repeat("x", 2<<20)+`","id":"https://prod-vault.vault.azure.net/secrets/a/1"}`), "does not answer as a Key Vault does", "proxy", 1},
		"JSON of somebody else":      {body(403, `{"CANARY":1234567890}`), "does not answer as a Key Vault does", "proxy", 1},
		"a question it does not get": {body(400, json), "answered 400 to the question for secret A", "az keyvault secret show", 3},
		"a challenge without issuer": {body(401, json, "WWW-Authenticate", `Bearer authorization="CANARY" resource="https://vault.azure.net"`), "does not answer as a Key Vault does", "proxy", 1},
		"a challenge for elsewhere":  {body(401, json, "WWW-Authenticate", `Bearer authorization="https://login/t" resource="https://evil.example"`), "does not answer as a Key Vault does", "proxy", 1},
		"no challenge":               {body(401, json), "does not answer as a Key Vault does", "proxy", 1},
		"a token that is not taken":  {body(401, json, "WWW-Authenticate", `Bearer authorization="https://login/t" resource="https://vault.azure.net"`), "does not accept the token", "properties.tenantId", 2},
		"a refusal of any kind":      {body(403, json), "forbidden: the identity may not read secrets of prod-vault", "Key Vault Secrets User", 3},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			v.put("A", canary)
			v.put("B", canary)
			v.put("C", canary)
			v.Always(c.fault)
			got, err := v.store(t, keyvault.Options{}).Resolve(t.Context(), queries("A", "B", "C"))
			if got != nil || !fault.Is(err, fault.Unreachable) {
				t.Fatalf("it gave %v, %v", got, err)
			}
			told(t, err, []string{"Key Vault prod-vault", "A", "B", "C", c.says}, c.cure)
			if seen := v.Seen(); len(seen) != c.requests {
				t.Errorf("%d requests: %v", len(seen), seen)
			}
		})
	}
}

// told checks what an error says, and that it holds no value however it is printed.
func told(t *testing.T, err error, says []string, cure string) {
	t.Helper()
	for _, want := range says {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q: %v", want, err)
		}
	}
	if !strings.Contains(fault.HintOf(err), cure) {
		t.Errorf("the cure is %q, and not %q", fault.HintOf(err), cure)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if text := fmt.Sprintf("%v %+v %#v %s", e, e, e, fault.HintOf(e)); strings.Contains(text, canary) || strings.Contains(text, "1234567890") {
			t.Errorf("it holds a value: %s", text)
		}
	}
}

func TestForbidden(t *testing.T) {
	const oid = "0a1b2c3d-0000-4000-8000-123456789abc"
	const scope = "/subscriptions/11111111-2222-4333-8444-555555555555/resourcegroups/my-rg/providers/microsoft.keyvault/vaults/prod-vault"
	caller := "Caller: appid=99999999-0000-4000-8000-123456789abc;oid=" + oid + ";iss=https://sts.example/" + canary + "/\r\nResource: '" + scope + "/secrets/a'"
	for inner, c := range map[string]struct{ text, says, cure string }{
		"ForbiddenByRbac": {caller, "no role on prod-vault.vault.azure.net that lets it read secrets",
			"az role assignment create --role 'Key Vault Secrets User' --assignee-object-id " + oid + " --scope " + scope},
		"AccessDenied": {caller, "the access policies of prod-vault.vault.azure.net do not let the identity get secrets",
			"az keyvault set-policy --name prod-vault --object-id " + oid + " --secret-permissions get"},
		"ForbiddenByPolicy": {canary, "access policies", "az keyvault set-policy --name prod-vault --object-id OBJECT-ID"},
		"ForbiddenByFirewall": {"Client address is not authorized and caller is not a trusted service.\r\nClient address: 203.0.113.7\r\n", "the firewall",
			"az keyvault network-rule add --name prod-vault --ip-address 203.0.113.7;"},
		"ForbiddenByConnection": {canary, "not open to public networks", "private endpoint"},
	} {
		t.Run(inner, func(t *testing.T) {
			v := newVault(t)
			v.refuseAll(&refusal{403, "Forbidden", inner, c.text})
			_, err := v.store(t, keyvault.Options{}).Resolve(t.Context(), queries("A", "B"))
			if !fault.Is(err, fault.Unreachable) || strings.Contains(err.Error(), "\n") {
				t.Errorf("it failed with %v", err)
			}
			told(t, err, []string{"variables A, B: forbidden", c.says}, c.cure)
		})
	}
}

// A vault that goes away after some answers gives none of them.
func TestDownInTheMiddle(t *testing.T) {
	v := newVault(t)
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("V%d", i))
		v.put(names[i], canary)
	}
	v.Fault(func(n int, _ *http.Request) http.HandlerFunc {
		if n > 20 {
			return proxy.Reset
		}
		return nil
	})
	got, err := v.store(t, keyvault.Options{}).Resolve(t.Context(), queries(names...))
	if got != nil || !fault.Is(err, fault.Unreachable) {
		t.Fatalf("it gave %v, %v", got, err)
	}
	told(t, err, []string{"Key Vault prod-vault", "V49", "does not answer"}, "check the network")
	// Who was under way asks again, and Go's client does by itself: what counts is that nothing else is asked for.
	seen := v.Seen()
	slices.Sort(seen)
	if asked := len(slices.Compact(seen)); asked > 20+8 {
		t.Errorf("%d secrets were asked for of a server that is down", asked)
	}
}

func TestPassingFaultsAreWaitedOut(t *testing.T) {
	v := newVault(t)
	v.put("A", "content")
	v.Fault(func(n int, _ *http.Request) http.HandlerFunc {
		return map[int]http.HandlerFunc{1: proxy.Answer(429, "{}", "Retry-After", "7"), 3: proxy.Answer(503, ""), 4: proxy.Cut(`{"value"`)}[n]
	})
	got, err := v.store(t, keyvault.Options{}).Resolve(t.Context(), queries("A"))
	if err != nil || got[0].Value.Reveal() != "content" {
		t.Errorf("it gave %v, %v", got, err)
	}
	if waits, want := v.clock.waits(), []time.Duration{7 * time.Second, time.Second, 2 * time.Second}; !slices.Equal(waits, want) {
		t.Errorf("it waited %v", waits)
	}
}

func TestVaultThatHangs(t *testing.T) {
	v := newVault(t)
	v.Always(v.Hang)
	_, err := v.store(t, keyvault.Options{AnswerTime: 20 * time.Millisecond}).Resolve(t.Context(), queries("A"))
	if !fault.Is(err, fault.Unreachable) {
		t.Fatalf("it failed with %v", err)
	}
	told(t, err, []string{"does not answer", "deadline exceeded (asked 4 times)"}, "check the network")

	ctx, cancel := context.WithCancel(t.Context())
	v.Always(func(w http.ResponseWriter, r *http.Request) { cancel(); v.Hang(w, r) })
	if _, err := v.store(t, keyvault.Options{}).Resolve(ctx, queries("A")); !fault.Is(err, fault.Interrupted) {
		t.Errorf("an interruption is %v", err)
	}
}

func TestVaultThatIsNotThere(t *testing.T) {
	v := newVault(t)
	dial := func(err error) *http.Client {
		return &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, err }}}
	}
	_, err := v.store(t, keyvault.Options{Transport: dial(&net.DNSError{Err: "no such host", Name: "prod-vault.vault.azure.net", IsNotFound: true})}).Resolve(t.Context(), queries("A", "B"))
	told(t, err, []string{"variables A, B: there is no host prod-vault.vault.azure.net: the vault's name is wrong"}, "az keyvault list")
	if len(v.clock.waits()) > 0 || !fault.Is(err, fault.Unreachable) {
		t.Errorf("a wrong name is waited for, or %v", err)
	}
	_, err = v.store(t, keyvault.Options{Transport: dial(&net.DNSError{Err: "server misbehaving", Name: "prod-vault.vault.azure.net", IsTemporary: true})}).Resolve(t.Context(), queries("A"))
	told(t, err, []string{"does not answer", "server misbehaving (asked 4 times)"}, "check the network")

	untrusting := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, v.Server.Listener.Addr().String())
	}}
	t.Cleanup(untrusting.CloseIdleConnections)
	_, err = v.store(t, keyvault.Options{Transport: &http.Client{Transport: untrusting}}).Resolve(t.Context(), queries("A"))
	told(t, err, []string{"the certificate of prod-vault.vault.azure.net is not trusted"}, "authority")
	if wrongHost := new(x509.HostnameError); !errors.As(err, wrongHost) && !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("it failed with %v", err)
	}
}

func TestNoToken(t *testing.T) {
	v := newVault(t)
	credential := &azfake.TokenCredential{}
	credential.SetError(errors.New("tried az login: not signed in"))
	_, err := v.store(t, keyvault.Options{Credential: credential}).Resolve(t.Context(), queries("A", "B"))
	if !fault.Is(err, fault.Unreachable) || len(v.Seen()) != 1 {
		t.Errorf("%v after %v", err, v.Seen())
	}
	told(t, err, []string{"variables A, B: no token for prod-vault.vault.azure.net: tried az login: not signed in"}, "az login")
	// Whoever looked for an identity knows best what to do, and that nobody waits any more.
	credential.SetError(fault.New(fault.Unreachable, "sign in to Azure", "no way led to a token").WithHint("trust the branch"))
	_, err = v.store(t, keyvault.Options{Credential: credential}).Resolve(t.Context(), queries("A"))
	told(t, err, []string{"variable A: no token for prod-vault.vault.azure.net: sign in to Azure: no way led to a token"}, "trust the branch")
	credential.SetError(fault.Wrap(fault.Interrupted, "sign in to Azure", context.Canceled))
	if _, err = v.store(t, keyvault.Options{Credential: credential}).Resolve(t.Context(), queries("A")); !fault.Is(err, fault.Interrupted) {
		t.Errorf("interrupted it gave %v of kind %v", err, fault.KindOf(err))
	}
}
