package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/local/internal/component"
	"sigs.k8s.io/yaml"
)

func TestContainerdConfig(t *testing.T) {
	for _, restrict := range []bool{true, false} {
		on := machine{
			programs: component.Programs{"cni": "/cache/cni"}, runc: "/usr/sbin/runc", snapshotter: "native", restrictOOM: restrict,
		}
		config := defaults().containerdConfig(on)
		want := []string{
			`snapshotter = "native"`, `BinaryName = "/usr/sbin/runc"`, `bin_dirs = ["/cache/cni"]`,
			`sandbox = "localhost:5000/sluice-local/pause:1"`, `socket_dir = "/var/lib/sluice-local/run/s"`,
			"restrict_oom_score_adj = " + map[bool]string{true: "true", false: "false"}[restrict],
		}
		for _, line := range want {
			if !strings.Contains(config, line+"\n") {
				t.Errorf("no line %q in:\n%s", line, config)
			}
		}
		if strings.Contains(config, "%!") {
			t.Errorf("a value is missing or left over:\n%s", config)
		}
	}
}

// everything are the settings of a node that has all optional parts.
func everything() Settings { return defaults().and(component.Optional()) }

func TestBuildkitConfig(t *testing.T) {
	config := defaults().buildkitConfig(machine{runc: "/usr/sbin/runc", snapshotter: "overlayfs"})
	for _, line := range []string{
		`address = ["unix:///var/lib/sluice-local/run/buildkitd.sock"]`, `root = "/var/lib/sluice-local/buildkit"`, `binary = "/usr/sbin/runc"`,
		`socketPath = "/var/lib/sluice-local/run/trace.sock"`, `defaultCgroupParent = "/sluice-local/builds"`, `[registry."localhost:5000"]`,
	} {
		if !strings.Contains(config, line+"\n") {
			t.Errorf("no line %q in:\n%s", line, config)
		}
	}
	if strings.Contains(config, "%!") {
		t.Errorf("a value is missing or left over:\n%s", config)
	}
}

func TestOptionalPartsAreThereOnlyWhereAskedFor(t *testing.T) {
	if slices.Contains(defaults().daemons(), buildkitd) {
		t.Error("a node has BuildKit that did not ask for it")
	}
	with := defaults().and([]string{buildkit}).and([]string{buildkit}).and(nil)
	if len(with.With) != 1 || !slices.Contains(with.daemons(), buildkitd) || with.Validate() != nil {
		t.Errorf("with BuildKit there is %v, %v: %v", with.With, with.daemons(), with.Validate())
	}
	has := func(components []component.Component) bool {
		return slices.ContainsFunc(components, func(c component.Component) bool { return c.Name == buildkit })
	}
	if has(component.Needed(nil)) || !has(component.Needed(with.With)) {
		t.Error("BuildKit is built where nobody asked for it, or not where somebody did")
	}
}

func TestCorefileForwardsOnlyWhereThereIsSomebody(t *testing.T) {
	s := defaults()
	if with := s.corefile([]string{"192.0.2.1", "192.0.2.2"}); !strings.Contains(with, "    forward . 192.0.2.1 192.0.2.2\n") {
		t.Errorf("name servers are left out:\n%s", with)
	}
	if without := s.corefile(nil); strings.Contains(without, "forward") || strings.Contains(without, "%!") {
		t.Errorf("forwards to nobody:\n%s", without)
	}
}

func TestTraefikListensOnLoopbackAndMeasuresWhatItDoesByDefaultAndHalfASecond(t *testing.T) {
	content, err := yaml.Marshal(defaults().traefikConfig())
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		EntryPoints map[string]struct{ Address string }
		Metrics     struct {
			Prometheus struct {
				Buckets           []float64
				AddServicesLabels bool
			}
		}
	}
	if err := yaml.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	for name, entry := range config.EntryPoints {
		if !strings.HasPrefix(entry.Address, "127.0.0.1:") {
			t.Errorf("entry point %s listens on %s", name, entry.Address)
		}
	}
	if !reflect.DeepEqual(config.Metrics.Prometheus.Buckets, []float64{0.1, 0.3, 0.5, 1.2, 5}) || !config.Metrics.Prometheus.AddServicesLabels || len(config.EntryPoints) != 2 {
		t.Errorf("configuration is %+v", config)
	}
}

