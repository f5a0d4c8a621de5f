// Package cgroup keeps one control group per node, of version 1 or 2, in which everything that belongs to the node runs:
// daemons, shims, pods. It must not touch any group but its own.
package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
)

// Group is the node's group in every hierarchy of the machine.
type Group struct {
	// Name is the group's name below the root of each hierarchy, and what the kubelet calls its root: "/Name".
	Name string
	// Roots are the folders of the hierarchies' roots.
	Roots []string
	// Unified is true for version 2.
	Unified bool
}

// Needed are the version 1 controllers without which the kubelet does not start.
func needed() []string { return []string{"cpu", "cpuacct", "cpuset", "memory", "pids"} }

// daemons is the leaf for the node's own processes: version 2 allows processes in leaves only.
const daemons = "daemons"

// ErrUnsupported says that the machine's control groups cannot carry a node; the text says which part is missing.
var ErrUnsupported = errors.New("control groups")

// Find looks at what is mounted; mounts is the content of /proc/self/mountinfo.
func Find(mounts, name string) (Group, error) {
	group := Group{Name: name}
	found := map[string]bool{}
	var unified string
	scanner := bufio.NewScanner(strings.NewReader(mounts))
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		point, kind, options, ok := parseMount(fields)
		switch {
		case !ok:
		case kind == "cgroup2":
			unified = point
		case kind == "cgroup" && !strings.Contains(options, "name="):
			group.Roots = append(group.Roots, point)
			for _, option := range strings.Split(options, ",") {
				found[option] = true
			}
		case kind == "cgroup" && strings.Contains(options, "name=systemd"):
			group.Roots = append(group.Roots, point)
		}
	}
	if len(found) == 0 {
		if unified == "" {
			return Group{}, fmt.Errorf("%w: no hierarchy is mounted; mount cgroup2 on /sys/fs/cgroup", ErrUnsupported)
		}
		group.Roots, group.Unified = []string{unified}, true
		return group, group.checkUnified()
	}
	for _, controller := range needed() {
		if !found[controller] {
			return Group{}, fmt.Errorf("%w: controller %q is not mounted; mount it below /sys/fs/cgroup, or boot with cgroup v2",
				ErrUnsupported, controller)
		}
	}
	if unified != "" {
		group.Roots = append(group.Roots, unified) // runc makes a group in a hybrid machine's unified tree, too.
	}
	sort.Strings(group.Roots)
	return group, nil
}

// parseMount picks the mount point, the type and the super options out of a line of mountinfo.
func parseMount(fields []string) (point, kind, options string, ok bool) {
	for i, field := range fields {
		if field == "-" && i >= 6 && len(fields) > i+3 {
			return fields[4], fields[i+1], fields[i+3], true
		}
	}
	return "", "", "", false
}

func (g Group) checkUnified() error {
	content, err := os.ReadFile(filepath.Join(g.Roots[0], "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read the controllers of cgroup v2: %w", err)
	}
	available := strings.Fields(string(content))
	for _, controller := range []string{"cpu", "cpuset", "memory", "pids"} {
		if !contains(available, controller) {
			return fmt.Errorf("%w: controller %q is not available in %s; enable it in the parent's cgroup.subtree_control",
				ErrUnsupported, controller, g.Roots[0])
		}
	}
	return nil
}

func contains(list []string, word string) bool {
	for _, item := range list {
		if item == word {
			return true
		}
	}
	return false
}

// Create makes the group in every hierarchy. A group that exists is no error.
func (g Group) Create() error {
	for _, root := range g.Roots {
		if g.Unified {
			if err := enable(root); err != nil {
				return err
			}
		}
		folder := filepath.Join(root, g.Name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("make control group %s: %w", folder, err)
		}
		if err := inheritCPUs(root, folder); err != nil {
			return err
		}
	}
	leaf := g.leaf()
	if err := os.MkdirAll(leaf, 0o755); err != nil {
		return fmt.Errorf("make control group %s: %w", leaf, err)
	}
	if g.Unified {
		return enable(filepath.Join(g.Roots[0], g.Name))
	}
	return nil
}

// enable hands the controllers of a version 2 group on to its children.
func enable(folder string) error {
	content, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read the controllers of %s: %w", folder, err)
	}
	for _, controller := range strings.Fields(string(content)) {
		err := os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
		if err != nil && contains(needed(), controller) {
			return fmt.Errorf("hand controller %s of %s on to groups below it: %w", controller, folder, err)
		}
	}
	return nil
}

// inheritCPUs copies the CPUs and memory nodes: a new version 1 cpuset has none and admits no process.
func inheritCPUs(root, folder string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		content, err := os.ReadFile(filepath.Join(root, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		own, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		if strings.TrimSpace(string(own)) != "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, file), content, 0o644); err != nil {
			return fmt.Errorf("write %s of %s: %w", file, folder, err)
		}
	}
	return nil
}

// leaf is where daemons are put: in version 1 the hierarchy of the pids controller is enough to find them again.
func (g Group) leaf() string {
	root := g.Roots[0]
	for _, candidate := range g.Roots {
		if filepath.Base(candidate) == "pids" {
			root = candidate
		}
	}
	return filepath.Join(root, g.Name, daemons)
}

// Adopt moves a process into the group.
func (g Group) Adopt(pid int) error {
	path := filepath.Join(g.leaf(), "cgroup.procs")
	if err := os.WriteFile(path, []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return fmt.Errorf("move process %d into its control group: %w", pid, err)
	}
	return nil
}

// Members lists every process of the group, in all hierarchies and all groups below.
func (g Group) Members() ([]int, error) {
	members := map[int]bool{}
	err := g.walk(func(folder string) error {
		content, err := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EOPNOTSUPP) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the processes of %s: %w", folder, err)
		}
		for _, field := range strings.Fields(string(content)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return fmt.Errorf("list the processes of %s: %w", folder, err)
			}
			if pid > 0 { // 0 is a process of another pid namespace.
				members[pid] = true
			}
		}
		return nil
	})
	pids := make([]int, 0, len(members))
	for pid := range members {
		pids = append(pids, pid)
	}
	sort.Ints(pids)
	return pids, err
}

// Remove removes the group and all groups below, which must be without processes by now.
func (g Group) Remove() error {
	var folders []string
	if err := g.walk(func(folder string) error {
		folders = append(folders, folder)
		return nil
	}); err != nil {
		return err
	}
	for i := len(folders) - 1; i >= 0; i-- {
		if err := syscall.Rmdir(folders[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove control group %s: %w", folders[i], err)
		}
	}
	return nil
}

// walk visits the group's folders, parents first.
func (g Group) walk(visit func(folder string) error) error {
	for _, root := range g.Roots {
		err := filepath.WalkDir(filepath.Join(root, g.Name), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !entry.IsDir() {
				return err
			}
			return visit(path)
		})
		if err != nil {
			return fmt.Errorf("walk through the control groups of %s: %w", g.Name, err)
		}
	}
	return nil
}
