package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/rbac"
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

// A right to one object is given for that one, and what is said of it is true.
func TestARightToOneObjectIsGivenForThatOne(t *testing.T) {
	env := v1alpha1.Environment{Namespace: "shop", References: &v1alpha1.References{
		ExternalSecrets: &v1alpha1.ExternalSecrets{Store: "vault", Kind: v1alpha1.KindClusterSecretStore},
	}}
	steps := func(brought ...Access) string {
		f := Facts{Namespace: "shop", Cluster: Cluster{Access: Wanted(env, nil, brought), Server: "https://c"}}
		for i := range f.Cluster.Access {
			f.Cluster.Access[i].Allowed = f.Cluster.Access[i].Namespace != ""
		}
		return strings.Join(granting(f, lacks(f.Cluster.Access)), "\n")
	}
	role := Access{Right: rbac.Right{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}}
	one := `{apiGroups: ["external-secrets.io"], resources: [clustersecretstores], resourceNames: ["vault"], verbs: [get]}`
	if got := steps(); !strings.Contains(got, one) || !strings.HasPrefix(got, "references are read by a ClusterSecretStore") || strings.Contains(got, "charts") {
		t.Errorf("for a store it says %s", got)
	}
	if got := steps(role); !strings.Contains(got, one) || !strings.Contains(got, "resources: [clusterroles], verbs: [create]}") || !strings.Contains(got, "the charts bring objects") {
		t.Errorf("for both it says %s", got)
	}
	env.References = nil
	if got := steps(role); !strings.HasPrefix(got, "the charts bring objects that belong to no namespace") || strings.Contains(got, "resourceNames") {
		t.Errorf("for a chart it says %s", got)
	}
	l := lacks([]Access{{Right: rbac.Right{Verb: "get", Resource: "clustersecretstores", Name: "vault"}}})
	if got := lacking(l[0]).Title; got != "may not get clustersecretstores vault in the cluster" {
		t.Errorf("it is said that one %s", got)
	}
}

// Each method of a gate needs the verb that the API server makes of it, and may have it.
func TestGatesNeedTheVerbOfTheirMethod(t *testing.T) {
	for method, verb := range map[string]string{"": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"} {
		env := v1alpha1.Environment{Namespace: "shop", Gates: []v1alpha1.Gate{{HTTP: &v1alpha1.HTTPGate{Method: method}}}}
		var got []string
		for _, a := range Wanted(env, nil, nil) {
			if a.Resource == "services/proxy" {
				got = append(got, a.Verb)
			}
		}
		if !slices.Equal(got, []string{verb}) {
			t.Errorf("%s wants %q", method, got)
		}
	}
}
