package keyvault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/keyvault"
	"github.com/sluice-dev/sluice/internal/variables/variablestest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	open := func(t *testing.T) variablestest.Subject {
		v := newVault(t)
		return variablestest.Subject{
			Store: v.store(t, keyvault.Options{}),
			Keeps: true,
			Put:   func(_ *testing.T, name, content string) { v.put(name, content) },
			Disable: func(_ *testing.T, name string) {
				off := false
				v.current(name).Enabled = &off
			},
			Expire: func(_ *testing.T, name string) {
				at := today()
				v.current(name).Expires = &at
			},
			Refuse: func(*testing.T) {
				v.refuseAll(&refusal{403, "Forbidden", "ForbiddenByRbac", "Caller is not authorized."})
			},
		}
	}
	variablestest.Run(t, open)
	variablestest.RunVersions(t, open)
}

func TestNames(t *testing.T) {
	v := newVault(t)
	v.put("DB-PASSWORD", "a")
	v.put("long-"+strings.Repeat("x", 122), "b")
	got, err := v.store(t, keyvault.Options{}).Resolve(t.Context(), queries("DB_PASSWORD", "DB_PASSWORD", "long_"+strings.Repeat("x", 122)))
	if err != nil || got[0].Name != "DB_PASSWORD" || got[1].Value.Reveal() != "a" || got[2].Value.Reveal() != "b" {
		t.Errorf("it gave %v, %v", got, err)
	}
	if seen := len(v.Seen()); seen != 3 { // the challenge, and each secret once
		t.Errorf("%d requests: %s", seen, v.Seen())
	}
	for name, c := range map[string]struct {
		ask  []string
		want string
	}{
		"two for one secret":       {[]string{"DB_PASSWORD", "DB-PASSWORD"}, "variable DB-PASSWORD: in Key Vault it is the same secret as variable DB_PASSWORD: DB-PASSWORD"},
		"two that differ in case":  {[]string{"DB_PASSWORD", "db_password"}, "variable db_password: in Key Vault it is the same secret as variable DB_PASSWORD: db-password"},
		"what no secret is called": {[]string{"log.level"}, "variable log.level: Key Vault takes no such name"},
		"a way out of the folder":  {[]string{"../keys/a"}, "variable ../keys/a: Key Vault takes no such name"},
		"none":                     {[]string{""}, "variable : Key Vault takes no such name"},
		"too long a one":           {[]string{strings.Repeat("x", 128)}, "Key Vault takes no such name"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := v.store(t, keyvault.Options{}).Resolve(t.Context(), queries(c.ask...))
			if got != nil || !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), "`name:`") {
				t.Errorf("it gave %v, %v; %s", got, err, fault.HintOf(err))
			}
		})
	}
}

func TestVaults(t *testing.T) {
	for vault, want := range map[string]string{
		"prod-vault":                             "Key Vault prod-vault",
		"Prod-Vault":                             "Key Vault prod-vault",
		"https://prod-vault.vault.azure.net":     "Key Vault prod-vault",
		"https://prod-vault.vault.azure.net/":    "Key Vault prod-vault",
		"https://prod.vault.azure.cn":            "Key Vault prod.vault.azure.cn",
		"https://prod.vault.usgovcloudapi.net":   "Key Vault prod.vault.usgovcloudapi.net",
		"http://prod-vault.vault.azure.net":      "would be read without encryption",
		"https://prod-vault.vault.azure.net/x":   "is not the URL of a vault",
		"https://a:b@prod-vault.vault.azure.net": "is not the URL of a vault",
		"https://":                               "is not the URL of a vault",
		"https://%zz":                            "is not the URL of a vault",
		"https://localhost":                      "is no name",
		"":                                       "is no name", "a": "is no name", "prod_vault": "is no name", "prod--vault": "is no name",
		"prod-vault.evil.example/x?": "is no name that", strings.Repeat("a", 25): "is no name",
	} {
		s, err := keyvault.New(vault, keyvault.Options{})
		switch {
		case strings.HasPrefix(want, "Key Vault"):
			if err != nil || s.String() != want {
				t.Errorf("%q is %v, %v", vault, s, err)
			}
		case !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), want) || fault.HintOf(err) == "":
			t.Errorf("%q is refused with %v; %s", vault, err, fault.HintOf(err))
		}
	}
}

