package vault_test

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables/variablestest"
)

// In version 1 no command adds a key to a secret, and the one that is there would remove the others.
func TestNoCommandRemovesKeys(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.put("first", "calculator/prod", "a", "one")
		_, err := b.store(func(s *v1alpha1.VaultStore) { s.Mount, s.Version = "first", 1 }).Resolve(t.Context(), variablestest.Current("NUMBER"))
		fails(t, err, fault.NotFound, nil, "has no key NUMBER", "with all its keys and NUMBER: in version 1 of the engine vault kv put removes those that it is not given")
		if strings.Contains(fault.HintOf(err), "@FILE") {
			t.Errorf("it offers a command: %s", fault.HintOf(err))
		}
	})
}
