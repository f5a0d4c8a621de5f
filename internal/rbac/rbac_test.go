package rbac_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/internal/rbac"
)

const folder = "../../docs/operations/rbac"

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the manifests of docs/operations/rbac")
	flag.Parse()
	os.Exit(m.Run())
}

// TestManifests keeps what users apply the same as what the product goes by; `go test ./internal/rbac -update` writes it.
func TestManifests(t *testing.T) {
	files := rbac.Manifests()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if flag.Lookup("update").Value.String() == "true" {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if found, err := os.ReadFile(path); err != nil || string(found) != text {
			t.Errorf("%s is stale (%v): run make generate", path, err)
		}
	}
	found, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(found) != len(files) {
		t.Errorf("%s holds %v, %v", folder, found, err)
	}
}

// TestManifestsAreRoles reads the manifests as Kubernetes does, and finds the rules of the table in them.
func TestManifestsAreRoles(t *testing.T) {
	var documents []string
	for _, name := range slices.Sorted(maps.Keys(rbac.Manifests())) {
		documents = append(documents, strings.Split(rbac.Manifests()[name], "---\n")...)
	}
	roles := map[string]rbac.Role{}
	for _, role := range rbac.Roles() {
		roles[role.Name] = role
	}
	for _, document := range documents {
		var manifest struct {
			APIVersion, Kind string
			Metadata         struct{ Name string }
			Rules            []struct{ APIGroups, Resources, ResourceNames, Verbs []string }
		}
		if err := yaml.UnmarshalStrict([]byte(document), &manifest); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		role, ok := roles[manifest.Metadata.Name]
		if !ok || manifest.Kind != role.Kind() || manifest.APIVersion != "rbac.authorization.k8s.io/v1" {
			t.Errorf("%s %s", manifest.Kind, manifest.Metadata.Name)
		}
		delete(roles, manifest.Metadata.Name)
		var rules []rbac.Rule
		for _, r := range manifest.Rules {
			rules = append(rules, rbac.Rule{Group: r.APIGroups[0], Resources: r.Resources, Names: r.ResourceNames, Verbs: r.Verbs})
		}
		want := slices.Clone(role.Rules)
		for i := range want {
			want[i].Why, want[i].Use = "", ""
		}
		if diff := cmp.Diff(want, rules); diff != "" {
			t.Errorf("%s:\n%s", role.Name, diff)
		}
	}
	if len(roles) > 0 {
		t.Errorf("no manifest holds %v", roles)
	}
}

// TestRolesAreLeast holds what nobody may slip into a role unseen.
func TestRolesAreLeast(t *testing.T) {
	for _, role := range rbac.Roles() {
		for _, right := range rbac.Rights(role.Rules) {
			for _, word := range []string{right.Verb, right.Group, right.Resource} {
				if strings.Contains(word, "*") {
					t.Errorf("%s: %s is a wildcard", role.Name, right)
				}
			}
			escalates := slices.Contains([]string{"escalate", "bind", "impersonate", "deletecollection"}, right.Verb) ||
				right.Group == "rbac.authorization.k8s.io" || right.Resource == "pods/exec" || right.Resource == "serviceaccounts/token"
			if escalates || role.Name == "sluice-view" && right.Resource == "secrets" || !role.Cluster && right.Resource == "namespaces" {
				t.Errorf("%s: %s", role.Name, right)
			}
		}
		for _, rule := range role.Rules {
			if rule.Why == "" || rule.Use == "" || len(rule.Verbs) == 0 || len(rule.Resources) == 0 {
				t.Errorf("%s: %+v", role.Name, rule)
			}
		}
	}
	grants := []rbac.Grant{}
	for _, rule := range rbac.Deploy().Rules {
		grants = append(grants, rbac.Grant{Groups: []string{rule.Group}, Resources: rule.Resources, Verbs: rule.Verbs})
	}
	if missing := rbac.Missing(grants, rbac.Rights(rbac.View().Rules)); len(missing) > 0 {
		t.Errorf("who deploys cannot look: %v", missing)
	}
}

func TestMissing(t *testing.T) {
	secrets := rbac.Right{Verb: "get", Resource: "secrets"}
	scale := rbac.Right{Verb: "patch", Group: "apps", Resource: "deployments/scale"}
	one := rbac.Right{Verb: "get", Resource: "namespaces", Name: "kube-system"}
	list := func(s ...string) []string { return s }
	for _, tt := range []struct {
		name   string
		right  rbac.Right
		grants []rbac.Grant
		given  bool
	}{
		{"nothing", secrets, nil, false},
		{"the same", secrets, []rbac.Grant{{Groups: list(""), Resources: list("secrets"), Verbs: list("get")}}, true},
		{"another verb", secrets, []rbac.Grant{{Groups: list(""), Resources: list("secrets"), Verbs: list("list")}}, false},
		{"another group", secrets, []rbac.Grant{{Groups: list("apps"), Resources: list("secrets"), Verbs: list("get")}}, false},
		{"one of all", secrets, []rbac.Grant{{Groups: list(""), Resources: list("secrets"), Names: list("mine"), Verbs: list("get")}}, false},
		{"everything", secrets, []rbac.Grant{{Groups: list("*"), Resources: list("*"), Verbs: list("*")}}, true},
		{"halves of two rules", secrets, []rbac.Grant{{Groups: list(""), Resources: list("secrets")}, {Verbs: list("get")}}, false},
		{"a resource is not its subresource", scale, []rbac.Grant{{Groups: list("apps"), Resources: list("deployments"), Verbs: list("patch")}}, false},
		{"every scale", scale, []rbac.Grant{{Groups: list("apps"), Resources: list("*/scale"), Verbs: list("patch")}}, true},
		{"the named one", one, []rbac.Grant{{Groups: list(""), Resources: list("namespaces"), Names: list("a", "kube-system"), Verbs: list("get")}}, true},
		{"another name", one, []rbac.Grant{{Groups: list(""), Resources: list("namespaces"), Names: list("a"), Verbs: list("get")}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if missing := rbac.Missing(tt.grants, []rbac.Right{tt.right}); (len(missing) == 0) != tt.given {
				t.Errorf("missing: %v", missing)
			}
		})
	}
}

func TestSummary(t *testing.T) {
	rights := rbac.Rights([]rbac.Rule{
		{Why: "to scale", Group: "apps", Resources: []string{"deployments/scale"}, Verbs: []string{"patch"}},
		{Resources: []string{"secrets"}, Verbs: []string{"get", "list"}},
		{Resources: []string{"namespaces"}, Names: []string{"kube-system"}, Verbs: []string{"get"}},
	})
	want := []string{"patch deployments.apps/scale (to scale)", "get, list secrets", "get namespaces kube-system"}
	if got := rbac.Summary(rights); !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}
