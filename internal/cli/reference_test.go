package cli

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is generated")

func TestReferenceIsFresh(t *testing.T) {
	const path = "../../docs/reference/cli.md"
	if *update {
		if err := os.WriteFile(path, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Reference(), string(got)); diff != "" {
		t.Errorf("docs/reference/cli.md is stale: run `go generate ./internal/cli` (-want +got)\n%s", diff)
	}
}

func TestResultKindsAreTrue(t *testing.T) {
	w := unfinishedRollout(t)
	lines := [][]string{
		{"check"}, {"build"}, {"version"}, {"status"}, {"history", "--env", "prod"}, {"resume", "--env", "prod"}, {"rollback", "--env", "prod"},
		{"run", "--version", "2.0.0"}, {"rollback", "--env", "dev"}, {"deploy", "calculator:2.0.0", "--env", "dev"}, {"uninstall", "--env", "prod", "--yes"},
	}
	for _, args := range lines {
		doc := decode[document](t, w.must(0, append(args, "-o", "json")...).stdout)
		if want := resultKind(args[0]); doc.Kind == "" || !strings.Contains(want, doc.Kind) {
			t.Errorf("%s prints kind %q, the reference says %q", args[0], doc.Kind, want)
		}
	}
	w = unfinishedRollout(t)
	if doc := decode[document](t, w.must(0, "abort", "--env", "prod", "-o", "json").stdout); doc.Kind != resultKind("abort") {
		t.Errorf("abort prints kind %q", doc.Kind)
	}
	w.environment["SLUICE_FILE"] = "new/sluice.yaml"
	w.write("new/chart/Chart.yaml", "name: new\nversion: 0.0.0\n")
	if doc := decode[document](t, w.must(0, "init", "-o", "json").stdout); doc.Kind != resultKind("init") {
		t.Errorf("init prints kind %q", doc.Kind)
	}
}
