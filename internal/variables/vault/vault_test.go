package vault_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/variablestest"
	"github.com/sluice-dev/sluice/internal/variables/vault"
)

func TestStoreKeepsTheContract(t *testing.T) {
	const path = "calculator/prod"
	for layout, c := range map[string]struct {
		mount, key, allowed string
		version             int
	}{
		"version 2, one secret":            {"second", "", "second/data/" + path, 2},
		"version 2, a secret per variable": {"second", "value", "second/data/" + path + "/*", 2},
		"version 1, one secret":            {"first", "", "first/" + path, 1},
		"version 1, a secret per variable": {"first", "value", "first/" + path + "/*", 1},
	} {
		for server, start := range servers() {
			t.Run(layout+", "+server, func(t *testing.T) {
				open := func(t *testing.T, allowed string) variablestest.Subject {
					b := start(t)
					b.policy("reader", allowed)
					b.env["VAULT_TOKEN"] = b.token("reader")
					// Each variable has another beside it, so that there is a secret to miss a key in.
					if c.key == "" {
						b.put(c.mount, path, "first-of-all", "x")
					}
					subject := variablestest.Subject{
						Keeps: c.version == 2,
						Store: b.store(func(s *v1alpha1.VaultStore) { s.Mount, s.Version, s.Key = c.mount, c.version, c.key }),
						Put: func(t *testing.T, name, content string) {
							if c.key == "" {
								b.put(c.mount, path, name, content)
							} else {
								b.put(c.mount, path+"/"+name, c.key, content)
							}
						},
						Refuse: func(*testing.T) { b.policy("reader", "nothing") },
					}
					if c.version == 2 && c.key != "" {
						subject.Expire = func(_ *testing.T, name string) { b.expires(path+"/"+name, "2026-01-02") }
					}
					return subject
				}
				variablestest.Run(t, func(t *testing.T) variablestest.Subject { return open(t, c.allowed) })
				if c.version == 2 {
					// Who lists versions has no right to the contents.
					variablestest.RunVersions(t, func(t *testing.T) variablestest.Subject {
						return open(t, strings.Replace(c.allowed, "/data/", "/metadata/", 1))
					})
				}
			})
		}
	}
}

func (b *bed) expires(path, at string) {
	b.write("POST", "second/metadata/"+path, map[string]any{"custom_metadata": map[string]string{"expires": at}})
}

// What is no text in the secret comes as it was written.
func TestContents(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		for key, content := range map[string]any{"number": 1234567, "flag": true, "list": []any{"a", 1}, "empty": "", "nothing": nil, "a.b": "dotted"} {
			b.put("second", "calculator/prod", key, content)
		}
		got, err := b.store(nil).Resolve(t.Context(), queries("number", "flag", "list", "empty", "a.b"))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"1234567", "true", `["a",1]`, "", "dotted"} {
			if got[i].Value.Reveal() != want {
				t.Errorf("%s is %q", got[i].Name, got[i].Value.Reveal())
			}
		}
		_, err = b.store(nil).Resolve(t.Context(), queries("nothing", "NUMBER"))
		fails(t, err, fault.NotFound, nil, "variable NUMBER: secret calculator/prod, version 6, has no key NUMBER", "vault kv patch -mount=second calculator/prod")
	})
}

func fails(t *testing.T, err error, kind fault.Kind, sentinel error, says, cure string) {
	t.Helper()
	if !fault.Is(err, kind) || sentinel != nil && !errors.Is(err, sentinel) {
		t.Errorf("it failed with %v (%v), and not with %v, %v", err, fault.KindOf(err), kind, sentinel)
	}
	if err != nil && !strings.Contains(err.Error(), says) {
		t.Errorf("it does not say %q: %v", says, err)
	}
	if !strings.Contains(fault.HintOf(err), cure) {
		t.Errorf("the cure is not %q: %s", cure, fault.HintOf(err))
	}
}