// A secret's times are what the vault's owner wants to be held, and the vault itself does not hold them.
func TestTimes(t *testing.T) {
	v := newVault(t)
	at := func(d time.Duration) *time.Time { when := today().Add(d); return &when }
	v.put("fresh", "x").Attributes.Expires = at(time.Hour)
	v.put("late", "x").Attributes.Expires = at(0)
	v.put("early", "x").Attributes.NotBefore = at(time.Second)
	v.put("now", "x").Attributes.NotBefore = at(0)
	s := v.store(t, keyvault.Options{})
	got, err := s.Resolve(t.Context(), queries("fresh", "now"))
	if err != nil || !got[0].Expires.Equal(*at(time.Hour)) || !got[1].Expires.IsZero() {
		t.Errorf("they are %v, %v", got, err)
	}
	_, err = s.Resolve(t.Context(), queries("late", "early", "fresh"))
	want := `read variables from Key Vault prod-vault: 2 problems:
variable late: secret late, version 00000000000000000000000000abc000, has expired on 2026-01-02T03:04:05Z
variable early: secret early, version 00000000000000000000000000abc000, is not valid before 2026-01-02T03:04:06Z`
	if !fault.Is(err, fault.Refused) || !errors.Is(err, variables.ErrExpired) || cmp.Diff(want, err.Error()) != "" {
		t.Errorf("it failed with %v\n%s", err, cmp.Diff(want, fmt.Sprint(err)))
	}
	if hint := fault.HintOf(err); !strings.Contains(hint, "az keyvault secret set --vault-name prod-vault --name late --expires") || !strings.Contains(hint, "--not-before") {
		t.Errorf("the cure is %s", hint)
	}
}

func TestEarlierVersions(t *testing.T) {
	v := newVault(t)
	first := v.put("a", "first").ID.Version()
	second := v.put("a", "second")
	off := false
	second.Attributes.Enabled = &off
	s := v.store(t, keyvault.Options{})
	for name, c := range map[string]struct {
		ask  variables.Query
		is   error
		kind fault.Kind
	}{
		"kept while the current is disabled":     {variables.Query{Name: "a", Version: first}, nil, fault.Internal},
		"the current is disabled":                {variables.Query{Name: "a"}, variables.ErrDisabled, fault.Refused},
		"the version is disabled":                {variables.Query{Name: "a", Version: second.ID.Version()}, variables.ErrDisabled, fault.Refused},
		"never was, while the other is disabled": {variables.Query{Name: "a", Version: strings.Repeat("f", 32)}, variables.ErrGone, fault.Refused},
		"of a secret that never was":             {variables.Query{Name: "b", Version: first}, nil, fault.NotFound},
		"no version of Key Vault's":              {variables.Query{Name: "a", Version: "../../keys/b"}, variables.ErrGone, fault.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Resolve(t.Context(), []variables.Query{c.ask})
			switch {
			case c.kind == fault.Internal:
				if err != nil || got[0].Value.Reveal() != "first" {
					t.Errorf("it gave %v, %v", got, err)
				}
			case !fault.Is(err, c.kind) || c.is != nil && !errors.Is(err, c.is):
				t.Errorf("it failed with %v", err)
			}
		})
	}
}

// Fifty variables are fifty requests and the one that asks which token is wanted.
func TestRequestsOfFiftyVariables(t *testing.T) {
	v := newVault(t)
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("VARIABLE_%d", i))
		v.put(names[i], fmt.Sprint(i))
	}
	s := v.store(t, keyvault.Options{})
	for _, want := range []int{51, 50} { // the token is kept
		v.Fault(nil)
		got, err := s.Resolve(t.Context(), queries(names...))
		if err != nil || got[49].Value.Reveal() != "49" || len(v.Seen()) != want {
			t.Errorf("%d requests: %v, %v", len(v.Seen()), got, err)
		}
	}
}
