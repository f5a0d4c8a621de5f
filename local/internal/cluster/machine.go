package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/local/internal/component"
	"github.com/sluice-dev/sluice/local/internal/network"
	"golang.org/x/sys/unix"
)

// machine is what the configuration depends on beside the settings.
type machine struct {
	programs    component.Programs
	runc        string
	mtu         int
	nameServers []string
	snapshotter string
	// restrictOOM keeps the runtime from lowering OOM scores, which needs CAP_SYS_RESOURCE.
	restrictOOM bool
}

func inspectMachine(programs component.Programs, state string) (machine, error) {
	runc, err := exec.LookPath("runc")
	if err != nil {
		return machine{}, fmt.Errorf("find runc: %w", err)
	}
	if runc, err = filepath.Abs(runc); err != nil {
		return machine{}, fmt.Errorf("find runc: %w", err)
	}
	mtu, err := network.MTU()
	if err != nil {
		return machine{}, err
	}
	resolver, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !os.IsNotExist(err) {
		return machine{}, fmt.Errorf("read the machine's name servers: %w", err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return machine{}, fmt.Errorf("read this process's rights: %w", err)
	}
	snapshotter, err := chooseSnapshotter(state)
	if err != nil {
		return machine{}, err
	}
	return machine{
		programs: programs, runc: runc, mtu: mtu, nameServers: parseNameServers(string(resolver)),
		snapshotter: snapshotter, restrictOOM: !mayRaisePriority(string(status)),
	}, nil
}

// linkKubectl puts a kubectl of the node's version where a user finds it.
func (s Settings) linkKubectl(programs component.Programs) error {
	link := s.layout().kubectl()
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("link kubectl: %w", err)
	}
	if err := os.Symlink(programs.Path("kubernetes", "kubernetes"), link); err != nil {
		return fmt.Errorf("link kubectl: %w", err)
	}
	return nil
}

// chooseSnapshotter: an overlay cannot lie on an overlay, as in a container; copies can.
func chooseSnapshotter(state string) (string, error) {
	var found unix.Statfs_t
	if err := unix.Statfs(state, &found); err != nil {
		return "", fmt.Errorf("find the filesystem of %s: %w", state, err)
	}
	if found.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native", nil
	}
	return "overlayfs", nil
}

func parseNameServers(resolver string) []string {
	var servers []string
	for _, line := range strings.Split(resolver, "\n") {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "nameserver" {
			servers = append(servers, fields[1])
		}
	}
	return servers
}

const capabilitySysResource = 24

func mayRaisePriority(status string) bool {
	for _, line := range strings.Split(status, "\n") {
		text, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		var effective uint64
		if _, err := fmt.Sscanf(strings.TrimSpace(text), "%x", &effective); err == nil {
			return effective&(1<<capabilitySysResource) != 0
		}
	}
	return false
}
