// Package cluster is the life of the local node: bring it up, look at it, take it down without a trace. It must not touch
// anything outside its state folder, its cgroup, its address, its packet filter tables and its recorded kernel settings.
package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/local/internal/component"
)

// Settings are what a user may choose about a node.
type Settings struct {
	// Name names the node, the context of its kubeconfig and its control group.
	Name string `json:"name"`
	// State is the folder of everything that the node keeps.
	State string `json:"state"`
	// Ports are loopback ports.
	HTTPPort     int `json:"httpPort"`
	RegistryPort int `json:"registryPort"`
	MetricsPort  int `json:"metricsPort"`
	APIPort      int `json:"apiPort"`
	// Network is an IPv4 network of 16 bits from which pods, Services and the node take their addresses.
	Network netip.Prefix `json:"network"`
	// With names the optional parts that the node has.
	With []string `json:"with,omitempty"`
}

// The defaults of the command line.
const (
	DefaultName         = "sluice-local"
	DefaultState        = "/var/lib/sluice-local"
	DefaultNetwork      = "10.213.0.0/16"
	DefaultHTTPPort     = 8080
	DefaultRegistryPort = 5000
	DefaultMetricsPort  = 8082
	DefaultAPIPort      = 6443
)

// ErrSettings says that a chosen setting cannot be; the text says which and what would do.
var ErrSettings = errors.New("setting")

const (
	maxNameLength = 40
	// A shim's socket is named by 64 characters in a folder run/s, and Linux allows 107 for the whole path.
	maxStateLength = 36
	minStateLength = 5
	networkBits    = 16
	highestPort    = 65535
)

// Validate returns all problems at once.
func (s Settings) Validate() error {
	var problems []error
	if len(s.Name) > maxNameLength || !regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`).MatchString(s.Name) {
		problems = append(problems, fmt.Errorf("%w --name %q: use up to %d lower-case letters, digits and hyphens, a letter first",
			ErrSettings, s.Name, maxNameLength))
	}
	if s.Network.Bits() != networkBits || !s.Network.Addr().Is4() || s.Network.Masked() != s.Network {
		problems = append(problems, fmt.Errorf("%w --network %s: use an IPv4 network of 16 bits, for example %s",
			ErrSettings, s.Network, DefaultNetwork))
	}
	if !filepath.IsAbs(s.State) || filepath.Clean(s.State) != s.State || len(s.State) > maxStateLength || len(s.State) < minStateLength {
		problems = append(problems, fmt.Errorf(
			"%w --state %q: use an absolute path of %d to %d characters (sockets below it may have 107)",
			ErrSettings, s.State, minStateLength, maxStateLength))
	}
	problems = append(problems, s.validatePorts()...)
	for _, part := range s.With {
		if !slices.Contains(component.Optional(), part) {
			problems = append(problems, fmt.Errorf("%w --with %s: the optional parts are: %s", ErrSettings, part, strings.Join(component.Optional(), ", ")))
		}
	}
	return errors.Join(problems...)
}

func (s Settings) validatePorts() []error {
	var problems []error
	used := map[int]string{}
	for _, port := range s.ports() {
		if port.number < 0 || port.number > highestPort {
			problems = append(problems, fmt.Errorf("%w %s %d: a port is 0 (any free one) to %d", ErrSettings, port.flag, port.number, highestPort))
		}
		if other, ok := used[port.number]; ok && port.number != 0 {
			problems = append(problems, fmt.Errorf("%w %s %d: %s has the same port; choose another", ErrSettings, port.flag, port.number, other))
		}
		used[port.number] = port.flag
	}
	return problems
}

// has says whether the node has an optional part.
func (s Settings) has(part string) bool { return slices.Contains(s.With, part) }

// and adds optional parts to those that the node has.
func (s Settings) and(parts []string) Settings {
	with := append(slices.Clone(s.With), parts...)
	slices.Sort(with)
	s.With = slices.Compact(with)
	return s
}

// port is one of the loopback ports with the flag that changes it.
type port struct {
	flag   string
	use    string
	number int
}

func (s Settings) ports() []port {
	return []port{
		{"--http-port", "the entry point", s.HTTPPort},
		{"--registry-port", "the registry", s.RegistryPort},
		{"--metrics-port", "the entry point's metrics", s.MetricsPort},
		{"--api-port", "the API server", s.APIPort},
	}
}

// Parts of the network: pods take the first quarter, Services a sixteenth from the middle, the node nearly the last address.
func (s Settings) part(third, fourth byte, bits int) netip.Prefix {
	octets := s.Network.Addr().As4()
	octets[2], octets[3] = third, fourth
	return netip.PrefixFrom(netip.AddrFrom4(octets), bits)
}

func (s Settings) pods() netip.Prefix      { return s.part(0, 0, 18) }
func (s Settings) services() netip.Prefix  { return s.part(128, 0, 20) }
func (s Settings) apiService() netip.Addr  { return s.part(128, 1, 32).Addr() }
func (s Settings) dnsService() netip.Addr  { return s.part(128, 10, 32).Addr() }
func (s Settings) nodeAddress() netip.Addr { return s.part(255, 254, 32).Addr() }
func (s Settings) registryHost() string    { return fmt.Sprintf("localhost:%d", s.RegistryPort) }
func (s Settings) apiServer() string       { return fmt.Sprintf("https://127.0.0.1:%d", s.APIPort) }
func (s Settings) pauseImage() string      { return s.registryHost() + "/sluice-local/pause:1" }
func (s Settings) relayImage() string      { return s.registryHost() + "/sluice-local/relay:1" }
func (s Settings) entryURL() string        { return fmt.Sprintf("http://127.0.0.1:%d", s.HTTPPort) }
func (s Settings) buildkit() string        { return "unix://" + s.layout().buildkitSocket() }
func (s Settings) metricsURL() string {
	return fmt.Sprintf("http://127.0.0.1:%d/metrics", s.MetricsPort)
}
func (s Settings) onNode(number int) string { return fmt.Sprintf("%s:%d", s.nodeAddress(), number) }
