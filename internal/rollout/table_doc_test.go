package rollout

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"
)

// TestArchitectureShowsTheTable keeps the documentation true; `go test ./internal/rollout -update` writes it.
func TestArchitectureShowsTheTable(t *testing.T) {
	const path = "../../ARCHITECTURE.md"
	begin, end := []byte("<!-- transitions:begin -->\n"), []byte("<!-- transitions:end -->")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := bytes.Cut(page, begin)
	_, tail, ok2 := bytes.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	want := bytes.Join([][]byte{head, begin, []byte(markdown()), end, tail}, nil)
	if bytes.Equal(page, want) {
		return
	}
	if flag.Lookup("update").Value.String() != "true" {
		t.Fatalf("%s is stale: run make generate", path)
	}
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the transition table into ARCHITECTURE.md")
	flag.Parse()
	// Thousands of rollouts are played here; they allocate much and keep little, so collecting seldom is faster.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)
	os.Exit(m.Run())
}

func markdown() string {
	var b strings.Builder
	b.WriteString("| # | phase | observed | action | next phase |\n|--:|---|---|---|---|\n")
	for _, row := range Table() {
		names := make([]string, len(row.Phases))
		for i, p := range row.Phases {
			names[i] = string(p)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", row.ID, strings.Join(names, ", "), row.Observed, row.Action, row.Next)
	}
	return b.String()
}
