package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/local/internal/kubeapi"
	"sigs.k8s.io/yaml"
)

// Names of the objects that every node has, for users and for status.
const (
	systemNamespace = "sluice-system"
	ingressClass    = "nginx"
	gatewayClass    = "traefik"
	gatewayName     = "sluice"
	storageClass    = "standard"
	provisionerName = "sluice.dev/local-folder"
	fieldManager    = "sluice-local"
)

// gatewayKinds reads the CRDs of the Gateway API that were built with Traefik.
func gatewayKinds(folder string) ([][]byte, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var kinds [][]byte
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the kinds of the Gateway API: %w", err)
		}
		for _, document := range strings.Split(string(content), "\n---\n") {
			if strings.Contains(document, "\nkind: CustomResourceDefinition\n") {
				kinds = append(kinds, []byte(document))
			}
		}
	}
	if len(kinds) == 0 {
		return nil, fmt.Errorf("no kinds of the Gateway API in %s: remove the cache folder and try again", folder)
	}
	return kinds, nil
}

// baseObjects exist before the ingress controller starts.
func (s Settings) baseObjects() []object {
	return append(s.dnsObjects(), append(accessObjects(),
		object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": systemNamespace}},
		object{
			"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
			"metadata": object{"name": ingressClass, "annotations": object{"ingressclass.kubernetes.io/is-default-class": "true"}},
			"spec":     object{"controller": "k8s.io/ingress-nginx"},
		},
		object{
			"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
			"metadata":    object{"name": storageClass, "annotations": object{"storageclass.kubernetes.io/is-default-class": "true"}},
			"provisioner": provisionerName, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
		},
		s.metricsObject())...)
}

// metricsObject is a pod that shows the entry point's metrics at the node's own address, with the label that Traefik's chart gives to its
// pods: whoever looks for Traefik in the cluster finds it, and the API server leads to it. To a Service that has no pods it would not.
func (s Settings) metricsObject() object {
	labels := object{"app.kubernetes.io/name": traefik}
	return object{
		"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": object{"name": traefik, "namespace": systemNamespace, "labels": labels},
		"spec": object{
			"selector": object{"matchLabels": labels},
			"template": object{
				"metadata": object{"labels": labels},
				"spec": object{
					"hostNetwork": true, "automountServiceAccountToken": false, "enableServiceLinks": false, "terminationGracePeriodSeconds": 1,
					"containers": []object{{
						"name": "metrics", "image": s.relayImage(), "imagePullPolicy": "Always",
						"args":  []string{"-listen", s.onNode(s.MetricsPort), "-to", fmt.Sprintf("127.0.0.1:%d", s.MetricsPort)},
						"ports": []object{{"name": "metrics", "containerPort": s.MetricsPort, "hostPort": s.MetricsPort, "protocol": "TCP"}},
						"securityContext": object{
							"runAsUser": 0, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
							"capabilities": object{"drop": []string{"ALL"}, "add": []string{"NET_BIND_SERVICE"}},
						},
					}},
				},
			},
		},
	}
}

// podMetricsURL is where the cluster finds the entry point's metrics.
func (s Settings) podMetricsURL() string { return "http://" + s.onNode(s.MetricsPort) + "/metrics" }

// gatewayObjects need the kinds of the Gateway API.
func (s Settings) gatewayObjects() []object {
	return []object{
		{
			"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": object{"name": gatewayClass},
			"spec": object{"controllerName": "traefik.io/gateway-controller"},
		},
		{
			"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
			"metadata": object{"name": gatewayName, "namespace": systemNamespace},
			"spec": object{"gatewayClassName": gatewayClass, "listeners": []object{{
				"name": "web", "protocol": "HTTP", "port": s.HTTPPort,
				"allowedRoutes": object{"namespaces": object{"from": "All"}},
			}}},
		},
	}
}

// dnsObjects put the cluster's name server, a daemon of the node, behind the Service where pods expect it.
func (s Settings) dnsObjects() []object {
	service := func(protocol string) object {
		return object{"name": "dns-" + strings.ToLower(protocol), "protocol": protocol, "port": 53, "targetPort": dnsPort}
	}
	endpoint := func(protocol string) object {
		return object{"name": "dns-" + strings.ToLower(protocol), "protocol": protocol, "port": dnsPort}
	}
	return []object{
		{
			"apiVersion": "v1", "kind": "Service", "metadata": object{"name": "kube-dns", "namespace": "kube-system"},
			"spec": object{
				"clusterIP": s.dnsService().String(), "ports": []object{service("UDP"), service("TCP")},
			},
		},
		{
			"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
			"metadata": object{
				"name": "kube-dns-node", "namespace": "kube-system",
				"labels": object{"kubernetes.io/service-name": "kube-dns", "endpointslice.kubernetes.io/managed-by": fieldManager},
			},
			"endpoints": []object{{"addresses": []string{s.nodeAddress().String()}, "conditions": object{"ready": true}}},
			"ports":     []object{endpoint("UDP"), endpoint("TCP")},
		},
	}
}

// accessObjects allow the node's own programs what they need, and nothing else.
func accessObjects() []object {
	read := []string{"get", "list", "watch"}
	rule := func(verbs []string, group string, resources ...string) object {
		return object{"verbs": verbs, "apiGroups": []string{group}, "resources": resources}
	}
	write := []string{"update", "patch"}
	const discovery, networking, gateway = "discovery.k8s.io", "networking.k8s.io", "gateway.networking.k8s.io"
	var objects []object
	for user, rules := range map[string][]object{
		"coredns": {rule(read, "", "services", "pods", "namespaces", "endpoints"), rule(read, discovery, "endpointslices")},
		"provisioner": {
			rule(read, "", "persistentvolumeclaims"),
			rule([]string{"get", "list", "watch", "create", "delete"}, "", "persistentvolumes"),
		},
		"traefik": {
			rule(read, "", "services", "secrets", "configmaps", "namespaces", "nodes", "pods", "endpoints"),
			rule(read, discovery, "endpointslices"),
			rule(read, networking, "ingresses", "ingressclasses"), rule(write, networking, "ingresses/status"),
			rule(read, gateway, "*"),
			rule(write, gateway, "gatewayclasses/status", "gateways/status", "httproutes/status", "grpcroutes/status",
				"tcproutes/status", "tlsroutes/status", "backendtlspolicies/status", "listenersets/status"),
		},
	} {
		name := "sluice-local:" + user
		objects = append(objects,
			object{
				"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": object{"name": name}, "rules": rules,
			},
			object{
				"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": object{"name": name},
				"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
				"subjects": []object{{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}},
			})
	}
	// The kube-proxy role comes with the API server, its binding does not.
	return append(objects, object{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
		"metadata": object{"name": "sluice-local:kube-proxy"},
		"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier"},
		"subjects": []object{{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-proxy"}},
	})
}

// applyAll applies objects one after the other.
func applyAll(ctx context.Context, api *kubeapi.Client, objects []object) error {
	for _, each := range objects {
		content, err := yaml.Marshal(each)
		if err != nil {
			return err
		}
		if err := api.Apply(ctx, fieldManager, content); err != nil {
			return fmt.Errorf("set up the cluster: %w", err)
		}
	}
	return nil
}

// established says whether the API server serves the Gateway API.
func established(ctx context.Context, api *kubeapi.Client) error {
	var list object
	err := api.Get(ctx, "/apis/gateway.networking.k8s.io/v1/gatewayclasses", &list)
	if errors.Is(err, kubeapi.ErrNotFound) {
		return errNotYet
	}
	return err
}
