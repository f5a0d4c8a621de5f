package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// TestAnEncryptedFileTouchesWhoTakesVariables: and nobody else.
func TestAnEncryptedFileTouchesWhoTakesVariables(t *testing.T) {
	in := input("app/env/prod.yaml")
	prod, web := in.Project.Environments["prod"], in.Project.Services["web"]
	prod.Variables = &v1alpha1.VariableStore{SOPS: "env/prod.yaml"}
	web.Variables = map[string]v1alpha1.Variable{"A": {}}
	in.Project.Environments["prod"], in.Project.Services["web"] = prod, web
	if diff := cmp.Diff([]string{"web by environments.prod.variables.sops: env/prod.yaml"}, touchedBy(planOf(t, in))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
