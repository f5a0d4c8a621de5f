// Package requirement finds out what a machine lacks before anything is built or changed on it. It must change nothing.
package requirement

import (
	"errors"
	"fmt"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrMissing says that the machine lacks something; each of the joined errors is one line with its cure.
var ErrMissing = errors.New("missing")

// Machine is what the checks look at; a test gives its own.
type Machine struct {
	// UserID is the effective user id.
	UserID int
	// Look finds a program in the search path.
	Look func(program string) (string, error)
	// Run runs a program and returns what it printed.
	Run func(program string, args ...string) (string, error)
	// Read reads a file.
	Read func(path string) ([]byte, error)
	// Free is how many bytes are free where the folder is, or will be.
	Free func(folder string) (uint64, error)
}

// ThisMachine looks at the real one.
func ThisMachine() Machine {
	return Machine{
		UserID: os.Geteuid(),
		Look:   exec.LookPath,
		Run: func(program string, args ...string) (string, error) {
			command := exec.Command(program, args...)
			command.Dir = os.TempDir() // A go.mod of where the user stands may choose another Go.
			out, err := command.CombinedOutput()
			return strings.TrimSpace(string(out)), err
		},
		Read: os.ReadFile,
		Free: free,
	}
}

const (
	oldestGo      = "go1.26.6" // containerd's go.mod asks for it
	buildSpace    = 12 << 30
	runSpace      = 1 << 30
	capabilityNet = 12
	capabilitySys = 21
)

// Runtime checks what a built node needs to run: rights, tools, kernel, disk. state is the node's state folder.
func (m Machine) Runtime(state string) error {
	if m.UserID != 0 {
		return fmt.Errorf("%w right: a node needs root; run the command with sudo", ErrMissing)
	}
	problems := []error{m.capabilities()}
	for _, need := range []struct{ program, cure string }{
		{"runc", "apt-get install -y runc"},
		{"nft", "apt-get install -y nftables"},
		{"mount", "apt-get install -y mount"},
	} {
		if !m.has(need.program) {
			problems = append(problems, fmt.Errorf("%w tool %s: %s", ErrMissing, need.program, need.cure))
		}
	}
	problems = append(problems, m.overlay(), m.packetFilter(), m.space(state, runSpace, "--state"))
	return errors.Join(problems...)
}

// Build checks what building the components needs; cache is the cache folder.
func (m Machine) Build(cache string) error {
	return errors.Join(m.goCommand(), m.space(cache, buildSpace, "--cache"))
}

func (m Machine) goCommand() error {
	const cure = "install Go 1.26.6 or newer from https://go.dev/dl and put its bin folder into PATH"
	if !m.has("go") {
		return fmt.Errorf("%w tool go: %s", ErrMissing, cure)
	}
	found, err := m.Run("go", "env", "GOVERSION")
	if err != nil {
		return fmt.Errorf("%w tool go: 'go env GOVERSION' fails (%s): %s", ErrMissing, found, cure)
	}
	if version.Compare(strings.Fields(found + " ?")[0], oldestGo) < 0 {
		return fmt.Errorf("%w tool go: found %s: %s", ErrMissing, found, cure)
	}
	return nil
}

func (m Machine) capabilities() error {
	status, err := m.Read("/proc/self/status")
	if err != nil {
		return fmt.Errorf("read this process's rights: %w", err)
	}
	var effective uint64
	for _, line := range strings.Split(string(status), "\n") {
		if text, ok := strings.CutPrefix(line, "CapEff:"); ok {
			if _, err := fmt.Sscanf(strings.TrimSpace(text), "%x", &effective); err != nil {
				return fmt.Errorf("read this process's rights: %w", err)
			}
		}
	}
	for _, need := range []struct {
		bit  uint
		name string
	}{{capabilityNet, "CAP_NET_ADMIN"}, {capabilitySys, "CAP_SYS_ADMIN"}} {
		if effective&(1<<need.bit) == 0 {
			return fmt.Errorf("%w right %s: run on the machine itself, or in a container with --privileged", ErrMissing, need.name)
		}
	}
	return nil
}

func (m Machine) overlay() error {
	filesystems, err := m.Read("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("read the kernel's filesystems: %w", err)
	}
	if strings.Contains(string(filesystems), "\toverlay\n") {
		return nil
	}
	// Where modules are loaded on demand, the file lists it only after the first use.
	if out, err := m.Run("modprobe", "overlay"); err != nil {
		return fmt.Errorf("%w kernel feature overlay (CONFIG_OVERLAY_FS): use a kernel that has it; 'modprobe overlay' says: %s", ErrMissing, out)
	}
	return nil
}

func (m Machine) packetFilter() error {
	// A missing nft is reported as a missing tool.
	if !m.has("nft") {
		return nil
	}
	if out, err := m.Run("nft", "list", "tables"); err != nil {
		return fmt.Errorf("%w kernel feature nf_tables (CONFIG_NF_TABLES): use a kernel that has it; 'nft list tables' says: %s", ErrMissing, out)
	}
	return nil
}

func (m Machine) has(program string) bool {
	_, err := m.Look(program)
	return err == nil
}

func (m Machine) space(folder string, needed uint64, flag string) error {
	available, err := m.Free(folder)
	if err != nil {
		return fmt.Errorf("look for free space at %s: %w", folder, err)
	}
	if available < needed {
		return fmt.Errorf("%w disk space at %s: %d GiB free, %d needed; make room or choose another folder with %s",
			ErrMissing, folder, available>>30, needed>>30, flag)
	}
	return nil
}

// free looks at the nearest folder that exists already.
func free(folder string) (uint64, error) {
	for {
		var found syscall.Statfs_t
		err := syscall.Statfs(folder, &found)
		if err == nil {
			return found.Bavail * uint64(found.Bsize), nil
		}
		parent := filepath.Dir(folder)
		if !errors.Is(err, os.ErrNotExist) || parent == folder {
			return 0, err
		}
		folder = parent
	}
}
