//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKilledAtRandom kills the process with SIGKILL at random moments of a rollout, five times in each of six services at
// once, and runs the same command again: same end, and users notice nothing.
func TestKilledAtRandom(t *testing.T) {
	const services, kills = 6, 5
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i := range services {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			s := newService(t, fmt.Sprintf("kill-%d", i))
			s.strategy = canary([]string{"nginx", "gateway"}[i%2], 0, 50, 100)
			values := map[string]any{"router": []string{"nginx", "gateway"}[i%2]}
			s.must(0)(s.release(values))
			s.rate = 30
			stop := s.users()
			for range kills {
				args := s.prepare(values)
				s.killAfter(time.Duration(random.Int64N(int64(20*time.Second))), args...)
				s.must(0)(s.run(args...))
				s.serves(fmt.Sprintf("%d.0.0", s.version))
			}
			stop()
		})
	}
}

// killAfter starts a command and ends it with SIGKILL, unless it was faster.
func (s *service) killAfter(d time.Duration, args ...string) {
	s.t.Helper()
	cmd, out := s.begin(args...)
	timer := time.AfterFunc(d, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	timer.Stop()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	s.t.Logf("killed after %.1f s at: %s", d.Seconds(), lines[len(lines)-1])
}

func (s *service) begin(args ...string) (*exec.Cmd, *bytes.Buffer) {
	s.t.Helper()
	cmd := s.command(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd, &out
}

// TestSecondProcessIsLockedOut runs two deployments at once: the second exits 7 and names the first.
func TestSecondProcessIsLockedOut(t *testing.T) {
	s := newService(t, "locked")
	s.strategy = canary("nginx", 0, 50, 100)
	s.must(0)(s.release(nil))
	s.strategy["canary"].(map[string]any)["steps"].([]any)[1].(map[string]any)["hold"] = "60s"
	first := s.prepare(nil)
	second := s.prepare(nil)
	cmd, out := s.begin(first...)
	time.Sleep(3 * time.Second)
	s.must(7, "locked")(s.run(second...))
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the first: %v\n%s", err, out)
	}
	s.serves("2.0.0")
}

// TestFrozenDriverChangesNothing stops a driver with SIGSTOP past a takeover and wakes it.
func TestFrozenDriverChangesNothing(t *testing.T) {
	s := newService(t, "frozen")
	s.strategy = canary("nginx", 0, 50, 100)
	s.must(0)(s.release(nil))
	args := s.prepare(nil)
	stop := s.users()
	cmd, out := s.begin(args...)
	time.Sleep(6 * time.Second)
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.must(0)(s.run(args...))
	s.serves("2.0.0")
	s.must(0)(s.release(nil))
	s.serves("3.0.0")
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Errorf("the woken driver says it has succeeded:\n%s", out)
	}
	s.serves("3.0.0")
	stop()
}

// TestInterruptLeavesThingsInOrder presses Ctrl-C: exit 130, the way to resume is printed, and resuming ends it.
func TestInterruptLeavesThingsInOrder(t *testing.T) {
	s := newService(t, "interrupt")
	s.strategy = canary("nginx", 0, 50, 100)
	s.must(0)(s.release(nil))
	stop := s.users()
	cmd, out := s.begin(s.prepare(nil)...)
	time.Sleep(8 * time.Second)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, cmd.Wait()); code != 130 || !strings.Contains(out.String(), "sluice resume") {
		t.Errorf("exit %d\n%s", code, out)
	}
	s.must(0)(s.run("resume", "app", "--env", "test"))
	s.serves("2.0.0")
	stop()
}