func TestVersionsThatAreNotKept(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.put("second", "calculator/prod/a", "value", "one")
		b.put("second", "calculator/prod/a", "value", "two")
		s := b.store(func(s *v1alpha1.VaultStore) { s.Key = "value" })
		ask := func(version string) error {
			_, err := s.Resolve(t.Context(), []variables.Query{{Name: "a", Version: version}})
			return err
		}
		if err := ask("1"); err != nil {
			t.Error(err)
		}
		fails(t, ask("3"), fault.Refused, variables.ErrGone, "version 3 of secret calculator/prod/a is not kept", "vault kv get -mount=second calculator/prod/a")
		for _, version := range []string{"0", "-1", "01", "x", "1&list=true", "99999999999999999999"} {
			fails(t, ask(version), fault.Refused, variables.ErrGone, "version "+version+" of", "vault kv get")
		}
		b.write("DELETE", "second/data/calculator/prod/a", nil)
		for _, version := range []string{"", "2"} {
			fails(t, ask(version), fault.Refused, variables.ErrGone, "version 2 of secret calculator/prod/a is not kept: it was deleted on 20", "vault kv undelete -mount=second -versions=2 calculator/prod/a")
		}
		if err := ask("1"); err != nil {
			t.Errorf("the version before cannot be read: %v", err)
		}
		fails(t, ask("9"), fault.Refused, variables.ErrGone, "version 9 of secret", "")
		b.write("PUT", "second/destroy/calculator/prod/a", map[string]any{"versions": []int{2}})
		fails(t, ask(""), fault.Refused, variables.ErrGone, "it was destroyed", "vault kv put")
	})
}

// Where variables share a secret, an earlier content is found wherever it is kept, and named the same as long as it is the same.
func TestEarlierContentsOfASharedSecret(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		s := b.store(nil)
		version := func(name string) string {
			got, err := s.Resolve(t.Context(), queries(name))
			if err != nil {
				t.Fatal(err)
			}
			return got[0].Version
		}
		b.put("second", "calculator/prod", "a", "one")
		b.put("second", "calculator/prod", "b", "one")
		one, other := version("a"), version("b")
		b.put("second", "calculator/prod", "a", "two")
		b.put("second", "calculator/prod", "b", "two")
		b.put("second", "calculator/prod", "c", "three")
		two := version("a")
		b.put("second", "calculator/prod", "a", "one")
		if one == two || one != version("a") || one == other {
			t.Errorf("the versions are %s, %s, %s, and %s of another", one, two, version("a"), other)
		}
		ask := []variables.Query{{Name: "b", Version: other}, {Name: "a", Version: two}, {Name: "a", Version: one}, {Name: "c"}}
		b.Fault(nil)
		got, err := s.Resolve(t.Context(), ask)
		if err != nil || got[0].Value.Reveal() != "one" || got[1].Value.Reveal() != "two" || got[2].Value.Reveal() != "one" || got[3].Value.Reveal() != "three" {
			t.Errorf("they are %v, %v", got, err)
		}
		if n := len(b.Seen()); n != 4 { // the sixth, fifth, fourth and third version
			t.Errorf("%d requests: %v", n, b.Seen())
		}
		// What was deleted is passed by.
		b.write("DELETE", "second/data/calculator/prod", nil)
		if got, err := s.Resolve(t.Context(), ask[:2]); err != nil || got[0].Value.Reveal() != "one" {
			t.Errorf("behind a deleted version they are %v, %v", got, err)
		}
		_, err = s.Resolve(t.Context(), []variables.Query{{Name: "a"}, {Name: "b", Version: two}})
		fails(t, err, fault.Refused, variables.ErrGone, "variable b: version "+two+" is not kept: no version of secret calculator/prod up to 6 that is kept holds it", "onRollback: current")
		fails(t, err, fault.Refused, variables.ErrGone, "variable a: version 6 of secret calculator/prod is not kept: it was deleted", "vault kv undelete")
	})
}

