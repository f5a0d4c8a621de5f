package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sluice-dev/sluice/local/internal/component"
	"github.com/sluice-dev/sluice/local/internal/kubeapi"
	"github.com/sluice-dev/sluice/local/internal/network"
	"github.com/sluice-dev/sluice/local/internal/process"
	"github.com/sluice-dev/sluice/local/internal/requirement"
)

// patience is how long one part may take to answer; a busy machine of two cores stays well below it.
const patience = 3 * time.Minute

// Up is what bringing a node up needs to know.
type Up struct {
	Settings Settings
	// Given names the flags that were given, as opposed to defaults: a node that exists keeps its settings otherwise.
	Given  map[string]bool
	Cache  string
	Report Reporter
	Clock  func() time.Time
}

// Run brings the node up, builds what it needs, starts what does not run and returns when everything answers. It may be
// repeated at any time, and after an interrupt.
func (u Up) Run(ctx context.Context) (Status, error) {
	node, err := u.examine(ctx)
	if err != nil {
		return Status{}, err
	}
	builder, _, err := u.builder(ctx, node.settings)
	if err != nil {
		return Status{}, err
	}
	programs, err := builder.Ensure(ctx, component.Needed(node.settings.With))
	if err != nil {
		return Status{}, err
	}
	if err := node.bringUp(ctx, u.Cache, programs); err != nil {
		return Status{}, err
	}
	return Look(ctx, node.settings.State)
}

// Check says which parts Run would build first. It changes nothing, and fails as Run would before its first change.
func (u Up) Check(ctx context.Context) ([]string, error) {
	node, err := u.examine(ctx)
	settings := u.Settings
	if err == nil {
		settings = node.settings
	}
	_, missing, buildErr := u.builder(ctx, settings)
	if err := errors.Join(err, buildErr); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(missing))
	for _, c := range missing {
		names = append(names, c.Name+" "+c.Version)
	}
	return names, nil
}

// examine looks whether this machine can run the node, and returns it with the settings it has or would have.
func (u Up) examine(ctx context.Context) (*Node, error) {
	settings := u.Settings
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	if err := requirement.ThisMachine().Runtime(settings.State); err != nil {
		return nil, err
	}
	fresh := false
	existing, err := load(settings.State)
	switch {
	case errors.Is(err, ErrNoNode):
		fresh = true
		if err := checkForeign(settings.State); err != nil {
			return nil, err
		}
		if settings, err = choosePorts(settings); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		if err := u.agrees(existing.Settings); err != nil {
			return nil, err
		}
		// Optional parts are added to those that are there; the others stay as they are.
		settings = existing.Settings.and(settings.With)
	}
	node, err := newNode(settings, u.Report, u.Clock)
	if err != nil {
		return nil, err
	}
	return node, node.checkMachine(ctx, fresh)
}

// builder builds the node's parts; it knows which are missing, and that this machine can build them.
func (u Up) builder(ctx context.Context, settings Settings) (*component.Builder, []component.Component, error) {
	builder := &component.Builder{Cache: u.Cache, Go: "go", Progress: u.Report, Clock: u.Clock}
	missing, err := builder.Missing(ctx, component.Needed(settings.With))
	if err == nil && len(missing) > 0 || errors.Is(err, component.ErrNoGo) {
		if problem := requirement.ThisMachine().Build(u.Cache); problem != nil {
			return builder, nil, problem
		}
	}
	return builder, missing, err
}

// bringUp prepares and starts the node; nobody else changes it meanwhile.
func (n *Node) bringUp(ctx context.Context, cache string, programs component.Programs) error {
	unlock, err := lockState(n.settings.State)
	if err != nil {
		return err
	}
	defer unlock()
	if err := n.prepare(ctx, cache); err != nil {
		return err
	}
	err = n.start(ctx, programs)
	if errors.Is(err, errEnded) {
		// One that ran when this began may have been about to die; one that cannot run ends a second time.
		n.report.Warn(err.Error() + "; starting it again")
		err = n.start(ctx, programs)
	}
	return err
}

