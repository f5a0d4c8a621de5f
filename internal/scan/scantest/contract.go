// Package scantest holds the contract that every scanner keeps; it must not know any adapter.
package scantest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan"
)

// Subject is a scanner under test.
type Subject struct {
	// Open returns a scanner that runs a program.
	Open func(program string) scan.Scanner
	// Sample is a report in the scanner's format, Want what it says. Its findings must not be in the port's order.
	Sample string
	Want   scan.Result
	// Answers are what the program writes to other questions, by its first argument.
	Answers map[string]string
}

// Target is what programs are asked to scan.
func Target() scan.Target {
	return scan.Target{Name: "web", Digest: "sha256:" + strings.Repeat("1", 64), Layout: "/layout", Reference: "localhost:5000/web@sha256:" + strings.Repeat("1", 64)}
}

// Program writes a shell script and returns its path.
func Program(t testing.TB, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scanner")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Run checks the contract. The program is a script that writes reports; what real ones write only real ones tell.
func Run(t *testing.T, s Subject) {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report")
	if err := os.WriteFile(report, []byte(s.Sample), 0o644); err != nil {
		t.Fatal(err)
	}
	script := "case $1 in\n"
	for first, answer := range s.Answers {
		script += first + ") echo '" + answer + "';;\n"
	}
	good := Program(t, script+"*) cat "+report+";;\nesac\n")

	t.Run("findings come sorted, each once", func(t *testing.T) {
		got, err := s.Open(good).Scan(t.Context(), Target())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.Want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if sorted := scan.Sorted(slices.Clone(got.Findings)); !slices.Equal(sorted, got.Findings) {
			t.Error("they are not in the port's order")
		}
	})
	for name, c := range map[string]struct {
		program string
		want    fault.Kind
	}{
		"that is not there":          {filepath.Join(t.TempDir(), "none"), fault.Unreachable},
		"that fails":                 {Program(t, "echo no database >&2\nexit 13\n"), fault.Unreachable},
		"that writes nothing":        {Program(t, ""), fault.Fatal},
		"that writes something else": {Program(t, "echo '{}'\n"), fault.Fatal},
		"that is cut off":            {Program(t, "head -c 100 "+report), fault.Fatal},
	} {
		t.Run("a scanner "+name+" is not one that finds nothing", func(t *testing.T) {
			got, err := s.Open(c.program).Scan(t.Context(), Target())
			if !fault.Is(err, c.want) {
				t.Errorf("it gave %+v, %v", got, err)
			}
			if name == "that fails" && (err == nil || !strings.Contains(err.Error(), "no database")) {
				t.Errorf("it does not pass on what the scanner said: %v", err)
			}
		})
	}
	t.Run("an interruption is one", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Open(good).Scan(ctx, Target()); !fault.Is(err, fault.Interrupted) {
			t.Errorf("it gave %v", err)
		}
	})
}
