package process

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0"
	for name, test := range map[string]struct {
		stat string
		want uint64
		gone bool
		bad  bool
	}{
		"running":                    {stat: "12 (sleep) S" + rest, want: 4711},
		"name with a parenthesis":    {stat: "12 (a) b) S" + rest, want: 4711},
		"zombie":                     {stat: "12 (sleep) Z" + rest, gone: true},
		"cut short":                  {stat: "12 (sleep) S 1 1", bad: true},
		"no name":                    {stat: "12 sleep S" + rest, bad: true},
		"start time is not a number": {stat: "12 (sleep) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 x 0 0", bad: true},
	} {
		got, err := parseStat([]byte(test.stat))
		if errors.Is(err, ErrGone) != test.gone || (err != nil && !test.gone) != test.bad || got != test.want {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
}

func newTable(t *testing.T) Table {
	t.Helper()
	return Table{Records: t.TempDir(), Logs: t.TempDir(), Adopt: func(int) error { return nil }}
}

func sleeper(arg string) Spec {
	return Spec{Name: "sleeper", Path: "/bin/sleep", Args: []string{arg}, Dir: "/"}
}

const patience = 10 * time.Second

func start(t *testing.T, table Table, spec Spec) (Identity, bool) {
	t.Helper()
	started, err := table.Start(context.Background(), spec, patience)
	if err != nil {
		t.Fatal(err)
	}
	running, err := table.Running(spec.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Stop(context.Background(), spec.Name, patience); err != nil {
			t.Error(err)
		}
	})
	return running, started
}

func TestStartIsIdempotentAndRestartsWhatChanged(t *testing.T) {
	table := newTable(t)
	first, started := start(t, table, sleeper("1000"))
	if !started {
		t.Error("the first start says that nothing was started")
	}
	again, started := start(t, table, sleeper("1000"))
	if started || again != first {
		t.Errorf("a second start made %v of %v", again, first)
	}
	changed, started := start(t, table, sleeper("1001"))
	if !started || changed.PID == first.PID {
		t.Errorf("other arguments did not restart it: %v", changed)
	}
	if alive, err := first.Alive(); alive || err != nil {
		t.Errorf("the old process: alive %t, %v", alive, err)
	}
}

func TestConfigurationFilesCountAsChange(t *testing.T) {
	file := t.TempDir() + "/config"
	spec := sleeper("1000")
	spec.Files = []string{file}
	table := newTable(t)
	if _, err := table.Start(context.Background(), spec, patience); err == nil {
		t.Error("started without its configuration")
	}
	var pids []int
	for _, content := range []string{"a", "a", "b"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		running, _ := start(t, table, spec)
		pids = append(pids, running.PID)
	}
	if pids[0] != pids[1] || pids[1] == pids[2] {
		t.Errorf("pids %v: want the same for the same configuration, and another for another", pids)
	}
}

func TestStopNeverSignalsAStranger(t *testing.T) {
	stranger := exec.Command("/bin/sleep", "1000")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = stranger.Process.Kill(), stranger.Wait() }()
	real, err := Identify(stranger.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	otherStart, otherBoot := real, real
	otherStart.Started--
	otherBoot.Boot = "another"
	for name, recorded := range map[string]Identity{"reused pid": otherStart, "rebooted": otherBoot} {
		table := newTable(t)
		content, err := json.Marshal(recorded)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(table.record("it"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := table.Stop(context.Background(), "it", patience); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := table.Find("it"); !errors.Is(err, ErrGone) {
			t.Errorf("%s: the record is still there: %v", name, err)
		}
	}
	if alive, err := real.Alive(); !alive || err != nil {
		t.Errorf("the stranger was ended: alive %t, %v", alive, err)
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	table := newTable(t)
	spec := Spec{Name: "deaf", Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; echo ready; while :; do sleep 1; done"}, Dir: "/"}
	running, _ := start(t, table, spec)
	for deadline := time.Now().Add(patience); ; {
		if log, _ := os.ReadFile(table.Log("deaf")); len(log) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the shell never started")
		}
	}
	if err := table.Stop(context.Background(), "deaf", 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if alive, err := running.Alive(); alive || err != nil {
		t.Errorf("alive %t, %v", alive, err)
	}
}

func TestRecordThatCannotBeReadIsNotAbsence(t *testing.T) {
	table := newTable(t)
	if err := os.WriteFile(table.record("it"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Running("it"); err == nil || errors.Is(err, ErrGone) {
		t.Errorf("error %v, want one that says the record is broken", err)
	}
}
