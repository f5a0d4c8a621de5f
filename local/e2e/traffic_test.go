//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const image = "/e2e/server:1"

// pushServer builds the test's server and pushes it as an image, without any daemon.
func (n *node) pushServer(t *testing.T) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "server")
	build(t, "./server", binary)
	content, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	if err := writer.WriteHeader(&tar.Header{Name: "server", Mode: 0o755, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	built, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	config, err := built.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.Config.Entrypoint = []string{"/server"}
	if built, err = mutate.ConfigFile(built, config); err != nil {
		t.Fatal(err)
	}
	reference, err := name.ParseReference(n.status(t)["registry"].(string) + image)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, built, remote.WithTransport(&http.Transport{})); err != nil {
		t.Fatal(err)
	}
}

func manifests(registry string) string {
	var objects strings.Builder
	for _, slot := range []string{"blue", "green"} {
		fmt.Fprintf(&objects, `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: default}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsUser: 1000, runAsNonRoot: true}
      containers:
        - name: server
          image: %[2]s
          env: [{name: SLOT, value: %[1]s}]
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: default}
spec: {selector: {app: %[1]s}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %[1]s, namespace: default, annotations: {%[3]s}}
spec:
  ingressClassName: nginx
  rules:
    - host: nginx.e2e.localhost
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}]}
`, slot, registry+image, canary(slot))
	}
	objects.WriteString(`---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: default}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route, namespace: default}
spec:
  parentRefs: [{name: sluice, namespace: sluice-system}]
  hostnames: [gateway.e2e.localhost]
  rules:
    - matches: [{headers: [{name: canary, value: always}]}]
      backendRefs: [{name: green, port: 80}]
    - backendRefs: [{name: blue, port: 80, weight: 80}, {name: green, port: 80, weight: 20}]
`)
	return objects.String()
}

func canary(slot string) string {
	if slot != "green" {
		return ""
	}
	return `nginx.ingress.kubernetes.io/canary: "true", nginx.ingress.kubernetes.io/canary-weight: "20", ` +
		`nginx.ingress.kubernetes.io/canary-by-header: canary`
}

// splits wants one request in five, and every one with the header, at the second slot.
func (n *node) splits(t *testing.T, host string) {
	eventually(t, host+" answers from both slots", func() (bool, string) {
		_, plain := get(t, host, "/")
		_, marked := get(t, host, "/", "canary", "always")
		return (plain == "blue" || plain == "green") && marked == "green", plain + " and " + marked
	})
	const requests = 100
	counts, marked := map[string]int{}, map[string]int{}
	for range requests {
		status, slot := get(t, host, "/")
		if status != http.StatusOK {
			t.Fatalf("status %d: %s", status, slot)
		}
		counts[slot]++
		_, slot = get(t, host, "/", "canary", "always")
		marked[slot]++
	}
	// The weights are dealt out exactly; the tolerance is for where in a round the requests begin.
	if counts["green"] < 18 || counts["green"] > 22 || marked["green"] != requests {
		t.Errorf("%d requests went to %v, with the header to %v", requests, counts, marked)
	}
}

func (n *node) routeHasConditions(t *testing.T) {
	var route struct {
		Metadata struct{ Generation int64 }
		Status   struct {
			Parents []struct {
				Conditions []struct {
					Type, Status       string
					ObservedGeneration int64
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(n.kubectl(t, "get", "httproute", "route", "-o", "json")), &route); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, parent := range route.Status.Parents {
		for _, each := range parent.Conditions {
			found[each.Type] = each.Status == "True" && each.ObservedGeneration == route.Metadata.Generation
		}
	}
	if !found["Accepted"] || !found["ResolvedRefs"] {
		t.Errorf("conditions %+v of generation %d", route.Status.Parents, route.Metadata.Generation)
	}
}

func (n *node) podReachesServices(t *testing.T) {
	const host = "nginx.e2e.localhost"
	for query, want := range map[string]string{
		"/fetch?url=http://green.default.svc.cluster.local/":  "green",
		"/fetch?url=http://blue/":                             "blue",
		"/fetch?url=http://nosuch.default.svc.cluster.local/": "no such host",
	} {
		// Several times: some of these requests reach the pod that asks, through its own Service.
		for range 5 {
			if _, body := get(t, host, query); !strings.Contains(body, want) {
				t.Errorf("%s says %q, want %q", query, body, want)
			}
		}
	}
	if _, body := get(t, host, "/fetch?url=https://kubernetes.default/version"); !strings.Contains(body, "certificate") {
		t.Errorf("the API server says %q, want a certificate that the pod does not trust", body)
	}
}

func (n *node) claimIsBound(t *testing.T) {
	if status, body := get(t, "nginx.e2e.localhost", "/write"); status != http.StatusOK {
		t.Errorf("status %d: %s", status, body)
	}
	files, err := filepath.Glob(filepath.Join(n.state, "volumes", "pvc-*", "written"))
	if err != nil || len(files) != 1 {
		t.Errorf("files %v, %v; want the one that the pod wrote", files, err)
	}
}

func (n *node) apiServerReachesPods(t *testing.T) {
	if logs := n.kubectl(t, "logs", "deployment/blue"); !strings.Contains(logs, "listening") {
		t.Errorf("logs are %q", logs)
	}
	if body := n.kubectl(t, "get", "--raw", "/api/v1/namespaces/default/services/green:80/proxy/"); !strings.Contains(body, "green") {
		t.Errorf("the API server's proxy says %q", body)
	}
	n.kubectl(t, "create", "namespace", "small")
	n.kubectl(t, "create", "quota", "none", "--hard=pods=0", "--namespace", "small")
	n.kubectl(t, "create", "deployment", "blocked", "--image", "x", "--namespace", "small")
	eventually(t, "the quota refuses pods", func() (bool, string) {
		events := n.kubectl(t, "get", "events", "--namespace", "small")
		return strings.Contains(events, "exceeded quota"), events
	})
}
