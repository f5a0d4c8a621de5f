//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// role is a manifest of docs/operations/rbac.
type role struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   map[string]any `json:"metadata"`
	Rules      []struct {
		APIGroups []string `json:"apiGroups"`
		Resources []string `json:"resources"`
		Verbs     []string `json:"verbs"`
	} `json:"rules"`
}

// without is the deployer's role, as the documentation has it, without one verb on one resource.
func without(t *testing.T, verb, group, resource string) role {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(manifests, "deploy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var all, out role
	if err := yaml.UnmarshalStrict(text, &all); err != nil {
		t.Fatal(err)
	}
	out = all
	out.Rules = nil
	found := false
	for _, rule := range all.Rules {
		for _, r := range rule.Resources {
			one := rule
			one.Resources = []string{r}
			if r == resource && rule.APIGroups[0] == group && slices.Contains(rule.Verbs, verb) {
				found = true
				one.Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(v string) bool { return v == verb })
			}
			if len(one.Verbs) > 0 {
				out.Rules = append(out.Rules, one)
			}
		}
	}
	if !found {
		t.Fatalf("the role does not hold %s %s", verb, resource)
	}
	return out
}

// TestAMissingRightIsNamed takes rights away one by one: each gives an error that names it, before anything is deployed.
func TestAMissingRightIsNamed(t *testing.T) {
	s := newService(t, "rights")
	deploy := s.prepare(map[string]any{"hpa": true, "migration": "0"})
	for _, right := range []struct{ verb, group, resource string }{
		{"create", "", "configmaps"}, {"create", "coordination.k8s.io", "leases"}, {"list", "", "secrets"}, {"update", "", "secrets"},
		{"list", "", "pods"}, {"update", "", "services"}, {"list", "discovery.k8s.io", "endpointslices"}, {"list", "apps", "statefulsets"},
		{"patch", "apps", "deployments/scale"}, {"update", "networking.k8s.io", "ingresses"}, {"list", "gateway.networking.k8s.io", "httproutes"},
		// Only what the chart holds takes these.
		{"create", "apps", "deployments"}, {"delete", "autoscaling", "horizontalpodautoscalers"}, {"watch", "batch", "jobs"},
	} {
		t.Run(right.verb+" "+right.resource, func(t *testing.T) {
			s := s.within(t)
			manifest, err := json.Marshal(without(t, right.verb, right.group, right.resource))
			if err != nil {
				t.Fatal(err)
			}
			s.apply(string(manifest))
			name, sub, _ := strings.Cut(right.resource, "/")
			if right.group != "" {
				name += "." + right.group
			}
			if sub != "" {
				name += "/" + sub
			}
			s.until("the right is gone", func() bool { return !s.may("deployer", right.verb, name) })
			s.must(8, "  "+right.verb+" "+name+" (", "in namespace "+s.namespace, `user "system:serviceaccount:`+s.namespace+`:deployer" may not`)(s.run(deploy...))
			if left := s.kubectl("-n", s.namespace, "get", "deploy,svc,ingress,secret,job", "-o", "name"); left != "" {
				t.Errorf("something was deployed:\n%s", left)
			}
		})
	}
	// What is only better to have is not asked for.
	manifest, err := json.Marshal(without(t, "watch", "apps", "deployments"))
	if err != nil {
		t.Fatal(err)
	}
	s.apply(string(manifest))
	s.until("the rights are back", func() bool {
		return s.may("deployer", "watch", "jobs.batch") && s.may("deployer", "create", "configmaps")
	})
	s.must(0)(s.run(deploy...))
	s.must(0)(s.run("uninstall", "app", "--env", "test", "--yes"))
}

// TestViewersSeeRecords: who may not read Secrets is told what the records say, and what cannot be seen.
func TestViewersSeeRecords(t *testing.T) {
	s := newService(t, "viewer")
	s.must(0)(s.release(nil))
	s.must(0, "slots and traffic cannot be seen", "secrets", "rollout 1 of 1.0.0: Succeeded")(s.run("status", "--env", "test"))
	s.must(0, `"unseen"`)(s.run("status", "--env", "test", "-o", "json"))
	s.must(0, "slot blue")(s.run("status", "--env", "test", "--kubeconfig", s.identities.deployer))
	s.must(8, ":viewer", "may not")(s.run("deploy", "app:1.0.0", "--env", "test", "--kubeconfig", s.identities.viewer))
}
