//go:build e2e

package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func (n *node) upAgainStartsNothing(t *testing.T) {
	before := n.pids(t)
	n.up(t)
	after := n.pids(t)
	for name, pid := range before {
		if after[name] != pid || pid == 0 {
			t.Errorf("%s was process %d and is %d", name, pid, after[name])
		}
	}
}

// addsBuildkit adds the optional part while the node runs; nothing else is started anew, and a later up without it keeps it.
func (n *node) addsBuildkit(t *testing.T) {
	before := n.pids(t)
	if address, there := n.status(t)["buildkit"]; there {
		t.Errorf("a node that was not asked for it has a BuildKit at %v", address)
	}
	n.up(t, "--with", "buildkit")
	n.up(t)
	after := n.pids(t)
	for name, pid := range before {
		if after[name] != pid {
			t.Errorf("%s was process %d and is %d", name, pid, after[name])
		}
	}
	address, _ := n.status(t)["buildkit"].(string)
	if want := "unix://" + filepath.Join(n.state, "run", "buildkitd.sock"); address != want || after["buildkitd"] == 0 {
		t.Fatalf("BuildKit is process %d at %q, want %q", after["buildkitd"], address, want)
	}
	connection, err := net.Dial("unix", strings.TrimPrefix(address, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	_ = connection.Close()
	if _, err := n.try(t, "up", "--with", "docker"); err == nil || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("an unknown part: %v", err)
	}
}

// upRepairs kills each daemon alone, then all at once, and wants the pods' answers afterwards.
func (n *node) upRepairs(t *testing.T) {
	var all []string
	for name := range n.pids(t) {
		all = append(all, name)
	}
	sort.Strings(all)
	for _, victims := range [][]string{{"kube-apiserver"}, {"containerd"}, {"etcd", "traefik"}, all} {
		pids := n.pids(t)
		for _, name := range victims {
			if err := syscall.Kill(pids[name], syscall.SIGKILL); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		// A process takes a moment to die.
		eventually(t, "status notices the death of "+strings.Join(victims, ", "), func() (bool, string) {
			status := n.status(t)
			return status["running"] == false && status["ready"] == false, "running"
		})
		n.up(t)
		eventually(t, "answers after the death of "+strings.Join(victims, ", "), func() (bool, string) {
			status, body := get(t, "nginx.e2e.localhost", "/", "canary", "always")
			return status == 200, body
		})
	}
}

// survivesReboot does to the node what a reboot does: every process dies, and all that the kernel keeps in memory goes. It
// is not a reboot: the kernel's boot id is changed in the node's record instead.
func (n *node) survivesReboot(t *testing.T) {
	// A process that dies takes others with it, and one that lives a moment longer starts new ones: kill what there is until
	// there is nothing.
	eventually(t, "the processes end", func() (bool, string) {
		left := n.processes(t)
		for _, line := range left {
			pid, err := strconv.Atoi(strings.Fields(line)[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				t.Fatal(err)
			}
		}
		return len(left) == 0, strings.Join(left, "\n")
	})
	for _, command := range []string{
		"awk '$5 ~ folder {print $5}' folder=" + n.state + " /proc/self/mountinfo | sort -r | xargs -r -n1 umount --lazy",
		"nft flush ruleset; ip -4 address flush dev lo; ip address add 127.0.0.1/8 dev lo",
		"find /sys/fs/cgroup/" + n.name + " /sys/fs/cgroup/*/" + n.name + " -depth -type d -exec rmdir {} + 2>/dev/null || true",
		"sed -i 's/\"boot\": \".*\"/\"boot\": \"the last one\"/' " + n.state + "/cluster.json",
	} {
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
	n.up(t)
	eventually(t, "the pods answer again", func() (bool, string) {
		status, body := get(t, "nginx.e2e.localhost", "/", "canary", "always")
		if status != 200 || body != "green" {
			return false, body
		}
		_, body = get(t, "nginx.e2e.localhost", "/fetch?url=http://blue/")
		return body == "blue", body
	})
}

func (n *node) refusesOtherSettings(t *testing.T) {
	_, err := n.try(t, "up", "--http-port", "9999")
	if err == nil || !strings.Contains(err.Error(), "exit status 2") || !strings.Contains(err.Error(), "has 8080") {
		t.Errorf("error %v", err)
	}
}

// interrupt stops an up at several moments; down must then leave nothing.
func (n *node) interrupt(t *testing.T, before string) {
	for _, after := range []time.Duration{50 * time.Millisecond, time.Second, 2 * time.Second} {
		command := exec.CommandContext(t.Context(), n.binary, "up", "--state", n.state, "--name", n.name, "--network", "10.197.0.0/16")
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		if err := command.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = command.Wait()
		if code := command.ProcessState.ExitCode(); code != 130 && code != -1 {
			t.Errorf("interrupted after %s: exit %d, want 130", after, code)
		}
		n.run(t, "down")
		if left := n.traces(t); left != before {
			t.Errorf("interrupted after %s and taken down, this is left:\n%s\nbefore:\n%s", after, left, before)
		}
	}
}

// traces describes everything of this machine that a node could leave something in.
func (n *node) traces(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, command := range [][]string{
		{"ip", "-o", "-details", "link"}, {"ip", "-o", "address"}, {"ip", "route"}, {"ip", "rule"}, {"nft", "list", "ruleset"},
		{"sysctl", "net.ipv4.ip_forward", "vm.overcommit_memory", "vm.panic_on_oom", "kernel.panic", "kernel.panic_on_oops"},
	} {
		out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", command, err, out)
		}
		lines = append(lines, string(out))
	}
	for _, pattern := range []string{
		filepath.Dir(n.state) + "/*", "/sys/fs/cgroup/" + n.name, "/sys/fs/cgroup/*/" + n.name, "/var/lib/cni/results/" + n.name + "*", "/run/netns/*",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, found...)
	}
	return strings.Join(append(append(lines, n.mounts(t)...), n.processes(t)...), "\n")
}

func (n *node) mounts(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var own []string
	for _, line := range strings.Split(string(content), "\n") {
		if strings.Contains(line, n.state) {
			own = append(own, line)
		}
	}
	return own
}

// processes lists those with the node's folder in their arguments or its control group in theirs.
func (n *node) processes(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var own []string
	for _, folder := range folders {
		arguments, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
		if len(arguments) == 0 {
			continue // A kernel thread, or dead and not yet fetched by the init process.
		}
		groups, _ := os.ReadFile(filepath.Join(folder, "cgroup"))
		if strings.Contains(string(arguments), n.state) || strings.Contains(string(groups), "/"+n.name+"/") {
			own = append(own, filepath.Base(folder)+" "+strings.ReplaceAll(string(arguments), "\x00", " "))
		}
	}
	return own
}
