package doctor

import (
	"slices"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

func TestReferencesNeedRightsOfTheirOwn(t *testing.T) {
	wants := func(env v1alpha1.Environment) (all []string) {
		for _, a := range Wanted(env, nil, nil) {
			if a.Group == "external-secrets.io" {
				all = append(all, a.Right.String()+" in "+a.Namespace)
			}
		}
		return all
	}
	env := v1alpha1.Environment{Namespace: "shop"}
	if got := wants(env); len(got) != 0 {
		t.Errorf("without references: %q", got)
	}
	env.References = &v1alpha1.References{ExternalSecrets: &v1alpha1.ExternalSecrets{Store: "vault", Kind: v1alpha1.KindSecretStore}}
	for _, right := range []string{"create externalsecrets.external-secrets.io in shop", "get secretstores.external-secrets.io in shop"} {
		if got := wants(env); !slices.Contains(got, right) {
			t.Errorf("no %q in %q", right, got)
		}
	}
	env.References.ExternalSecrets.Kind = v1alpha1.KindClusterSecretStore
	if got := wants(env); !slices.Contains(got, "get clustersecretstores.external-secrets.io vault in ") || slices.Contains(got, "get secretstores.external-secrets.io in shop") {
		t.Errorf("a store of the whole cluster wants %q", got)
	}
}
