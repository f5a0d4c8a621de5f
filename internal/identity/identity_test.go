package identity_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

func jwt(payload string) string {
	return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2lnbmVk"
}

func TestClaims(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		want identity.Claims
		err  string
	}{
		"all of them": {jwt(`{"iss": "https://ci", "sub": "repo:acme/shop", "aud": "api://x", "exp": 1700000000, "tid": "t", "oid": "o"}`),
			identity.Claims{Issuer: "https://ci", Subject: "repo:acme/shop", Audience: []string{"api://x"}, Tenant: "t", Object: "o", Expires: time.Unix(1700000000, 0)}, ""},
		"several audiences":      {jwt(`{"aud": ["a", "b"]}`), identity.Claims{Audience: []string{"a", "b"}}, ""},
		"none":                   {jwt(`{}`), identity.Claims{}, ""},
		"something else":         {"very secret", identity.Claims{}, "it has 1 parts"},
		"something damaged":      {"a.very secret.c", identity.Claims{}, "not in base64url"},
		"no claims":              {jwt(`[]`), identity.Claims{}, "holds no claims"},
		"audience of a new kind": {jwt(`{"aud": 7}`), identity.Claims{}, "no audience"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := identity.NewToken(c.raw, time.Time{}).Claims()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || strings.Contains(fmt.Sprint(err), "very secret") {
				t.Errorf("it gave %v", err)
			}
		})
	}
}

func TestAFailureTellsEveryWay(t *testing.T) {
	refused := fault.New(fault.Unreachable, "", "%w", &identity.Refusal{Code: "AADSTS700213", Says: "no matching record"}).WithHint("trust it")
	err := identity.Failed("sign in to Azure", "run az login", &identity.Failure{Attempts: []identity.Attempt{
		{Way: "service principal", Missing: "AZURE_CLIENT_SECRET"},
		{Way: "federation", Found: "client c", Err: refused, Presented: &identity.Claims{Issuer: "https://ci", Subject: "repo:acme/shop", Audience: []string{"api://x"}}},
	}, Decided: "nobody else steps in"})
	want := `sign in to Azure: no way led to a token
  service principal: not tried: AZURE_CLIENT_SECRET
  federation: as client c: AADSTS700213: no matching record; presented was a token by issuer https://ci for subject repo:acme/shop and audience api://x
  nobody else steps in`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	var failure *identity.Failure
	var refusal *identity.Refusal
	if !errors.As(err, &failure) || len(failure.Attempts) != 2 || failure.Attempts[1].Worked() || !errors.As(err, &refusal) || refusal.Code != "AADSTS700213" {
		t.Errorf("it cannot be read: %v, %v", failure, refusal)
	}
	if !fault.Is(err, fault.Unreachable) || fault.HintOf(err) != "trust it" {
		t.Errorf("it is of kind %v, hint %q", fault.KindOf(err), fault.HintOf(err))
	}
	if hint := fault.HintOf(identity.Failed("x", "run az login", &identity.Failure{})); hint != "run az login" {
		t.Errorf("without a cure of its own the hint is %q", hint)
	}
}
