// Package checktest is the contract of check.Layer, and a layer that finds what it was told; it must not be used outside of tests.
package checktest

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/check"
	"github.com/sluice-dev/sluice/internal/fault"
)

// Run holds a layer to the contract: nothing is wrong with the fine subject, and something with the other one.
func Run(t *testing.T, layer check.Layer, fine, wrong check.Subject) {
	t.Helper()
	t.Run("nothing is found where nothing is wrong", func(t *testing.T) {
		if report, err := layer.Check(t.Context(), fine); err != nil || len(report.Findings)+len(report.Unchecked) > 0 {
			t.Errorf("found %v, %v", report, err)
		}
	})
	t.Run("findings say what and where", func(t *testing.T) {
		report, err := layer.Check(t.Context(), wrong)
		if err != nil || len(report.Findings) == 0 {
			t.Fatalf("found %v, %v", report, err)
		}
		for _, f := range report.Findings {
			if f.Service != wrong.Release.Service || f.Message == "" || !cmp.Equal(f.Environments, []string{wrong.Environment}) {
				t.Errorf("%+v does not say of what it speaks", f)
			}
		}
	})
	t.Run("looking changes nothing", func(t *testing.T) {
		before := written(t, wrong)
		first, err := layer.Check(t.Context(), wrong)
		if err != nil {
			t.Fatal(err)
		}
		second, err := layer.Check(t.Context(), wrong)
		if diff := cmp.Diff(first, second); err != nil || diff != "" {
			t.Errorf("the second look found something else (%v):\n%s", err, diff)
		}
		if diff := cmp.Diff(before, written(t, wrong)); diff != "" {
			t.Errorf("the subject was changed:\n%s", diff)
		}
	})
	t.Run("who is interrupted finds nothing", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if report, err := layer.Check(ctx, wrong); !fault.Is(err, fault.Interrupted) || len(report.Findings) > 0 {
			t.Errorf("found %v, %v", report, err)
		}
	})
}

func written(t *testing.T, subject check.Subject) string {
	t.Helper()
	text, err := json.Marshal(subject)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Layer finds what it was told to, by environment, and keeps what it was shown.
type Layer struct {
	Messages map[string][]string
	Shown    []check.Subject
}

// Check implements check.Layer.
func (l *Layer) Check(ctx context.Context, subject check.Subject) (check.Report, error) {
	if err := ctx.Err(); err != nil {
		return check.Report{}, fault.Wrap(fault.Interrupted, "check", err)
	}
	l.Shown = append(l.Shown, subject)
	var report check.Report
	for _, message := range l.Messages[subject.Environment] {
		report.Findings = append(report.Findings, check.Finding{
			Service: subject.Release.Service, Environments: []string{subject.Environment}, Message: message,
		})
	}
	return report, nil
}
