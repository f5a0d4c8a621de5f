package cluster

import (
	"fmt"
	"os"
	"strings"

	"github.com/sluice-dev/sluice/local/internal/process"
)

// The node's daemons, in the order in which they are started; they are ended in the reverse order.
const (
	etcd              = "etcd"
	registry          = "registry"
	containerd        = "containerd"
	apiserver         = "kube-apiserver"
	relay             = "relay"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
	kubelet           = "kubelet"
	proxy             = "kube-proxy"
	coredns           = "coredns"
	traefik           = "traefik"
	provisioner       = "provisioner"
	buildkitd         = "buildkitd"
)

// buildkit is the optional part that buildkitd belongs to.
const buildkit = "buildkit"

func (s Settings) daemons() []string {
	names := []string{
		etcd, registry, containerd, apiserver, relay, controllerManager, scheduler, kubelet, proxy, coredns, provisioner,
		traefik,
	}
	if s.has(buildkit) {
		names = append(names, buildkitd)
	}
	return names
}

// spec says how one daemon is run.
func (s Settings) spec(name string, on machine) process.Spec {
	paths := s.layout()
	spec := process.Spec{Name: name, Dir: s.State, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.State}}
	switch name {
	case etcd:
		spec.Path = on.programs.Path("etcd", "etcd")
		spec.Args = []string{
			"-data-dir", paths.etcdData(), "-listen-client", "unix://" + paths.etcdSocket(),
			"-listen-peer", "unix://" + paths.etcdPeerSocket(),
		}
	case registry:
		spec.Path = on.programs.Path("registry", "registry")
		spec.Args = []string{"-listen", fmt.Sprintf("127.0.0.1:%d", s.RegistryPort), "-data-dir", paths.registryData()}
	case containerd:
		spec.Path = on.programs.Path("containerd", "containerd")
		spec.Args = []string{"--config", paths.config("containerd.toml")}
		spec.Files = []string{paths.config("containerd.toml")}
		spec.Env = append(spec.Env, proxyEnvironment(os.Environ())...)
	case buildkitd:
		spec.Path = on.programs.Path(buildkit, "buildkitd")
		spec.Args = []string{"--config", paths.config("buildkitd.toml")}
		spec.Files = []string{paths.config("buildkitd.toml")}
		spec.Env = append(spec.Env, proxyEnvironment(os.Environ())...)
	case relay:
		spec.Path = on.programs.Path("relay", "relay")
		spec.Args = []string{"-listen", s.onNode(s.APIPort), "-to", fmt.Sprintf("127.0.0.1:%d", s.APIPort)}
	case coredns:
		spec.Path = on.programs.Path("coredns", "coredns")
		spec.Args = []string{"-conf", paths.config("Corefile")}
		spec.Files = []string{paths.config("Corefile")}
	case provisioner:
		spec.Path = on.programs.Path("provisioner", "provisioner")
		spec.Args = []string{
			"-server", s.apiServer(), "-ca", paths.certificate(authorityFile), "-certificate", paths.certificate("provisioner"),
			"-key", paths.key("provisioner"), "-folder", paths.volumes(), "-class", storageClass, "-name", provisionerName,
		}
	case traefik:
		spec.Path = on.programs.Path("traefik", "traefik")
		spec.Args = []string{"--configFile=" + paths.config("traefik.yaml")}
		spec.Files = []string{paths.config("traefik.yaml")}
		spec.Env = append(spec.Env, "KUBECONFIG="+paths.client("traefik"))
		// Users' requests must not wait for what else a small machine builds.
		spec.Nice = -10
	default:
		spec.Path = on.programs.Path("kubernetes", "kubernetes")
		spec.Args = append([]string{name}, s.kubernetesFlags(name)...)
		if name == kubelet || name == proxy {
			spec.Files = []string{paths.config(name + ".yaml")}
		}
	}
	return spec
}

// proxyEnvironment keeps the variables by which images of other registries are fetched through a proxy.
func proxyEnvironment(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY":
			kept = append(kept, variable)
		}
	}
	return kept
}

func (s Settings) kubernetesFlags(name string) []string {
	switch name {
	case apiserver:
		return s.apiserverFlags()
	case controllerManager:
		return s.controllerManagerFlags()
	case scheduler:
		file := s.layout().client("scheduler")
		return []string{
			"--kubeconfig=" + file, "--authentication-kubeconfig=" + file, "--authorization-kubeconfig=" + file,
			"--bind-address=" + s.nodeAddress().String(), "--leader-elect=false", "--kube-api-qps=200", "--kube-api-burst=400",
		}
	case kubelet:
		paths := s.layout()
		return []string{
			"--config=" + paths.config("kubelet.yaml"), "--kubeconfig=" + paths.client("kubelet"),
			"--hostname-override=" + s.Name, "--node-ip=" + s.nodeAddress().String(), "--root-dir=" + paths.kubeletRoot(),
			"--cert-dir=" + paths.path("kubelet", "pki"),
		}
	}
	return []string{"--config=" + s.layout().config("kube-proxy.yaml")}
}

func (s Settings) apiserverFlags() []string {
	paths := s.layout()
	authority := paths.certificate(authorityFile)
	return []string{
		"--etcd-servers=unix://" + paths.etcdSocket(),
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", s.APIPort),
		"--advertise-address=" + s.nodeAddress().String(),
		"--tls-cert-file=" + paths.certificate("apiserver"), "--tls-private-key-file=" + paths.key("apiserver"),
		"--client-ca-file=" + authority,
		"--kubelet-certificate-authority=" + authority,
		"--kubelet-client-certificate=" + paths.certificate("apiserver-kubelet"),
		"--kubelet-client-key=" + paths.key("apiserver-kubelet"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc." + clusterDomain,
		"--service-account-key-file=" + paths.certificate(serviceAccountFile),
		"--service-account-signing-key-file=" + paths.key(serviceAccountFile),
		"--service-cluster-ip-range=" + s.services().String(),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--requestheader-client-ca-file=" + authority, "--requestheader-allowed-names=" + aggregationUser,
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + paths.certificate("aggregation"), "--proxy-client-key-file=" + paths.key("aggregation"),
		"--allow-privileged=true", "--profiling=false",
	}
}

func (s Settings) controllerManagerFlags() []string {
	paths := s.layout()
	file := paths.client("controller-manager")
	return []string{
		"--kubeconfig=" + file, "--authentication-kubeconfig=" + file, "--authorization-kubeconfig=" + file,
		"--bind-address=" + s.nodeAddress().String(), "--leader-elect=false", "--use-service-account-credentials=true",
		"--service-account-private-key-file=" + paths.key(serviceAccountFile),
		"--root-ca-file=" + paths.certificate(authorityFile),
		"--cluster-signing-cert-file=" + paths.certificate(authorityFile),
		"--cluster-signing-key-file=" + paths.key(authorityFile),
		"--flex-volume-plugin-dir=" + paths.path("flexvolume"),
		"--kube-api-qps=200", "--kube-api-burst=400", "--profiling=false",
	}
}