// agrees refuses a given setting that differs from the node's.
func (u Up) agrees(existing Settings) error {
	var problems []error
	differ := func(flag string, wanted, has any) {
		if u.Given[flag] && wanted != has {
			problems = append(problems, fmt.Errorf("%w --%s %v: the local cluster in %s has %v; take it down first, or leave the flag out",
				ErrSettings, flag, wanted, existing.State, has))
		}
	}
	differ("name", u.Settings.Name, existing.Name)
	differ("network", u.Settings.Network, existing.Network)
	differ("http-port", u.Settings.HTTPPort, existing.HTTPPort)
	differ("registry-port", u.Settings.RegistryPort, existing.RegistryPort)
	differ("metrics-port", u.Settings.MetricsPort, existing.MetricsPort)
	differ("api-port", u.Settings.APIPort, existing.APIPort)
	return errors.Join(problems...)
}

// prepare makes folders, record, keys, control groups and network.
func (n *Node) prepare(ctx context.Context, cache string) error {
	paths := n.settings.layout()
	n.report.Step("prepare the node")
	boot, err := process.BootID()
	if err != nil {
		return err
	}
	found, err := load(n.settings.State)
	switch {
	case errors.Is(err, ErrNoNode):
		if found, err = n.newRecord(ctx); err != nil {
			return err
		}
	case err != nil:
		return err
	case found.Boot != boot:
		// What a reboot would have emptied, had it lain on a volatile filesystem.
		if err := os.RemoveAll(paths.containerdState()); err != nil {
			return fmt.Errorf("remove the runtime state of the last boot: %w", err)
		}
	}
	found.Boot, found.Cache, found.Settings = boot, cache, n.settings
	if err := found.save(); err != nil {
		return err
	}
	for _, folder := range paths.folders() {
		if err := os.MkdirAll(folder, 0o711); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	if err := n.settings.ensureKeys(n.clock()); err != nil {
		return err
	}
	if err := n.group.Create(); err != nil {
		return err
	}
	return n.connect(ctx)
}

// connect gives the node its address, the route to Services, forwarding and the packet filter.
func (n *Node) connect(ctx context.Context) error {
	if err := network.AddAddress(n.settings.nodeAddress()); err != nil {
		return err
	}
	if err := network.AddRoute(n.settings.services(), n.settings.nodeAddress()); err != nil {
		return err
	}
	if err := (network.Settings{"net/ipv4/ip_forward": "1"}).Write(); err != nil {
		return err
	}
	if pods := n.settings.pods(); network.DropsForwarded(ctx, pods) {
		n.report.Warn(fmt.Sprintf("this machine's firewall drops forwarded packets, so pods do not reach each other; "+
			"allow them with: iptables -I FORWARD -s %[1]s -j ACCEPT; iptables -I FORWARD -d %[1]s -j ACCEPT", pods))
	}
	return n.filter().Install(ctx)
}

func (n *Node) filter() network.Filter {
	return network.Filter{
		Table: n.settings.Name, Node: n.settings.nodeAddress(), Pods: n.settings.pods(), Network: n.settings.Network,
	}
}

// newRecord remembers the machine as it is before the node changes it.
func (n *Node) newRecord(ctx context.Context) (record, error) {
	kernel, err := network.Read(network.Changed())
	if err != nil {
		return record{}, err
	}
	tables, err := network.Tables(ctx)
	if err != nil {
		return record{}, err
	}
	var folders []string
	for _, folder := range sharedFolders() {
		if _, err := os.Lstat(folder); err == nil {
			folders = append(folders, folder)
		}
	}
	return record{Settings: n.settings, Kernel: kernel, Tables: tables, Folders: folders}, nil
}

// start starts the daemons in their order and waits until everything answers.
func (n *Node) start(ctx context.Context, programs component.Programs) error {
	s := n.settings
	on, err := inspectMachine(programs, s.State)
	if err != nil {
		return err
	}
	if err := s.writeConfigs(on); err != nil {
		return err
	}
	if err := s.linkKubectl(programs); err != nil {
		return err
	}
	n.report.Step("start storage, registry and container runtime")
	if err := n.run(ctx, on, etcd, registry, containerd); err != nil {
		return err
	}
	if err := n.await(ctx, "wait for the storage", patience, connects(s.layout().etcdSocket())); err != nil {
		return err
	}
	n.report.Step("start the API server")
	if err := n.run(ctx, on, apiserver, relay); err != nil {
		return err
	}
	if err := n.provideImages(ctx, programs); err != nil {
		return err
	}
	if err := n.await(ctx, "wait for the container runtime", patience, connects(s.layout().containerdSocket())); err != nil {
		return err
	}
	api, err := s.api()
	if err != nil {
		return err
	}
	defer api.Close()
	if err := n.await(ctx, "wait for the API server", patience, api.Ready); err != nil {
		return err
	}
	n.report.Step("start controllers, scheduler and kubelet")
	if err := n.run(ctx, on, controllerManager, scheduler, kubelet); err != nil {
		return err
	}
	if err := n.setUp(ctx, api, programs); err != nil {
		return err
	}
	n.report.Step("start proxy, name server, storage and entry point")
	if err := n.run(ctx, on, proxy, coredns, provisioner, traefik); err != nil {
		return err
	}
	if err := n.startOptional(ctx, on); err != nil {
		return err
	}
	return n.settle(ctx, api)
}

// provideImages pushes what the node's own pods are made of, once the registry answers: every pod needs the first.
func (n *Node) provideImages(ctx context.Context, programs component.Programs) error {
	url := fmt.Sprintf("http://127.0.0.1:%d/v2/", n.settings.RegistryPort)
	if err := n.await(ctx, "wait for the registry", patience, answers(url)); err != nil {
		return err
	}
	if err := pushProgram(ctx, n.settings.pauseImage(), programs.Path("pause", "pause")); err != nil {
		return err
	}
	return pushProgram(ctx, n.settings.relayImage(), programs.Path("relay", "relay"))
}

// startOptional starts the parts that not every node has.
func (n *Node) startOptional(ctx context.Context, on machine) error {
	if !n.settings.has(buildkit) {
		return nil
	}
	n.report.Step("start BuildKit")
	return n.run(ctx, on, buildkitd)
}

// run starts daemons that do not run, or run with what is no longer wanted.
func (n *Node) run(ctx context.Context, on machine, names ...string) error {
	for _, name := range names {
		if _, err := n.table.Start(ctx, n.settings.spec(name, on), politeEnd); err != nil {
			return err
		}
		n.wanted = append(n.wanted, name)
	}
	return nil
}

// setUp applies the objects that every node has.
func (n *Node) setUp(ctx context.Context, api *kubeapi.Client, programs component.Programs) error {
	n.report.Step("set up the cluster")
	kinds, err := gatewayKinds(programs.Path("traefik", "standard"))
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		if err := api.Apply(ctx, fieldManager, kind); err != nil {
			return fmt.Errorf("set up the Gateway API: %w", err)
		}
	}
	if err := n.await(ctx, "set up the cluster", patience, func(ctx context.Context) error {
		return applyAll(ctx, api, n.settings.baseObjects())
	}); err != nil {
		return err
	}
	if err := n.await(ctx, "set up the Gateway API", patience, func(ctx context.Context) error {
		return established(ctx, api)
	}); err != nil {
		return err
	}
	return applyAll(ctx, api, n.settings.gatewayObjects())
}

// settle waits for everything that a user counts on.
func (n *Node) settle(ctx context.Context, api *kubeapi.Client) error {
	s := n.settings
	ready := func(path, condition string) func(context.Context) error {
		return func(ctx context.Context) error { return hasCondition(ctx, api, path, condition) }
	}
	for _, each := range []struct {
		what  string
		probe func(context.Context) error
	}{
		{"the node", ready(s.nodePath(), "Ready")},
		{"Services and the name server", s.resolves},
		{"the entry point", answers(s.entryURL())},
		{"its metrics", answers(s.podMetricsURL())},
		{"the Gateway", ready(gatewayPath(), "Programmed")},
		{"BuildKit", s.builds},
	} {
		n.report.Step("wait for " + each.what)
		if err := n.await(ctx, "wait for "+each.what, patience, each.probe); err != nil {
			return err
		}
	}
	return nil
}
