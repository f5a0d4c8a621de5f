package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sluice-dev/sluice/local/internal/cgroup"
	"github.com/sluice-dev/sluice/local/internal/component"
	"github.com/sluice-dev/sluice/local/internal/kubeapi"
	"github.com/sluice-dev/sluice/local/internal/network"
	"github.com/sluice-dev/sluice/local/internal/process"
)

// Reporter is told what a node does, beside what its builds do.
type Reporter interface {
	component.Progress
	// Step says what comes next.
	Step(text string)
	// Warn says what went wrong without stopping anything.
	Warn(text string)
}

// Node is one local node, existing or to be.
type Node struct {
	settings Settings
	table    process.Table
	group    cgroup.Group
	report   Reporter
	clock    func() time.Time
	// wanted are the daemons that must run by now.
	wanted []string
}

// record is what the state folder says about the node, and about the machine as it was before.
type record struct {
	Settings Settings `json:"settings"`
	// Cache is the folder of the builds that the node runs.
	Cache string `json:"cache"`
	// Boot is the boot in which the node was last brought up.
	Boot string `json:"boot"`
	// Kernel holds the kernel settings of before.
	Kernel network.Settings `json:"kernel"`
	// Tables are the packet filter tables of before.
	Tables []network.Table `json:"tables"`
	// Folders are those of the shared folders that existed before.
	Folders []string `json:"folders"`
}

// ErrNoNode says that the state folder holds no node.
var ErrNoNode = errors.New("there is no local cluster")

// ErrForeign says that a folder, port, network or table belongs to somebody else; the text names it and the cure.
var ErrForeign = errors.New("in use")

// newNode makes the handle of a node with these settings.
func newNode(settings Settings, report Reporter, clock func() time.Time) (*Node, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	group, err := cgroup.Find(string(mounts), settings.Name)
	if err != nil {
		return nil, err
	}
	paths := settings.layout()
	return &Node{
		settings: settings, group: group, report: report, clock: clock,
		table: process.Table{Records: paths.processes(), Logs: paths.logs(), Adopt: group.Adopt},
	}, nil
}

// load reads the record of a state folder. ErrNoNode if there is none.
func load(state string) (record, error) {
	content, err := os.ReadFile(layout(state).record())
	if errors.Is(err, os.ErrNotExist) {
		return record{}, fmt.Errorf("%w in %s", ErrNoNode, state)
	}
	if err != nil {
		return record{}, fmt.Errorf("read the state of the local cluster: %w", err)
	}
	var found record
	if err := json.Unmarshal(content, &found); err != nil {
		return record{}, fmt.Errorf("state of the local cluster in %s: %w", layout(state).record(), err)
	}
	return found, nil
}

func (r record) save() error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	file := r.Settings.layout().record()
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		return fmt.Errorf("save the state of the local cluster: %w", err)
	}
	return os.Rename(file+".new", file)
}

// lockState waits for the exclusive right to change what is in the state folder, which is made where it is missing. The
// kernel gives the right back if the process dies.
func lockState(state string) (unlock func(), err error) {
	for {
		if err := os.MkdirAll(state, 0o755); err != nil {
			return nil, fmt.Errorf("make the state folder (choose another with --state): %w", err)
		}
		file, err := os.OpenFile(layout(state).lock(), os.O_CREATE|os.O_RDWR, 0o600)
		if errors.Is(err, os.ErrNotExist) {
			continue // Taken down between the two calls.
		}
		if err != nil {
			return nil, fmt.Errorf("lock the state folder: %w", err)
		}
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("lock the state folder: %w", err)
		}
		same, err := sameFile(file, layout(state).lock())
		if err != nil || !same {
			_ = file.Close()
			if err != nil {
				return nil, err
			}
			continue // The node was taken down, and its lock with it, while this process waited.
		}
		return func() { _ = file.Close() }, nil
	}
}

func sameFile(file *os.File, path string) (bool, error) {
	held, err := file.Stat()
	if err != nil {
		return false, fmt.Errorf("look at the lock: %w", err)
	}
	current, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at the lock: %w", err)
	}
	return os.SameFile(held, current), nil
}

// checkForeign refuses a folder with content that is no node's state: taking the node down would delete it.
func checkForeign(state string) error {
	entries, err := os.ReadDir(state)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into the state folder: %w", err)
	}
	paths := layout(state)
	own := map[string]bool{filepath.Base(paths.lock()): true, filepath.Base(paths.record()) + ".new": true}
	for _, entry := range entries {
		if !own[entry.Name()] {
			return fmt.Errorf("%w: folder %s holds %q, which is not of a local cluster; choose another with --state",
				ErrForeign, state, entry.Name())
		}
	}
	return nil
}

// api makes a client of the node's API server with its administrator's certificate.
func (s Settings) api() (*kubeapi.Client, error) {
	paths := s.layout()
	var parts [3][]byte
	for i, file := range []string{paths.certificate(authorityFile), paths.certificate("admin"), paths.key("admin")} {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the administrator's certificate: %w", err)
		}
		parts[i] = content
	}
	return kubeapi.New(s.apiServer(), parts[0], parts[1], parts[2])
}

// firstDead names a daemon that was started and does not run any more; "" if there is none.
func (n *Node) firstDead() string {
	for _, name := range n.wanted {
		if _, err := n.table.Running(name); errors.Is(err, process.ErrGone) {
			return name
		}
	}
	return ""
}