// Whoever looks for Traefik's metrics in the cluster finds a pod that hands them on from where Traefik shows them, at the node's address only.
func TestMetricsAreBehindAPod(t *testing.T) {
	content, err := yaml.Marshal(defaults().metricsObject())
	if err != nil {
		t.Fatal(err)
	}
	var daemon struct {
		Spec struct {
			Template struct {
				Metadata struct{ Labels map[string]string }
				Spec     struct {
					HostNetwork bool
					Containers  []struct {
						Args  []string
						Ports []struct {
							Name          string
							ContainerPort int
						}
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(content, &daemon); err != nil {
		t.Fatal(err)
	}
	pod := daemon.Spec.Template
	if pod.Metadata.Labels["app.kubernetes.io/name"] != "traefik" || !pod.Spec.HostNetwork {
		t.Errorf("the pod is\n%s", content)
	}
	c := pod.Spec.Containers[0]
	if want := []string{"-listen", "10.213.255.254:8082", "-to", "127.0.0.1:8082"}; !reflect.DeepEqual(c.Args, want) {
		t.Errorf("it is run with %q, want %q", c.Args, want)
	}
	if c.Ports[0].Name != "metrics" || c.Ports[0].ContainerPort != 8082 {
		t.Errorf("its port is %+v", c.Ports[0])
	}
}

func TestNothingListensBeyondLoopbackAndTheNode(t *testing.T) {
	s := defaults()
	for _, config := range []object{s.kubeletConfig(), s.proxyConfig()} {
		for key, value := range config {
			text, ok := value.(string)
			if ok && strings.HasSuffix(strings.ToLower(key), "address") && !strings.HasPrefix(text, s.nodeAddress().String()) {
				t.Errorf("%s is %s", key, text)
			}
		}
	}
	for _, name := range everything().daemons() {
		for _, flag := range s.spec(name, machine{}).Args {
			if strings.HasPrefix(flag, "--bind-address=") && flag != "--bind-address=127.0.0.1" && flag != "--bind-address="+s.nodeAddress().String() {
				t.Errorf("%s has %s", name, flag)
			}
		}
	}
}

func TestEveryDaemonHasAProgramOfItsOwn(t *testing.T) {
	programs := component.Programs{}
	for _, c := range component.All() {
		programs[c.Name] = "/cache/" + c.Name
	}
	built := map[string]bool{}
	for _, c := range component.All() {
		for _, program := range c.Programs {
			built[filepath.Join("/cache", c.Name, program)] = true
		}
	}
	for _, name := range everything().daemons() {
		if spec := defaults().spec(name, machine{programs: programs}); !built[spec.Path] || spec.Name != name {
			t.Errorf("%s runs %s, which is not built", name, spec.Path)
		}
	}
}

func TestProxyEnvironmentIsAllThatIsHandedOn(t *testing.T) {
	got := proxyEnvironment([]string{"HTTPS_PROXY=a", "SECRET=b", "no_proxy=c", "PATH=d"})
	if want := []string{"HTTPS_PROXY=a", "no_proxy=c"}; !reflect.DeepEqual(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
}

func newState(t *testing.T) Settings {
	t.Helper()
	s := defaults()
	s.State = t.TempDir()
	for _, folder := range s.layout().folders() {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestConfigsAreWrittenOnceAndLeftAloneAfterwards(t *testing.T) {
	s := newState(t)
	on := machine{mtu: 1400}
	file := s.layout().config("kube-proxy.yaml")
	var times []time.Time
	for range 2 {
		if err := s.writeConfigs(on); err != nil {
			t.Fatal(err)
		}
		found, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, found.ModTime())
		old := time.Unix(1000, 0)
		if len(times) == 1 {
			if err := os.Chtimes(file, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !times[1].Equal(time.Unix(1000, 0)) {
		t.Error("a configuration that did not change was written again")
	}
}

func TestKeysAreMadeOnceAndNewIdentitiesAreAdded(t *testing.T) {
	s := newState(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	paths := s.layout()
	if err := s.ensureKeys(now); err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(paths.certificate(authorityFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(paths.certificate("coredns")); err != nil {
		t.Fatal(err)
	}
	if err := s.ensureKeys(now); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(paths.certificate(authorityFile)); err != nil || string(again) != string(authority) {
		t.Errorf("the authority was made again: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	for _, who := range s.identities() {
		pair, err := tls.LoadX509KeyPair(paths.certificate(who.file), paths.key(who.file))
		if err != nil {
			t.Errorf("%s: %v", who.file, err)
			continue
		}
		usage := x509.ExtKeyUsageClientAuth
		if who.serving {
			usage = x509.ExtKeyUsageServerAuth
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("%s: %v", who.file, err)
		}
		for _, name := range who.alternatives {
			if err := pair.Leaf.VerifyHostname(name); err != nil {
				t.Errorf("%s: %v", who.file, err)
			}
		}
	}
	found, err := os.Stat(paths.kubeconfig())
	if err != nil || found.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig: %v, %v; want it private", found, err)
	}
}

func TestObjectsHaveUniqueNamesAndApplyOrder(t *testing.T) {
	seen := map[string]bool{}
	for _, each := range append(defaults().baseObjects(), defaults().gatewayObjects()...) {
		meta := each["metadata"].(object)
		key := each["kind"].(string) + "/" + meta["name"].(string)
		if seen[key] {
			t.Errorf("%s is there twice", key)
		}
		seen[key] = true
		if namespace, ok := meta["namespace"].(string); ok && namespace == systemNamespace && !seen["Namespace/"+systemNamespace] {
			t.Errorf("%s comes before its namespace", key)
		}
	}
}

func TestGatewayKinds(t *testing.T) {
	folder := t.TempDir()
	if _, err := gatewayKinds(folder); err == nil {
		t.Error("no kinds are no error")
	}
	for file, content := range map[string]string{
		"a.yaml": "apiVersion: x\nkind: CustomResourceDefinition\nmetadata: {name: a}\n---\napiVersion: x\nkind: CustomResourceDefinition\n",
		"b.yaml": "apiVersion: x\nkind: Kustomization\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if kinds, err := gatewayKinds(folder); err != nil || len(kinds) != 2 {
		t.Errorf("%d kinds, %v; want 2", len(kinds), err)
	}
}

func TestCheckForeign(t *testing.T) {
	folder := t.TempDir()
	if err := checkForeign(filepath.Join(folder, "absent")); err != nil {
		t.Errorf("a folder that is not there: %v", err)
	}
	if err := os.WriteFile(layout(folder).lock(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkForeign(folder); err != nil {
		t.Errorf("only our own lock: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkForeign(folder); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), `"precious"`) {
		t.Errorf("somebody's folder: %v", err)
	}
}

func TestDownRefusesAForeignFolderAndKeepsIt(t *testing.T) {
	folder := t.TempDir()
	precious := filepath.Join(folder, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (Down{State: folder, Clock: time.Now}).Run(t.Context()); !errors.Is(err, ErrForeign) {
		t.Errorf("error %v, want ErrForeign", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func TestNoNodeIsAStatusAndABrokenRecordIsAnError(t *testing.T) {
	state := t.TempDir()
	status, err := Look(t.Context(), state)
	if err != nil || status.Running || status.Ready || len(status.Problems) != 1 {
		t.Errorf("status %+v, %v", status, err)
	}
	if err := os.WriteFile(layout(state).record(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Look(t.Context(), state); err == nil || errors.Is(err, ErrNoNode) {
		t.Errorf("error %v, want one that says the record is broken", err)
	}
}

func TestParseMountsBelow(t *testing.T) {
	line := func(point string) string { return "36 35 98:0 / " + point + " rw - ext4 /dev/x rw\n" }
	mounts := line("/") + line("/state") + line("/state/a") + line(`/state/a/b\040c`) + line("/state2/x") + "short\n"
	want := []string{"/state/a/b c", "/state/a"}
	if got := parseMountsBelow(mounts, "/state"); !reflect.DeepEqual(got, want) {
		t.Errorf("mounts %q, want %q", got, want)
	}
}

func TestParseNameServers(t *testing.T) {
	got := parseNameServers("# nameserver 1.1.1.1\nnameserver 192.0.2.1\nsearch x\nnameserver\nnameserver fd00::1\n")
	if want := []string{"192.0.2.1", "fd00::1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("name servers %q, want %q", got, want)
	}
}

func TestMayRaisePriority(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tx\nCapEff:\t000001ffffffffff\n": true, "CapEff:\t000001fffeffffff\n": false, "nothing": false,
	} {
		if got := mayRaisePriority(status); got != want {
			t.Errorf("%q: %t", status, got)
		}
	}
}
