package keyvault_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables/keyvault"
)

func TestVersionsAreListedWithoutReading(t *testing.T) {
	v := newVault(t)
	var last string
	for i := range 5 { // three pages
		last = v.put("DB_PASSWORD", fmt.Sprint("content-", i)).ID.Version()
	}
	got, err := v.store(t, keyvault.Options{}).Versions(t.Context(), queries("DB_PASSWORD"))
	if err != nil || got[0].Version != last || got[0].Value.Reveal() != "" {
		t.Errorf("the newest is %v, %v, and not %s", got, err, last)
	}
	for _, request := range v.Seen() {
		if !strings.Contains(request, "/secrets/DB-PASSWORD/versions") {
			t.Errorf("it asked for %s", request)
		}
	}
}

func TestWhatIsNotThereHasNoVersions(t *testing.T) {
	v := newVault(t)
	_, err := v.store(t, keyvault.Options{}).Versions(t.Context(), queries("missing"))
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "variable missing: there is no secret missing") || !strings.Contains(fault.HintOf(err), "az keyvault secret set") {
		t.Errorf("it gave %v; %s", err, fault.HintOf(err))
	}
}

func TestTheRightToListIsNamed(t *testing.T) {
	for inner, want := range map[string][]string{
		"ForbiddenByRbac": {"no role on prod-vault.vault.azure.net that lets it list the versions of secrets", "--role 'Key Vault Reader'"},
		"AccessDenied":    {"do not let the identity list secrets", "--secret-permissions list"},
		"Other":           {"may not list the versions of secrets", "--secret-permissions list"},
	} {
		v := newVault(t)
		v.refuseAll(&refusal{403, "Forbidden", inner, "Caller is not authorized."})
		_, err := v.store(t, keyvault.Options{}).Versions(t.Context(), queries("a"))
		if text := fmt.Sprint(err, fault.HintOf(err)); !fault.Is(err, fault.Unreachable) || !strings.Contains(text, want[0]) || !strings.Contains(text, want[1]) {
			t.Errorf("%s: it gave %s", inner, text)
		}
	}
}
