// Package component builds the programs that the local node runs, from pinned Go modules whose sources are embedded,
// into a cache. It must not start any of them.
package component

import "slices"

// Component is one Go module of _sources and the programs that come out of it.
type Component struct {
	// Name is the folder below _sources, and the name in progress lines.
	Name string
	// Version is what status and the docs call it.
	Version string
	// Package is what go build is given: "." or the meta-package "tool" (all tools of the module).
	Package string
	// Tags are Go build tags, comma-separated.
	Tags string
	// Variables are set in the linked program: import path.name=value.
	Variables []string
	// Programs are the files that the build must leave behind.
	Programs []string
	// Optional components are built only where they are asked for by name.
	Optional bool
	// Data names folders copied out of modules: module path → folder inside it. They land in a folder of that base name.
	Data map[string]string
}

// Directory of gateway-api's module that holds the CRDs of the standard channel.
const gatewayCRDs = "config/crd/standard"

// Needed returns the components of a node that has these optional ones.
func Needed(optional []string) []Component {
	return slices.DeleteFunc(All(), func(c Component) bool { return c.Optional && !slices.Contains(optional, c.Name) })
}

// Optional returns the names of the optional components.
func Optional() []string {
	var names []string
	for _, c := range All() {
		if c.Optional {
			names = append(names, c.Name)
		}
	}
	return names
}

// All returns every component, in the order in which they are built: cheap ones first, so that a missing module or
// compiler shows early.
func All() []Component {
	const kubernetesVersion = "k8s.io/component-base/version."
	return []Component{
		{Name: "pause", Version: "1", Package: ".", Programs: []string{"pause"}},
		{Name: "relay", Version: "1", Package: ".", Programs: []string{"relay"}},
		{Name: "provisioner", Version: "1", Package: ".", Programs: []string{"provisioner"}},
		{
			Name: "cni", Version: "v1.9.1", Package: "tool",
			Programs: []string{"ptp", "loopback", "host-local", "portmap"},
		},
		{Name: "etcd", Version: "v3.7.3", Package: ".", Programs: []string{"etcd"}},
		{Name: "registry", Version: "v3.1.0", Package: ".", Programs: []string{"registry"}},
		{
			Name: "containerd", Version: "v2.4.2", Package: "tool", Tags: "no_btrfs,no_devmapper,no_zfs",
			Variables: []string{"github.com/containerd/containerd/v2/version.Version=v2.4.2"},
			Programs:  []string{"containerd", "containerd-shim-runc-v2"},
		},
		{Name: "coredns", Version: "v1.15.0", Package: ".", Programs: []string{"coredns"}},
		{
			Name: "traefik", Version: "v3.7.13", Package: "tool",
			Variables: []string{"github.com/traefik/traefik/v3/pkg/version.Version=v3.7.13"},
			Programs:  []string{"traefik"},
			Data:      map[string]string{"sigs.k8s.io/gateway-api": gatewayCRDs},
		},
		{
			Name: "kubernetes", Version: "v1.36.3", Package: ".",
			Variables: []string{
				kubernetesVersion + "gitVersion=v1.36.3", kubernetesVersion + "gitMajor=1", kubernetesVersion + "gitMinor=36",
			},
			Programs: []string{"kubernetes"},
		},
		{
			Name: "buildkit", Version: "v0.32.0", Package: "tool", Optional: true,
			Variables: []string{"github.com/moby/buildkit/version.Version=v0.32.0"},
			Programs:  []string{"buildkitd"},
		},
	}
}