// The engine removes what it has no room for: it is looked for no longer.
func TestVersionsThatWereRemoved(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.put("second", "calculator/prod", "a", "0")
		got, err := b.store(nil).Resolve(t.Context(), queries("a"))
		if err != nil {
			t.Fatal(err)
		}
		if b.fake == nil {
			b.write("POST", "second/metadata/calculator/prod", map[string]any{"max_versions": 2})
		}
		for i := range 5 {
			b.put("second", "calculator/prod", "a", fmt.Sprint(i+1))
		}
		if b.fake != nil {
			b.fake.removed = 4
		}
		b.Fault(nil)
		_, err = b.store(nil).Resolve(t.Context(), []variables.Query{{Name: "a", Version: got[0].Version}})
		fails(t, err, fault.Refused, variables.ErrGone, "no version of secret calculator/prod up to 6 that is kept holds it", "-max-versions=50")
		if n := len(b.Seen()); n != 3 {
			t.Errorf("%d requests: %v", n, b.Seen())
		}
	})
}

func TestExpiry(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.put("second", "calculator/prod", "a", "one")
		s := b.store(nil)
		for at, want := range map[string]string{"2099-12-31": "2099-12-31T00:00:00Z", "2099-12-31T12:00:00+02:00": "2099-12-31T10:00:00Z"} {
			b.expires("calculator/prod", at)
			got, err := s.Resolve(t.Context(), queries("a"))
			if err != nil || got[0].Expires.UTC().Format(time.RFC3339) != want {
				t.Errorf("%s is %v, %v", at, got, err)
			}
		}
		b.expires("calculator/prod", "2026-01-31")
		_, err := s.Resolve(t.Context(), queries("a"))
		fails(t, err, fault.Refused, variables.ErrExpired, "variable a: secret calculator/prod, version 1, has expired on 2026-01-31T00:00:00Z", "vault kv metadata patch")
		b.expires("calculator/prod", "soon")
		_, err = s.Resolve(t.Context(), queries("a"))
		fails(t, err, fault.Refused, nil, `the custom metadata "expires" of secret calculator/prod is no time`, "-custom-metadata=expires=2027-01-31")
	})
}

// A version that the engine will delete by age says when.
func TestDeletionByAge(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		if b.fake != nil {
			b.put("second", "calculator/prod", "a", "one")
			b.fake.held["second/calculator/prod"][0].deleted = time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)
			b.fake.lives = true
		} else {
			b.write("POST", "second/metadata/calculator/prod", map[string]any{"delete_version_after": "1h"})
			b.put("second", "calculator/prod", "a", "one")
		}
		got, err := b.store(nil).Resolve(t.Context(), queries("a"))
		if err != nil || time.Until(got[0].Expires) < 50*time.Minute || time.Until(got[0].Expires) > time.Hour {
			t.Errorf("it is %v, %v", got, err)
		}
		// What ends first counts.
		for _, left := range []time.Duration{30 * time.Minute, 100 * time.Hour} {
			b.expires("calculator/prod", time.Now().Add(left).Format(time.RFC3339))
			got, err := b.store(nil).Resolve(t.Context(), queries("a"))
			if want := min(left, time.Hour); err != nil || time.Until(got[0].Expires) < want-10*time.Minute || time.Until(got[0].Expires) > want {
				t.Errorf("with %s left it is %v, %v", left, got, err)
			}
		}
	})
}

