package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mount is one line of /proc/self/mountinfo.
func mount(point, kind, options string) string {
	return "30 25 0:26 / " + point + " rw,relatime shared:9 - " + kind + " " + kind + " " + options + "\n"
}

func version1(leaveOut string) string {
	mounts := mount("/", "ext4", "rw") + mount("/sys/fs/cgroup/systemd", "cgroup", "rw,name=systemd")
	for _, controller := range []string{"cpu,cpuacct", "cpuset", "memory", "pids", "freezer"} {
		if controller != leaveOut {
			mounts += mount("/sys/fs/cgroup/"+controller, "cgroup", "rw,"+controller)
		}
	}
	return mounts
}

func TestFindVersion1(t *testing.T) {
	group, err := Find(version1("")+mount("/sys/fs/cgroup/unified", "cgroup2", "rw"), "node")
	if err != nil {
		t.Fatal(err)
	}
	if group.Unified || len(group.Roots) != 7 {
		t.Errorf("found %+v, want 7 hierarchies of version 1, the hybrid one among them", group)
	}
	if got := group.leaf(); got != "/sys/fs/cgroup/pids/node/daemons" {
		t.Errorf("daemons go into %s", got)
	}
}

func TestFindNamesWhatIsMissing(t *testing.T) {
	for name, test := range map[string]struct{ mounts, want string }{
		"nothing":         {mount("/", "ext4", "rw"), "no hierarchy is mounted"},
		"one controller":  {version1("pids"), `controller "pids" is not mounted`},
		"two controllers": {version1("memory"), `controller "memory" is not mounted`},
	} {
		_, err := Find(test.mounts, "node")
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestVersion2(t *testing.T) {
	root := t.TempDir()
	write := func(file, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("cgroup.controllers", "cpuset cpu memory\n")
	_, err := Find(mount(root, "cgroup2", "rw"), "node")
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), `"pids"`) {
		t.Errorf("without the pids controller: %v", err)
	}
	write("cgroup.controllers", "cpuset cpu io memory pids\n")
	write("node/cgroup.controllers", "cpu pids\n")
	group, err := Find(mount(root, "cgroup2", "rw"), "node")
	if err != nil {
		t.Fatal(err)
	}
	if err := group.Create(); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(filepath.Join(root, "node", "cgroup.subtree_control")); err != nil || string(content) != "+pids" {
		t.Errorf("the group hands on %q, %v; want its last controller", content, err)
	}
	if _, err := os.Stat(filepath.Join(root, "node", daemons)); err != nil {
		t.Errorf("no leaf for daemons: %v", err)
	}
}

func TestNewCpusetInheritsButKeepsItsOwn(t *testing.T) {
	root, folder := t.TempDir(), t.TempDir()
	for file, content := range map[string]string{
		filepath.Join(root, "cpuset.cpus"): "0-1\n", filepath.Join(root, "cpuset.mems"): "0\n",
		filepath.Join(folder, "cpuset.cpus"): "\n", filepath.Join(folder, "cpuset.mems"): "1\n",
	} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := inheritCPUs(root, folder); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "1\n"} {
		if got, err := os.ReadFile(filepath.Join(folder, file)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", file, got, err, want)
		}
	}
}
