package app

import (
	"errors"
	"slices"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/doctor"
	"github.com/sluice-dev/sluice/internal/registry/oci"
)

// TestWhoNeedsToSignIn: a registry that Docker has credentials for, or that lets anybody read, needs nothing of Azure.
func TestWhoNeedsToSignIn(t *testing.T) {
	env := map[string]string{"AZURE_CLIENT_SECRET": "a secret without its application"}
	a := New(Options{LookupEnv: func(name string) (string, bool) { text, ok := env[name]; return text, ok }})
	_, err := a.azure.Token(t.Context(), "https://containerregistry.azure.net/.default")
	if err == nil {
		t.Fatal("half of a service principal signed in")
	}
	refused := errors.New("the registry refuses the credentials (tried: none, and as the identity of this run: no way)")
	for _, c := range []struct {
		repository doctor.Repository
		needed     bool
	}{
		{doctor.Repository{Name: "acme.azurecr.io/shop/app", Account: oci.ThisRun, Read: refused}, true},
		{doctor.Repository{Name: "acme.azurecr.us/shop/app", Account: oci.ThisRun, Read: refused}, true},
		{doctor.Repository{Name: "acme.azurecr.io/shop/app", Account: oci.ThisRun}, false},
		{doctor.Repository{Name: "acme.azurecr.io/shop/app", Account: "robot", Read: refused}, false},
	} {
		found := a.signIn(doctor.Facts{Repositories: []doctor.Repository{c.repository}}, v1alpha1.Environment{})
		if c.needed != (found != nil) {
			t.Errorf("for %+v it is %+v", c.repository, found)
		}
		if found != nil && (!errors.Is(found.Err, refused) || len(found.Attempts) == 0 || !slices.Equal(found.For, []string{"the registry " + c.repository.Name[:len("acme.azurecr.io")]})) {
			t.Errorf("for %+v it is %+v", c.repository, found)
		}
	}
}
