package main

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/examples/calculator/internal/serving"
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   string
		code   int
		output string
	}{
		{"right", 200, good, "13,17", serving.ExitDone, "check passed"},
		{"spaces", 200, good, "13, 17", serving.ExitDone, "check passed"},
		{"wrong factors", 200, good, "13,19", serving.ExitFailed, "factors [13 17], want [13 19]"},
		{"too few", 200, good, "13,17,2", serving.ExitFailed, "want [13 17 2]"},
		{"failing", 502, `{"error":"back end failed"}`, "13,17", serving.ExitFailed, "status 502, want 200: {\"error\":\"back end failed\"}"},
		{"not JSON", 200, "<html>", "13,17", serving.ExitFailed, "not JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(answering(tt.status, tt.body))
			defer server.Close()
			code, output := execute(t, "check", "--url", server.URL+"/api/calculate?number=221", "--want", tt.want)
			if code != tt.code || !strings.Contains(output, tt.output) {
				t.Errorf("exit code %d, want %d; output %q, want %q", code, tt.code, output, tt.output)
			}
		})
	}
}

func TestCheckNobodyListens(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	code, output := execute(t, "check", "--url", server.URL, "--want", "13")
	if code != serving.ExitFailed || !strings.Contains(output, "refused") {
		t.Errorf("exit code %d, output %q", code, output)
	}
}

func TestArguments(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		output string
	}{
		{"unknown", []string{"serve"}, serving.ExitUsage, "unknown argument \"serve\""},
		{"check without url", []string{"check", "--want", "1"}, serving.ExitUsage, "--url is missing"},
		{"check without want", []string{"check", "--url", "http://x"}, serving.ExitUsage, "--want"},
		{"check with bad want", []string{"check", "--url", "http://x", "--want", "a,b"}, serving.ExitUsage, "e.g. --want 13,17"},
		{"check with more", []string{"check", "--url", "http://x", "--want", "1", "y"}, serving.ExitUsage, "unexpected argument \"y\""},
		{"check with unknown flag", []string{"check", "--nope"}, serving.ExitUsage, "-nope"},
		{"migrate", []string{"migrate"}, serving.ExitDone, "migrated to version 1.2.3"},
		{"migrate failing", []string{"migrate", "--exit-code", "3"}, 3, "version 1.2.3 failed on purpose"},
		{"migrate with bad code", []string{"migrate", "--exit-code", "300"}, serving.ExitUsage, "0 to 255"},
		{"migrate with more", []string{"migrate", "x"}, serving.ExitUsage, "0 to 255"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, output := execute(t, tt.args...)
			if code != tt.code || !strings.Contains(output, tt.output) {
				t.Errorf("exit code %d, want %d; output %q, want %q", code, tt.code, output, tt.output)
			}
		})
	}
}

// execute runs the program with arguments and returns its exit code and everything it wrote.
func execute(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var output bytes.Buffer
	getenv := func(name string) string { return map[string]string{"VERSION": "1.2.3"}[name] }
	code := run(t.Context(), args, getenv, &output, &output)
	return code, output.String()
}
