package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-dev/sluice/local/internal/network"
	"golang.org/x/sys/unix"
)

// Down takes a node down without a trace.
type Down struct {
	State  string
	Report Reporter
	Clock  func() time.Time
}

const (
	politeEnd = 5 * time.Second
	deathTime = 20 * time.Second
)

// Run takes the node down; found is false if there was none. It may be repeated after an interrupt: the record of what to
// remove goes last.
func (d Down) Run(ctx context.Context) (found bool, err error) {
	if _, err := load(d.State); err != nil {
		if errors.Is(err, ErrNoNode) {
			return false, d.removeUnstarted()
		}
		return false, err
	}
	unlock, err := lockState(d.State)
	if err != nil {
		return true, err
	}
	defer unlock()
	before, err := load(d.State)
	if errors.Is(err, ErrNoNode) {
		return false, d.removeUnstarted() // Somebody else took it down meanwhile.
	}
	if err != nil {
		return true, err
	}
	node, err := newNode(before.Settings, d.Report, d.Clock)
	if err != nil {
		return true, err
	}
	d.Report.Step("end the processes")
	if err := node.endProcesses(ctx); err != nil {
		return true, err
	}
	d.Report.Step("remove mounts, network and control groups")
	if err := node.undo(ctx, before); err != nil {
		return true, err
	}
	d.Report.Step("remove the state")
	return true, removeState(d.State)
}

// removeUnstarted removes a state folder in which nothing was recorded yet.
func (d Down) removeUnstarted() error {
	if _, err := os.Stat(d.State); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := checkForeign(d.State); err != nil {
		return err
	}
	return os.RemoveAll(d.State)
}

// endProcesses ends the daemons, the kubelet before what it would start again, then everything in the control group.
func (n *Node) endProcesses(ctx context.Context) error {
	names := n.settings.daemons()
	slices.Reverse(names)
	for _, name := range names {
		if err := n.table.Stop(ctx, name, politeEnd); err != nil {
			return err
		}
	}
	deadline := n.clock().Add(deathTime)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		members, err := n.group.Members()
		if err != nil || len(members) == 0 {
			return err
		}
		if n.clock().After(deadline) {
			return fmt.Errorf("processes %v of the control group %s do not end, not even killed", members, n.settings.Name)
		}
		for _, pid := range members {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end process %d of the control group %s: %w", pid, n.settings.Name, err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// undo takes everything back that the node changed outside its state folder.
func (n *Node) undo(ctx context.Context, before record) error {
	if err := unmountBelow(n.settings.State); err != nil {
		return err
	}
	if err := n.removeTables(ctx, before.Tables); err != nil {
		return err
	}
	if err := network.RemoveRoute(n.settings.services(), n.settings.nodeAddress()); err != nil {
		return err
	}
	if err := network.RemoveAddress(n.settings.nodeAddress()); err != nil {
		return err
	}
	if err := n.group.Remove(); err != nil {
		return err
	}
	if err := n.cleanShared(before.Folders); err != nil {
		return err
	}
	return before.Kernel.Write()
}

// ownTables are those of the node's filter, of kube-proxy and of the CNI plugins.
func (n *Node) ownTables() []string {
	return []string{n.settings.Name, proxyTable, "cni_hostport", "cni_plugins_masquerade"}
}

func (n *Node) removeTables(ctx context.Context, before []network.Table) error {
	tables, err := network.Tables(ctx)
	if err != nil {
		return err
	}
	for _, table := range tables {
		if slices.Contains(before, table) || !slices.Contains(n.ownTables(), table.Name) {
			continue
		}
		if err := table.Delete(ctx); err != nil {
			return err
		}
	}
	return nil
}

// unmountBelow unmounts everything below the folder, deepest first.
func unmountBelow(folder string) error {
	// A mount may hide another of the same place, so once is not enough.
	const rounds = 10
	for range rounds {
		points, err := mountsBelow(folder)
		if err != nil || len(points) == 0 {
			return err
		}
		for _, point := range points {
			if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("unmount %s: %w", point, err)
			}
		}
	}
	return fmt.Errorf("mounts below %s come again as soon as they are removed", folder)
}

func mountsBelow(folder string) ([]string, error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	real, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return nil, fmt.Errorf("find the state folder: %w", err)
	}
	return parseMountsBelow(string(content), real), nil
}

// parseMountsBelow lists the mount points below a folder, deepest first.
func parseMountsBelow(mountinfo, folder string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	const fieldPoint = 4
	var points []string
	for _, line := range strings.Split(mountinfo, "\n") {
		fields := strings.Fields(line)
		if len(fields) <= fieldPoint {
			continue
		}
		if point := unescape.Replace(fields[fieldPoint]); strings.HasPrefix(point, folder+"/") {
			points = append(points, point)
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(points)))
	return points
}

// sharedFolders are outside the state folder because the kubelet and the CNI library fix their places.
func sharedFolders() []string {
	return []string{
		"/var/log/containers", "/var/lib/cni/results", "/var/lib/cni", "/var/lib/kubelet/device-plugins", "/var/lib/kubelet",
		"/run/containerd/fifo", "/run/containerd", "/var/run/kubernetes",
	}
}

// cleanShared removes the node's own entries from shared folders, then those folders that are empty and were not there
// before.
func (n *Node) cleanShared(before []string) error {
	links, err := filepath.Glob("/var/log/containers/*.log")
	if err != nil {
		return err
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && strings.HasPrefix(target, n.settings.layout().podLogs()+"/") {
			if err := os.Remove(link); err != nil {
				return fmt.Errorf("remove a link to a pod's log: %w", err)
			}
		}
	}
	results, err := filepath.Glob("/var/lib/cni/results/" + n.settings.Name + "-*")
	if err != nil {
		return err
	}
	for _, result := range results {
		if err := os.Remove(result); err != nil {
			return fmt.Errorf("remove the cached network of a pod: %w", err)
		}
	}
	for _, folder := range sharedFolders() {
		if slices.Contains(before, folder) {
			continue
		}
		err := syscall.Rmdir(folder)
		if err != nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ENOTEMPTY) {
			return fmt.Errorf("remove folder %s: %w", folder, err)
		}
	}
	return nil
}

// removeState removes the folder, the record last: until then another attempt knows what to do.
func removeState(state string) error {
	points, err := mountsBelow(state)
	if err != nil {
		return err
	}
	if len(points) > 0 {
		return fmt.Errorf("not removing %s: %s is mounted below it", state, points[0])
	}
	paths := layout(state)
	entries, err := os.ReadDir(state)
	if err != nil {
		return fmt.Errorf("remove the state folder: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(state, entry.Name())
		if path == paths.record() || path == paths.lock() {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove the state folder: %w", err)
		}
	}
	if err := os.RemoveAll(state); err != nil {
		return fmt.Errorf("remove the state folder: %w", err)
	}
	return nil
}
