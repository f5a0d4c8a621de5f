package cli

import (
	"strings"
	"testing"
)

func TestAReleaseNamedInFullNeedsNoFile(t *testing.T) {
	w := newWorld(t)
	w.must(0, "build", "--version", "1.0.0")
	full := "localhost:5000/calculator/calculator@" + digestOf("1.0.0")
	w.write("sluice.yaml", projectFile+"nme: twice\nkynd: x\n")
	if r := w.must(2, "deploy", "calculator:1.0.0", "--env", "dev"); strings.Contains(r.stderr, "warning") {
		t.Errorf("a name that needs the file: %s", r.stderr)
	}
	if r := w.must(2, "deploy", full, "--env", "dev", "--file", "sluice.yaml"); strings.Contains(r.stderr, "warning") {
		t.Errorf("a file that is asked for: %s", r.stderr)
	}
	r := w.must(0, "deploy", full, "--env", "dev")
	if !strings.Contains(r.stderr, "the file was not read: 2 problems in ") {
		t.Errorf("stderr: %s", r.stderr)
	}
	if _, version := w.live("dev"); version != "1.0.0" {
		t.Errorf("dev runs %q", version)
	}
}
