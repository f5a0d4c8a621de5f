//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/test/arm"
)

// inAzure makes an Azure in which the local cluster is one of AKS, with a token of its own for whoever is signed in.
func (s *service) inAzure(change func(c *arm.Cluster)) *arm.Server {
	s.t.Helper()
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string `json:"server"`
				CA     []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
	}
	if err := json.Unmarshal([]byte(s.kubectl("config", "view", "--raw", "--minify", "-o", "json")), &config); err != nil {
		s.t.Fatal(err)
	}
	s.kubectl("-n", s.namespace, "create", "serviceaccount", "signed-in")
	s.kubectl("delete", "clusterrolebinding", s.namespace, "--ignore-not-found")
	s.kubectl("create", "clusterrolebinding", s.namespace, "--clusterrole=cluster-admin", "--serviceaccount="+s.namespace+":signed-in")
	s.t.Cleanup(func() { s.kubectl("delete", "clusterrolebinding", s.namespace, "--wait=false") })
	token := strings.TrimSpace(s.kubectl("-n", s.namespace, "create", "token", "signed-in", "--duration=1h"))
	at := config.Clusters[0].Cluster
	cluster := arm.Cluster{Server: at.Server, Inside: at.Server, CA: at.CA, Entra: true, ClusterToken: token}
	change(&cluster)
	azure := arm.New(s.t, cluster)
	helm, err := filepath.Abs("../../bin/helm")
	if err != nil {
		s.t.Fatal(err)
	}
	azure.Image(map[string]string{"kubectl": s.Kubectl, "helm": helm, "bash": "", "cat": "", "wc": "", "sleep": "", "gzip": ""})
	nobody := filepath.Join(s.t.TempDir(), "kubeconfig")
	s.t.Cleanup(func() {
		if _, err := os.Stat(nobody); !os.IsNotExist(err) {
			s.t.Errorf("a kubeconfig was written: %v", err)
		}
	})
	s.env = append(azure.Environment(), "KUBECONFIG="+nobody)
	s.cluster = map[string]any{"aks": map[string]any{"subscription": arm.Subscription, "resourceGroup": arm.Group, "name": arm.Name}}
	s.strategy = direct()
	s.spec = map[string]any{"variables": map[string]any{"DB_PASSWORD": map[string]any{}}, "variableValues": map[string]any{"secretName": "secretName"}}
	s.variables = map[string]any{"kubernetes": map[string]any{"secret": "store"}}
	s.kubectl("-n", s.namespace, "create", "secret", "generic", "store", "--from-literal=DB_PASSWORD="+unseen)
	return azure
}

// TestAKSByName deploys with the token of whoever is signed in to Azure; there is no kubeconfig.
func TestAKSByName(t *testing.T) {
	s := newService(t, "aks")
	azure := s.inAzure(func(*arm.Cluster) {})
	code, out := s.release(nil)
	s.must(0)(code, out)
	s.serves("1.0.0")
	s.knows(unseen)
	nowhere(t, "the output", out)
	if n := len(azure.Commands()); n > 0 {
		t.Errorf("%d commands were run though the API server can be reached", n)
	}
	azure.Deny("Microsoft.ContainerService/managedClusters/listClusterUserCredential/action")
	s.must(8, "az role assignment create --assignee "+arm.Principal+" --role \"Azure Kubernetes Service Cluster User Role\" --scope "+arm.ID)(s.run("deploy", "app:1.0.0", "--env", "test"))
	s.must(0)(s.run("deploy", "app:1.0.0", "--env", "test", "--context", s.Context, "--kubeconfig", s.Kubeconfig))
}

// TestAKSThroughRunCommand deploys to a cluster whose API server cannot be reached: every request goes through commands.
func TestAKSThroughRunCommand(t *testing.T) {
	s := newService(t, "aks-private")
	azure := s.inAzure(func(c *arm.Cluster) {
		c.Private, c.Server = true, "https://shop-1a2b3c.privatelink.westeurope.azmk8s.invalid:443"
	})
	s.timeout, s.limit = "10m", 15*time.Minute
	began := time.Now()
	code, out := s.release(nil)
	s.must(0, "requests go through the run-command API of AKS. That is slow")(code, out)
	commands := azure.Commands()
	t.Logf("%d commands, %.0f s", len(commands), time.Since(began).Seconds())
	s.serves("1.0.0")
	s.knows(unseen)
	nowhere(t, "the output", out)
	if len(commands) == 0 {
		t.Error("no command was run")
	}
	// What Azure keeps, and what collects logs of pods, holds no secret.
	for _, command := range commands {
		nowhere(t, "the text of a command", command.Text)
		nowhere(t, "the log of a command", command.Logs)
	}
	began = time.Now()
	s.must(0, "already live")(s.run("deploy", "app:1.0.0", "--env", "test"))
	t.Logf("and nothing to do: %d commands, %.0f s", len(azure.Commands())-len(commands), time.Since(began).Seconds())
}