func TestWrongPlaces(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.put("second", "calculator/prod", "a", "one")
		b.put("first", "calculator/prod", "a", "one")
		b.policy("reader", "second/data/calculator/prod")
		ask := func(change func(*v1alpha1.VaultStore)) error {
			_, err := b.store(change).Resolve(t.Context(), queries("a", "b"))
			return err
		}
		fails(t, ask(func(s *v1alpha1.VaultStore) { s.Path = "calculator/pord" }), fault.NotFound, nil,
			"variables a, b: there is no secret calculator/pord at second", "vault kv put -mount=second calculator/pord KEY=@FILE")
		fails(t, ask(func(s *v1alpha1.VaultStore) { s.Mount, s.Version, s.Path = "first", 1, "no" }), fault.NotFound, nil, "there is no secret no at first", "vault kv put")
		fails(t, ask(func(s *v1alpha1.VaultStore) { s.Mount = "secrets" }), fault.NotFound, nil, "nothing is mounted at secrets", "vault secrets list")
		fails(t, ask(func(s *v1alpha1.VaultStore) { s.Mount = "first" }), fault.Usage, nil, "the engine at first is of version 1, and not 2", "write `version: 1`")
		fails(t, ask(func(s *v1alpha1.VaultStore) { s.Version = 1 }), fault.Usage, nil, "the engine at second is of version 2, and not 1", "write `version: 2`")
		b.env["VAULT_TOKEN"] = b.token("reader")
		if err := ask(nil); !fault.Is(err, fault.NotFound) || strings.Contains(err.Error(), "variable a") {
			t.Errorf("with the least right it says %v", err)
		}
		fails(t, ask(func(s *v1alpha1.VaultStore) { s.Path = "other" }), fault.Unreachable, nil,
			"variables a, b: forbidden: the token's policies do not let it read second/data/other", `let a policy of the token hold: path "second/data/other" { capabilities = ["read"] }`)
		fails(t, ask(func(s *v1alpha1.VaultStore) { s.Key = "value" }), fault.Unreachable, nil, "read second/data/calculator/prod/b", `path "second/data/calculator/prod/*" {`)
	})
}

func TestTokens(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.put("second", "calculator/prod", "a", "one")
		b.policy("reader", "second/data/calculator/prod")
		token := b.token("reader")
		ask := func(s *vault.Store) error {
			_, err := s.Resolve(t.Context(), queries("a"))
			return err
		}
		b.env = map[string]string{}
		fails(t, ask(b.store(nil)), fault.Unreachable, nil, "no token: the environment variable VAULT_TOKEN is not set, and ~/.vault-token holds none", "vault login -address="+b.Server.URL)
		b.env["HOME"], b.files["/home/me/.vault-token"] = "/home/me", token+"\n"
		if err := ask(b.store(nil)); err != nil {
			t.Error(err)
		}
		b.env["VAULT_TOKEN"] = "two words"
		fails(t, ask(b.store(nil)), fault.Unreachable, nil, "the environment variable VAULT_TOKEN holds something that is no credential", "look at it")
		given := func(c v1alpha1.VaultCredential) *vault.Store {
			return b.store(func(s *v1alpha1.VaultStore) { s.Auth = &v1alpha1.VaultAuth{Token: &c} })
		}
		fails(t, ask(given(v1alpha1.VaultCredential{Env: "MINE"})), fault.Unreachable, nil, "no token: the environment variable MINE is not set", "where sluice runs")
		fails(t, ask(given(v1alpha1.VaultCredential{File: "no"})), fault.Unreachable, nil, "no token: open no: no such file", "where sluice runs")
		b.env["MINE"], b.files["mine"] = token, token
		for _, c := range []v1alpha1.VaultCredential{{Env: "MINE"}, {File: "mine"}} {
			if err := ask(given(c)); err != nil {
				t.Error(err)
			}
		}
		s := given(v1alpha1.VaultCredential{Env: "MINE"})
		if err := ask(s); err != nil {
			t.Fatal(err)
		}
		b.write("PUT", "auth/token/revoke", map[string]string{"token": token})
		err := ask(s)
		fails(t, err, fault.Unreachable, nil, "does not know the token: it has expired, or was revoked", "let the token in the environment variable MINE be renewed")
		if strings.Contains(fmt.Sprintf("%+v %#v", err, err), token) {
			t.Error("the error holds the token")
		}
	})
}

