//go:build e2e

package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// manifests is where the rights are that the documentation tells people to give.
const manifests = "../../docs/operations/rbac"

// identities are kubeconfigs of service accounts that have the rights which the documentation names, and no others: were one missing there,
// these tests would fail.
type identities struct {
	// builder is no account at all: builds ask no cluster.
	builder, viewer, deployer string
}

// identify makes the accounts of a namespace, and gives them what the manifests say.
func (s *service) identify() {
	s.t.Helper()
	s.applyFrom([]string{filepath.Join(manifests, "view.yaml"), filepath.Join(manifests, "deploy.yaml")}, account("viewer", "sluice-view")+account("deployer", "sluice-deploy"))
	dir := s.t.TempDir()
	s.identities = identities{
		builder:  s.kubeconfigOf(dir, "builder", "not-a-token-of-this-cluster"),
		viewer:   s.kubeconfigOf(dir, "viewer", s.token("viewer")),
		deployer: s.kubeconfigOf(dir, "deployer", s.token("deployer")),
	}
	// The API server hears of a right a moment after it was given.
	s.until("the deployer may take leases", func() bool { return s.may("deployer", "update", "leases.coordination.k8s.io") })
	s.until("the viewer may read records", func() bool { return s.may("viewer", "list", "configmaps") })
}

// counts gives the deployer what the documentation says an analysis of the ingress takes, in a namespace, or "" for the whole cluster. It is
// taken away at the end of the test.
func (s *service) counts(namespace string) {
	s.t.Helper()
	s.applyFrom([]string{filepath.Join(manifests, "ingress.yaml")}, "")
	at := []string{"clusterrolebinding", s.namespace + "-ingress"}
	if namespace != "" {
		at = []string{"-n", namespace, "rolebinding", s.namespace + "-ingress"}
	}
	s.kubectl(append([]string{"delete", "--ignore-not-found"}, at...)...) // a test that was killed leaves it
	s.kubectl(append([]string{"create"}, append(at, "--clusterrole=sluice-ingress", "--serviceaccount="+s.namespace+":deployer")...)...)
	s.t.Cleanup(func() { s.kubectl(append([]string{"delete"}, at...)...) })
	where := []string{"-n", namespace}
	if namespace == "" {
		where = []string{"--all-namespaces"}
	}
	s.until("the deployer may read the ingress", func() bool {
		out, _ := s.tryKubectl(append([]string{"auth", "can-i", "get", "pods", "--subresource=proxy", "--as=system:serviceaccount:" + s.namespace + ":deployer"}, where...)...)
		return strings.TrimSpace(out) == "yes"
	})
}

// account is a service account with a role of its namespace.
func account(name, role string) string {
	return `---
apiVersion: v1
kind: ServiceAccount
metadata: {name: ` + name + `}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: ` + name + `}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: ` + role + `}
subjects: [{kind: ServiceAccount, name: ` + name + `}]
`
}

// token asks the API server for one, as TokenRequest gives it to pods.
func (s *service) token(account string) string {
	s.t.Helper()
	return strings.TrimSpace(s.kubectl("-n", s.namespace, "create", "token", account, "--duration=3h"))
}

// kubeconfigOf is the local cluster's, with a token in place of its credentials.
func (s *service) kubeconfigOf(dir, name, token string) string {
	s.t.Helper()
	var config map[string]any
	if err := json.Unmarshal([]byte(s.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")), &config); err != nil {
		s.t.Fatal(err)
	}
	user := config["users"].([]any)[0].(map[string]any)
	user["user"] = map[string]any{"token": token}
	path := filepath.Join(dir, name+".kubeconfig")
	writeYAML(s.t, path, config)
	return path
}

// may says whether an account has a right in the service's namespace.
func (s *service) may(account, verb, resource string) bool {
	resource, sub, _ := strings.Cut(resource, "/")
	args := []string{"auth", "can-i", verb, resource, "-n", s.namespace, "--as=system:serviceaccount:" + s.namespace + ":" + account}
	if sub != "" {
		args = append(args, "--subresource="+sub)
	}
	out, _ := s.tryKubectl(args...)
	return strings.TrimSpace(out) == "yes"
}

func (s *service) until(what string, true func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !true(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("it does not come true that %s", what)
		}
	}
}

// as are the flags with which a command runs under the least identity that may do it; sluice.yaml itself names the builder.
func (s *service) as(args []string) []string {
	var kubeconfig string
	switch args[0] {
	case "status", "history":
		kubeconfig = s.identities.viewer
	case "deploy", "run", "promote", "rollback", "abort", "resume", "uninstall":
		kubeconfig = s.identities.deployer
	case "variables":
		// The store of the cluster is read as whoever deploys reads it.
		if s.variables != nil && s.variables["kubernetes"] != nil {
			kubeconfig = s.identities.deployer
		}
	}
	if kubeconfig == "" || s.cluster != nil || slices.Contains(args, "--kubeconfig") {
		return args
	}
	return append(slices.Clone(args), "--kubeconfig", kubeconfig)
}

// applyFrom applies files, and a manifest.
func (s *service) applyFrom(files []string, manifest string) {
	s.t.Helper()
	args := []string{"--kubeconfig", s.Kubeconfig, "--context", s.Context, "-n", s.namespace, "apply", "-f", "-"}
	for _, file := range files {
		args = append(args, "-f", file)
	}
	cmd := exec.Command(s.Kubectl, args...)
	cmd.Stdin = strings.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

// TestRightsSuffice is what all tests here show: they run as these accounts. It makes sure that the accounts are not more than they seem.
func TestRightsSuffice(t *testing.T) {
	s := newService(t, "identities")
	for _, right := range []struct{ account, verb, resource string }{
		{"deployer", "get", "namespaces"}, {"deployer", "create", "roles.rbac.authorization.k8s.io"}, {"deployer", "create", "pods/exec"},
		{"deployer", "get", "pods/proxy"}, {"viewer", "list", "secrets"}, {"viewer", "create", "configmaps"}, {"viewer", "list", "pods"},
	} {
		if s.may(right.account, right.verb, right.resource) {
			t.Errorf("the %s may %s %s", right.account, right.verb, right.resource)
		}
	}
	// What an analysis of the ingress takes comes to that, where it is given.
	s.counts("sluice-system")
	if s.may("deployer", "get", "pods/proxy") {
		t.Error("the deployer may read pods by what was given in another namespace")
	}
	s.counts("")
	if !s.may("deployer", "get", "pods/proxy") {
		t.Error("the deployer may not read pods by what was given for the cluster")
	}
}
