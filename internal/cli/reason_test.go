package cli

import (
	"strings"
	"testing"
)

func TestReasons(t *testing.T) {
	w := newWorld(t)
	w.must(0, "run", "--version", "1.0.0", "--reason", "first try")
	w.must(0, "build", "--version", "1.1.0")
	w.environment["SLUICE_REASON"] = " INC-42 "
	w.must(0, "deploy", "calculator:1.1.0", "--env", "dev")
	delete(w.environment, "SLUICE_REASON")
	w.must(0, "rollback", "--env", "dev", "--reason", "too slow")
	var reasons []string
	for _, r := range w.records("dev") {
		reasons = append(reasons, r.Reason)
		if !strings.Contains(r.By, "@") {
			t.Errorf("rollout %d was begun by %q", r.Number, r.By)
		}
	}
	if have := strings.Join(reasons, ", "); have != "too slow, INC-42, first try" {
		t.Errorf("reasons: %s", have)
	}
	if r := w.must(0, "history", "--env", "dev"); !strings.Contains(r.stdout, "REASON") || !strings.Contains(r.stdout, "too slow") {
		t.Errorf("history: %s", r.stdout)
	}
	for _, args := range [][]string{{"status", "--env", "dev"}, {"history", "--env", "dev", "--number", "3"}} {
		if r := w.must(0, args...); !strings.Contains(r.stdout, "begun by "+w.records("dev")[0].By+": too slow") {
			t.Errorf("%v: %s", args, r.stdout)
		}
	}
	for _, bad := range []string{"two\nlines", strings.Repeat("ä", 301), "\xff"} {
		if r := w.must(2, "run", "--reason", bad); !strings.Contains(r.stderr, "a reason ") {
			t.Errorf("reason %q: %s", bad, r.stderr)
		}
	}
	w.must(0, "run", "--to", "dev", "--reason", strings.Repeat("ä", 300))
}
