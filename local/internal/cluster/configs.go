package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// object is a YAML or JSON object of a configuration file.
type object = map[string]any

// writeConfigs renders every configuration file of the node's programs.
func (s Settings) writeConfigs(machine machine) error {
	paths := s.layout()
	hosts := filepath.Join("registries", s.registryHost(), "hosts.toml")
	files := map[string]func() ([]byte, error){
		"kubelet.yaml":    func() ([]byte, error) { return yaml.Marshal(s.kubeletConfig()) },
		"kube-proxy.yaml": func() ([]byte, error) { return yaml.Marshal(s.proxyConfig()) },
		"containerd.toml": func() ([]byte, error) { return []byte(s.containerdConfig(machine)), nil },
		"buildkitd.toml":  func() ([]byte, error) { return []byte(s.buildkitConfig(machine)), nil },
		hosts:             func() ([]byte, error) { return []byte(s.registryHosts()), nil },
		"cni/10-sluice-local.conflist": func() ([]byte, error) {
			return json.MarshalIndent(s.cniConfig(machine.mtu), "", "  ")
		},
		"Corefile":     func() ([]byte, error) { return []byte(s.corefile(machine.nameServers)), nil },
		"traefik.yaml": func() ([]byte, error) { return yaml.Marshal(s.traefikConfig()) },
		"resolv.conf":  func() ([]byte, error) { return []byte("nameserver " + s.dnsService().String() + "\n"), nil },
	}
	for name, render := range files {
		content, err := render()
		if err != nil {
			return fmt.Errorf("render %s: %w", name, err)
		}
		file := paths.config(name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := writeChanged(file, content); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// writeChanged leaves a file alone that has the content already: kube-proxy ends when its configuration is touched.
func writeChanged(file string, content []byte) error {
	now, err := os.ReadFile(file)
	if err == nil && bytes.Equal(now, content) {
		return nil
	}
	return os.WriteFile(file, content, 0o600)
}

// renderKubeconfig writes one user's kubeconfig with everything inside it.
func renderKubeconfig(s Settings, user string, authority, certificate, key []byte) ([]byte, error) {
	content, err := yaml.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "current-context": s.Name,
		"clusters": []object{{"name": s.Name, "cluster": object{
			"server": s.apiServer(), "certificate-authority-data": authority,
		}}},
		"users": []object{{"name": s.Name + "-" + user, "user": object{
			"client-certificate-data": certificate, "client-key-data": key,
		}}},
		"contexts": []object{{"name": s.Name, "context": object{"cluster": s.Name, "user": s.Name + "-" + user}}},
	})
	if err != nil {
		return nil, fmt.Errorf("render the kubeconfig of %s: %w", user, err)
	}
	return content, nil
}

// kubeletConfig never evicts for lack of disk, never collects images, and lets pods start and stop as fast as they can.
func (s Settings) kubeletConfig() object {
	paths := s.layout()
	node := s.nodeAddress().String()
	return object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"address": node, "healthzBindAddress": node,
		"authentication": object{
			"anonymous": object{"enabled": false},
			"x509":      object{"clientCAFile": paths.certificate(authorityFile)},
			"webhook":   object{"enabled": true},
		},
		"authorization":            object{"mode": "Webhook"},
		"tlsCertFile":              paths.certificate("kubelet-serving"),
		"tlsPrivateKeyFile":        paths.key("kubelet-serving"),
		"clusterDNS":               []string{s.dnsService().String()},
		"clusterDomain":            clusterDomain,
		"resolvConf":               paths.config("resolv.conf"),
		"containerRuntimeEndpoint": "unix://" + paths.containerdSocket(),
		"cgroupDriver":             "cgroupfs", "cgroupRoot": "/" + s.Name, "failCgroupV1": false, "failSwapOn": false,
		"enforceNodeAllocatable": []string{"none"},
		"maxPods":                maxPods,
		"podLogsDir":             paths.podLogs(),
		"volumePluginDir":        paths.path("flexvolume"),
		"evictionHard": object{
			"memory.available": "100Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%",
			"imagefs.inodesFree": "0%",
		},
		"imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
		"makeIPTablesUtilChains": false, "protectKernelDefaults": false, "oomScoreAdj": 0,
		"serializeImagePulls": false, "registryPullQPS": 0, "eventRecordQPS": 0, "kubeAPIQPS": 200, "kubeAPIBurst": 400,
		"syncFrequency": "10s", "nodeStatusUpdateFrequency": "5s", "fileCheckFrequency": "1h0m0s", "httpCheckFrequency": "1h0m0s",
	}
}

const (
	clusterDomain = "cluster.local"
	maxPods       = 110
)