// The library would take from the environment which server, and which part of it, is asked.
func TestSettingsComeFromTheirFileAlone(t *testing.T) {
	b := startFake(t)
	b.put("second", "calculator/prod", "a", "one")
	for name, value := range map[string]string{"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_NAMESPACE": "other", "VAULT_TOKEN": "hvs.other", "VAULT_MAX_RETRIES": "9"} {
		t.Setenv(name, value)
	}
	for _, namespace := range []string{"", "team/shop"} {
		b.env["SECRET_ID"], b.fake.accepts["approle"] = "s", "s"
		b.policy("reader", "second/data/calculator/prod")
		b.Fault(func(_ int, r *http.Request) http.HandlerFunc {
			if got := r.Header.Get("X-Vault-Namespace"); got != namespace {
				t.Errorf("%s was asked of namespace %q", r.URL.Path, got)
			}
			if got := r.Header.Get("X-Vault-Token"); strings.HasSuffix(r.URL.Path, "/login") && got != "" {
				t.Errorf("the login presents a token: %s", got)
			}
			return nil
		})
		_, err := b.store(func(s *v1alpha1.VaultStore) {
			s.Namespace = namespace
			s.Auth = &v1alpha1.VaultAuth{AppRole: &v1alpha1.VaultAppRole{RoleID: "r", SecretID: v1alpha1.VaultCredential{Env: "SECRET_ID"}, Mount: "approle"}}
		}).Resolve(t.Context(), queries("a"))
		if err != nil || len(b.Seen()) != 2 {
			t.Errorf("%v after %v", err, b.Seen())
		}
		b.Fault(nil)
	}
}

func TestSettings(t *testing.T) {
	b := startFake(t)
	for name, c := range map[string]struct {
		change func(*v1alpha1.VaultStore)
		says   string
	}{
		"a path that leaves":    {func(s *v1alpha1.VaultStore) { s.Path = "../../sys/raw" }, `its path "../../sys/raw" has an empty part, or one of dots`},
		"a mount of nothing":    {func(s *v1alpha1.VaultStore) { s.Mount = "a//b" }, `its mount "a//b" has an empty part`},
		"no certificate":        {func(s *v1alpha1.VaultStore) { s.CAFile = "ca.pem" }, "caFile ca.pem holds no certificate"},
		"no file":               {func(s *v1alpha1.VaultStore) { s.CAFile = "no.pem" }, "read caFile: open no.pem"},
		"an address of nothing": {func(s *v1alpha1.VaultStore) { s.Address = "http://%zz" }, "prepare to read Vault http://%zz"},
	} {
		t.Run(name, func(t *testing.T) {
			b.files["ca.pem"] = "none"
			s := v1alpha1.VaultStore{Address: b.Server.URL, Mount: "second", Path: "calculator/prod", Version: 2}
			c.change(&s)
			_, err := vault.New(s, b.options())
			if fails(t, err, fault.Usage, nil, c.says, ""); fault.HintOf(err) == "" {
				t.Error("there is no cure")
			}
		})
	}
	_, err := b.store(func(s *v1alpha1.VaultStore) { s.Key = "value" }).Resolve(t.Context(), queries("../x", "", "a/../b"))
	fails(t, err, fault.Usage, nil, "it cannot be the name of a secret", "`name:`")
	s := b.store(func(s *v1alpha1.VaultStore) { s.Namespace = "team" })
	if want := "Vault " + b.Server.URL + ", second/calculator/prod in namespace team"; s.String() != want {
		t.Errorf("it is called %s", s)
	}
}

// Fifty variables of one secret are one request; as secrets of their own they are fifty.
func TestRequestsOfFiftyVariables(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		var names []string
		for i := range 50 {
			names = append(names, fmt.Sprintf("V%d", i))
		}
		one, own := map[string]any{}, b.store(func(s *v1alpha1.VaultStore) { s.Path, s.Key = "own", "value" })
		for _, name := range names {
			one[name] = name
			b.put("second", "own/"+name, "value", name)
		}
		b.write("PUT", "second/data/calculator/prod", map[string]any{"data": one})
		for store, want := range map[*vault.Store]int{b.store(nil): 1, own: 50} {
			b.Fault(nil)
			got, err := store.Resolve(t.Context(), queries(names...))
			if err != nil || got[49].Value.Reveal() != "V49" || len(b.Seen()) != want {
				t.Errorf("%d requests: %v", len(b.Seen()), err)
			}
		}
	})
}
