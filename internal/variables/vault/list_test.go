package vault_test

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

func perVariable(s *v1alpha1.VaultStore) { s.Key = "value" }

// Who lists versions needs a policy that gives no content, and is told which.
func TestVersionsNeedNoRightToContents(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.put("second", "calculator/prod/a", "value", "one")
		b.put("second", "calculator/prod/a", "value", "two")
		b.policy("reader", "second/metadata/calculator/prod/*")
		b.env["VAULT_TOKEN"] = b.token("reader")
		s := b.store(perVariable)
		got, err := s.Versions(t.Context(), queries("a"))
		if err != nil || got[0].Version != "2" || got[0].Value.Reveal() != "" {
			t.Errorf("it gave %v, %v", got, err)
		}
		if _, err := s.Resolve(t.Context(), queries("a")); !fault.Is(err, fault.Unreachable) {
			t.Errorf("with that policy the content is %v", err)
		}
		b.policy("reader", "second/data/calculator/prod/*")
		_, err = s.Versions(t.Context(), queries("a"))
		fails(t, err, fault.Unreachable, nil, "let it read second/metadata/calculator/prod/a", `path "second/metadata/calculator/prod/*" { capabilities = ["read"] }`)
	})
}

func TestVersionsOfWhatIsNotKept(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		s := b.store(perVariable)
		ask := func(name, version string) error {
			_, err := s.Versions(t.Context(), []variables.Query{{Name: name, Version: version}})
			return err
		}
		b.put("second", "calculator/prod/a", "value", "one")
		b.put("second", "calculator/prod/a", "value", "two")
		fails(t, ask("b", ""), fault.NotFound, nil, "there is no secret calculator/prod/b", "vault kv put")
		for _, version := range []string{"0", "-1", "01", "3", "x"} {
			fails(t, ask("a", version), fault.Refused, variables.ErrGone, "version "+version+" of", "vault kv get")
		}
		b.write("DELETE", "second/data/calculator/prod/a", nil)
		fails(t, ask("a", ""), fault.Refused, variables.ErrGone, "it was deleted on 20", "vault kv undelete")
		if err := ask("a", "1"); err != nil {
			t.Errorf("the version before is not there: %v", err)
		}
		b.write("PUT", "second/destroy/calculator/prod/a", map[string]any{"versions": []int{2}})
		fails(t, ask("a", "2"), fault.Refused, variables.ErrGone, "it was destroyed", "vault kv put")
	})
}

func TestVersionsOfASharedSecretAreOneRequest(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.put("second", "calculator/prod", "a", "one")
		b.put("second", "calculator/prod", "b", "one")
		b.Fault(nil)
		got, err := b.store(nil).Versions(t.Context(), []variables.Query{{Name: "a"}, {Name: "b", Version: "1"}, {Name: "a", Version: "2"}})
		if err != nil || got[0].Version != "2" || got[1].Version != "1" || len(b.Seen()) != 1 {
			t.Errorf("%d requests gave %v, %v", len(b.Seen()), got, err)
		}
		_, err = b.store(func(s *v1alpha1.VaultStore) { s.Mount, s.Version = "first", 1 }).Versions(t.Context(), queries("a"))
		if !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), "enable-versioning first") {
			t.Errorf("version 1 gave %v", err)
		}
	})
}