// proxyConfig leaves the machine's conntrack limits alone and serves node ports on the node's own address only.
func (s Settings) proxyConfig() object {
	return object{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
		"mode": "nftables", "clusterCIDR": s.pods().String(), "bindAddress": s.nodeAddress().String(),
		"clientConnection":   object{"kubeconfig": s.layout().client("kube-proxy"), "qps": 200, "burst": 400},
		"healthzBindAddress": s.onNode(10256), "metricsBindAddress": s.onNode(10249),
		"hostnameOverride": s.Name, "nodePortAddresses": []string{s.nodeAddress().String() + "/32"},
		"nftables":    object{"syncPeriod": "30s", "minSyncPeriod": "100ms"},
		"conntrack":   object{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
		"oomScoreAdj": 0,
	}
}

func (s Settings) containerdConfig(machine machine) string {
	paths := s.layout()
	return fmt.Sprintf(`version = 3
root = %[1]q
state = %[2]q
oom_score = 0

[grpc]
  address = %[3]q

[plugins.'io.containerd.shim.v1.manager']
  socket_dir = %[4]q

[plugins.'io.containerd.cri.v1.images']
  snapshotter = %[5]q

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = %[6]q

[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = %[7]q

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = %[8]t
  netns_mounts_under_state_dir = true
  disable_apparmor = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = [%[9]q]
  conf_dir = %[10]q

[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = "runc"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = %[11]q
  Root = %[12]q
  SystemdCgroup = false

[plugins.'io.containerd.grpc.v1.cri']
  disable_tcp_service = true
`, paths.containerdRoot(), paths.containerdState(), paths.containerdSocket(), paths.shimSockets(),
		machine.snapshotter, s.pauseImage(), paths.config("registries"), machine.restrictOOM,
		machine.programs["cni"], paths.cniConfigs(), machine.runc, paths.path("run", "runc"))
}

// buildkitConfig keeps everything of BuildKit below the state folder, and its steps in the node's control group. Steps use the machine's
// network: they reach what the machine reaches, the node's registry among it.
func (s Settings) buildkitConfig(machine machine) string {
	paths := s.layout()
	return fmt.Sprintf(`root = %[1]q

[grpc]
  address = [%[2]q]

[otel]
  socketPath = %[3]q

[cdi]
  disabled = true

[worker.oci]
  enabled = true
  snapshotter = %[4]q
  binary = %[5]q
  networkMode = "host"
  defaultCgroupParent = %[6]q

[worker.containerd]
  enabled = false

[registry.%[7]q]
  http = true

[registry.%[8]q]
  http = true
`, paths.buildkitRoot(), s.buildkit(), paths.buildkitTrace(), machine.snapshotter, machine.runc, "/"+s.Name+"/builds",
		s.registryHost(), fmt.Sprintf("127.0.0.1:%d", s.RegistryPort))
}

// registryHosts makes the container runtime speak plain HTTP to the registry, under the name that charts use.
func (s Settings) registryHosts() string {
	address := fmt.Sprintf("http://127.0.0.1:%d", s.RegistryPort)
	return fmt.Sprintf("server = %[1]q\n\n[host.%[1]q]\n  capabilities = [\"pull\", \"resolve\"]\n", address)
}

// cniConfig gives every pod a link of its own to the node. All traffic is then routed, so Services work between pods of
// the node without the kernel's bridge filter.
func (s Settings) cniConfig(mtu int) object {
	return object{
		"cniVersion": "1.0.0", "name": s.Name, "plugins": []object{
			{"type": "ptp", "ipMasq": false, "mtu": mtu, "ipam": object{
				"type": "host-local", "dataDir": s.layout().cniAddresses(),
				"ranges": [][]object{{{"subnet": s.pods().String()}}},
				"routes": []object{{"dst": "0.0.0.0/0"}},
			}},
			{"type": "portmap", "backend": "nftables", "capabilities": object{"portMappings": true}},
		},
	}
}

// corefile answers the cluster's names from the API and hands all others to the machine's own name servers.
func (s Settings) corefile(nameServers []string) string {
	forward := ""
	if len(nameServers) > 0 {
		forward = "    forward . " + strings.Join(nameServers, " ") + "\n"
	}
	return fmt.Sprintf(`.:%[1]d {
    bind %[2]s
    errors
    ready %[2]s:8181
    kubernetes %[3]s in-addr.arpa ip6.arpa {
        kubeconfig %[4]s
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }
%[5]s    cache 5 {
        disable success %[3]s
        disable denial %[3]s
    }
}
`, dnsPort, s.nodeAddress(), clusterDomain, s.layout().client("coredns"), forward)
}

const dnsPort = 1053

// traefikConfig serves both the ingress annotations of nginx and the Gateway API on one loopback port.
func (s Settings) traefikConfig() object {
	return object{
		"global": object{"checkNewVersion": false, "sendAnonymousUsage": false},
		"log":    object{"level": "INFO"},
		"entryPoints": object{
			"web": object{
				"address":   fmt.Sprintf("127.0.0.1:%d", s.HTTPPort),
				"transport": object{"respondingTimeouts": object{"readTimeout": 0}},
			},
			"metrics": object{"address": fmt.Sprintf("127.0.0.1:%d", s.MetricsPort)},
		},
		"ping": object{"entryPoint": "metrics"},
		"metrics": object{"prometheus": object{
			"entryPoint": "metrics", "addEntryPointsLabels": true, "addRoutersLabels": true, "addServicesLabels": true,
			"buckets": latencyBuckets(),
		}},
		"providers": object{
			"providersThrottleDuration": "100ms",
			"kubernetesIngressNGINX": object{
				"controllerClass": "k8s.io/ingress-nginx", "ingressClass": ingressClass, "publishStatusAddress": []string{"127.0.0.1"},
				"throttleDuration": "100ms", "httpEntryPoint": "web",
			},
			"kubernetesGateway": object{
				"throttleDuration": "100ms", "qps": 200, "burst": 400, "statusAddress": object{"ip": "127.0.0.1"},
			},
		},
	}
}

// latencyBuckets are seconds: those of Traefik's default, and 0.5 because "slower than 500 ms" is the usual limit of an analysis.
func latencyBuckets() []float64 { return []float64{0.1, 0.3, 0.5, 1.2, 5} }
