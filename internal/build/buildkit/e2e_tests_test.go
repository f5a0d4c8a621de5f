//go:build e2e

package buildkit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

func TestE2ETestStage(t *testing.T) {
	w := newWorld(t)
	const head = "FROM BASE AS build\nCOPY . /src/\n"
	w.put(t, "pass/Dockerfile", head+"FROM build AS testrunner\nENV WHO=nobody\nENTRYPOINT [\"/tool\", \"test\", \"/results\"]\nCMD [\"3\", \"0\"]\n")
	w.put(t, "fail/Dockerfile", head+"FROM build AS testrunner\nENTRYPOINT [\"/tool\", \"test\", \"/results\", \"3\", \"2\"]\n")
	w.put(t, "crash/Dockerfile", head+"FROM build AS testrunner\nENTRYPOINT [\"/tool\", \"fail\", \"5\", \"out of memory\"]\n")
	w.put(t, "steps/Dockerfile", head+"FROM build AS testrunner\nRUN [\"/tool\", \"test\", \"/results\", \"4\", \"0\"]\n")
	w.put(t, "brokensteps/Dockerfile", head+"FROM build AS testrunner\nRUN [\"/tool\", \"fail\", \"5\", \"want 1, got 2\"]\n")
	w.put(t, "onestage/Dockerfile", "FROM BASE AS testrunner\nRUN [\"/tool\", \"fail\", \"5\", \"want 1, got 2\"]\n")
	w.put(t, "notbuilt/Dockerfile", head+"RUN [\"/tool\", \"fail\", \"5\", \"undefined: x\"]\nFROM build AS testrunner\nENTRYPOINT [\"/tool\"]\n")
	w.put(t, "nostart/Dockerfile", head+"FROM build AS testrunner\nENTRYPOINT [\"/nosuch\"]\n")
	for name, test := range map[string]struct {
		passed           bool
		reason, output   string
		junit            int
		buildFails, says string
	}{
		"pass":        {passed: true, junit: 3},
		"fail":        {reason: "exit code 1", output: "running 5 tests", junit: 5},
		"crash":       {reason: "exit code 7", output: "out of memory"},
		"steps":       {passed: true, junit: 4},
		"brokensteps": {reason: "step [testrunner 1/1] RUN", output: "want 1, got 2"},
		"onestage":    {reason: "step [2/2] RUN", output: "want 1, got 2"},
		"notbuilt":    {buildFails: "undefined: x"},
		"nostart":     {buildFails: "does not start"},
	} {
		t.Run(name, func(t *testing.T) {
			req, said := w.request(v1alpha1.Image{Dockerfile: name + "/Dockerfile", TestTarget: "testrunner", TestResults: "/results", Platforms: []string{"linux/arm64"}})
			dir := t.TempDir()
			got, err := w.builder.Test(t.Context(), req, dir)
			if test.buildFails != "" {
				if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), test.buildFails) {
					t.Errorf("got %v of kind %v", err, fault.KindOf(err))
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			if got.Passed != test.passed || !strings.HasPrefix(got.Reason, test.reason) || !strings.Contains(got.Output, test.output) {
				t.Errorf("got %+v", got)
			}
			data, err := os.ReadFile(filepath.Join(dir, "deep", "junit.xml"))
			if count := strings.Count(string(data), "<testcase"); count != test.junit {
				t.Errorf("%d cases in the results (%v), want %d", count, err, test.junit)
			}
			if name == "pass" && !strings.Contains(said.String(), "[testrunner tests] running 3 tests as nobody") {
				t.Errorf("the output of the tests is not shown live:\n%s", said)
			}
			// Run again, they run again: what passed once by luck does not pass for ever.
			if name == "pass" {
				before := strings.Count(said.String(), "running 3 tests")
				if _, err := w.builder.Test(t.Context(), req, t.TempDir()); err != nil || strings.Count(said.String(), "running 3 tests") != before+1 {
					t.Errorf("a second time: %v\n%s", err, said)
				}
			}
		})
	}
}
