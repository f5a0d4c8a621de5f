package cluster

import "path/filepath"

// layout is where things are below the state folder.
type layout string

func (s Settings) layout() layout { return layout(s.State) }

func (l layout) path(parts ...string) string {
	return filepath.Join(append([]string{string(l)}, parts...)...)
}

func (l layout) record() string     { return l.path("cluster.json") }
func (l layout) lock() string       { return l.path("lock") }
func (l layout) processes() string  { return l.path("processes") }
func (l layout) logs() string       { return l.path("logs") }
func (l layout) podLogs() string    { return l.path("pod-logs") }
func (l layout) configs() string    { return l.path("config") }
func (l layout) keys() string       { return l.path("keys") }
func (l layout) kubeconfig() string { return l.path("kubeconfig") }

func (l layout) config(name string) string      { return filepath.Join(l.configs(), name) }
func (l layout) key(name string) string         { return filepath.Join(l.keys(), name+".key") }
func (l layout) certificate(name string) string { return filepath.Join(l.keys(), name+".crt") }
func (l layout) client(name string) string      { return l.config(name + ".kubeconfig") }

func (l layout) etcdData() string         { return l.path("etcd", "data") }
func (l layout) etcdSocket() string       { return l.path("etcd", "client.sock") }
func (l layout) etcdPeerSocket() string   { return l.path("etcd", "peer.sock") }
func (l layout) registryData() string     { return l.path("registry") }
func (l layout) kubeletRoot() string      { return l.path("kubelet") }
func (l layout) containerdRoot() string   { return l.path("containerd") }
func (l layout) containerdState() string  { return l.path("run") }
func (l layout) containerdSocket() string { return l.path("run", "containerd.sock") }
func (l layout) shimSockets() string      { return l.path("run", "s") }
func (l layout) cniConfigs() string       { return l.config("cni") }
func (l layout) cniAddresses() string     { return l.path("addresses") }
func (l layout) buildkitRoot() string     { return l.path("buildkit") }
func (l layout) buildkitSocket() string   { return l.path("run", "buildkitd.sock") }
func (l layout) buildkitTrace() string    { return l.path("run", "trace.sock") }
func (l layout) kubectl() string          { return l.path("bin", "kubectl") }
func (l layout) volumes() string          { return l.path("volumes") }

// folders are made before anything starts.
func (l layout) folders() []string {
	return []string{
		l.processes(), l.logs(), l.podLogs(), l.configs(), l.keys(), l.path("etcd"), l.etcdData(), l.registryData(),
		l.kubeletRoot(), l.containerdRoot(), l.containerdState(), l.cniConfigs(), l.cniAddresses(), l.volumes(),
		l.path("flexvolume"), filepath.Dir(l.kubectl()),
	}
}
