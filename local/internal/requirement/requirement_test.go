package requirement

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// complete is a machine that has everything; a test takes one thing away. It is fake.
func complete() Machine {
	return Machine{
		UserID: 0,
		Look:   func(program string) (string, error) { return "/usr/bin/" + program, nil },
		Run:    func(string, ...string) (string, error) { return "go1.26.8", nil },
		Read: func(path string) ([]byte, error) {
			switch path {
			case "/proc/self/status":
				return []byte("Name:\tx\nCapEff:\t000001fffeffffff\n"), nil
			case "/proc/filesystems":
				return []byte("nodev\tproc\nnodev\toverlay\n"), nil
			}
			return nil, os.ErrNotExist
		},
		Free: func(string) (uint64, error) { return 100 << 30, nil },
	}
}

func lacking(programs ...string) func(string) (string, error) {
	return func(program string) (string, error) {
		for _, each := range programs {
			if each == program {
				return "", errors.New("not found")
			}
		}
		return "/usr/bin/" + program, nil
	}
}

func TestRuntime(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Machine)
		want   []string
	}{
		"everything there": {change: func(*Machine) {}},
		"not root":         {change: func(m *Machine) { m.UserID = 1000 }, want: []string{"needs root"}},
		"two tools": {
			change: func(m *Machine) { m.Look = lacking("runc", "nft") },
			want:   []string{"apt-get install -y runc", "apt-get install -y nftables"},
		},
		"no right": {
			change: func(m *Machine) {
				read := m.Read
				m.Read = func(path string) ([]byte, error) {
					if path == "/proc/self/status" {
						return []byte("CapEff:\t0000000000200000\n"), nil
					}
					return read(path)
				}
			},
			want: []string{"CAP_NET_ADMIN"},
		},
		"no overlay": {
			change: func(m *Machine) {
				read := m.Read
				m.Read = func(path string) ([]byte, error) {
					if path == "/proc/filesystems" {
						return []byte("nodev\tproc\n"), nil
					}
					return read(path)
				}
				m.Run = func(program string, _ ...string) (string, error) {
					if program == "modprobe" {
						return "no such module", errors.New("exit status 1")
					}
					return "", nil
				}
			},
			want: []string{"CONFIG_OVERLAY_FS"},
		},
		"no packet filter": {
			change: func(m *Machine) {
				m.Run = func(string, ...string) (string, error) { return "not supported", errors.New("exit status 1") }
			},
			want: []string{"CONFIG_NF_TABLES"},
		},
		"no space": {change: func(m *Machine) { m.Free = func(string) (uint64, error) { return 1 << 20, nil } }, want: []string{"--state"}},
	} {
		machine := complete()
		test.change(&machine)
		check(t, name, machine.Runtime("/var/lib/x"), test.want)
	}
}

func TestBuild(t *testing.T) {
	answer := func(version string) func(string, ...string) (string, error) {
		return func(string, ...string) (string, error) { return version, nil }
	}
	for name, test := range map[string]struct {
		change func(*Machine)
		want   []string
	}{
		"everything there": {change: func(*Machine) {}},
		"newer":            {change: func(m *Machine) { m.Run = answer("go1.27.1") }},
		"no Go":            {change: func(m *Machine) { m.Look = lacking("go") }, want: []string{"missing tool go: install Go 1.26"}},
		"old Go":           {change: func(m *Machine) { m.Run = answer("go1.19.8") }, want: []string{"found go1.19.8"}},
		"nothing printed":  {change: func(m *Machine) { m.Run = answer("") }, want: []string{"install Go 1.26"}},
		"no space":         {change: func(m *Machine) { m.Free = func(string) (uint64, error) { return 5 << 30, nil } }, want: []string{"5 GiB free, 12 needed", "--cache"}},
	} {
		machine := complete()
		test.change(&machine)
		check(t, name, machine.Build("/cache"), test.want)
	}
}

func check(t *testing.T, name string, err error, want []string) {
	t.Helper()
	if len(want) == 0 {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	if !errors.Is(err, ErrMissing) {
		t.Errorf("%s: %v, want ErrMissing", name, err)
		return
	}
	for _, words := range want {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q in it", name, err, words)
		}
	}
}

func TestCouldNotFindOutIsNotMissing(t *testing.T) {
	machine := complete()
	machine.Read = func(string) ([]byte, error) { return nil, fmt.Errorf("input/output error") }
	if err := machine.Runtime("/x"); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("error %v, want one that is not ErrMissing", err)
	}
}

func TestFreeLooksAtTheNearestFolder(t *testing.T) {
	if got, err := free(t.TempDir() + "/not/there"); err != nil || got == 0 {
		t.Errorf("%d bytes, %v", got, err)
	}
}
