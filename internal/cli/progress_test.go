package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/traffic"
	"github.com/sluice-dev/sluice/internal/variables"
)

func sample(now time.Time) (v1alpha1.Rollout, rollout.Observation) {
	r := v1alpha1.Rollout{
		Service: "calculator", Environment: "prod", Number: 4, Release: v1alpha1.ReleaseRef{Version: "1.2.0"}, Candidate: v1alpha1.SlotGreen,
		Return: v1alpha1.ReturnTarget{Slot: v1alpha1.SlotBlue}, Phase: v1alpha1.Analyzing, Step: 1,
		Plan:      v1alpha1.Plan{Slots: true, Steps: []v1alpha1.Step{{}, {Weight: 5, Hold: v1alpha1.Duration(time.Minute)}, {Weight: 100}}},
		CreatedAt: now.Add(-42 * time.Second), PhaseSince: now.Add(-12 * time.Second), StepSince: now.Add(-12 * time.Second),
	}
	return r, rollout.Observation{
		Slots: map[v1alpha1.Slot]deploy.Slot{
			v1alpha1.SlotBlue: {State: deploy.Deployed, Current: true, Ready: 2, Desired: 2, Release: v1alpha1.ReleaseRef{Version: "1.1.0"}},
			v1alpha1.SlotGreen: {State: deploy.Deployed, Current: true, Ready: 1, Desired: 2, Release: v1alpha1.ReleaseRef{Version: "1.2.0"},
				Facts: []v1alpha1.PodFact{{Pod: "green-1", Container: "app", Reason: "CrashLoopBackOff", Fatal: true}}},
		},
		Traffic: traffic.State{Split: v1alpha1.Between(v1alpha1.SlotBlue, v1alpha1.SlotGreen, 5)},
		Gates:   []v1alpha1.GateResult{{Gate: "http /ping", Verdict: v1alpha1.Passed, Step: 1}, {Gate: "helmTest", Verdict: v1alpha1.Waiting, Evidence: "running\nstill", Step: 1}},
	}
}

func TestTreeFrame(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tr := &tree{secrets: &variables.Masker{}, w: &bytes.Buffer{}, now: func() time.Time { return now }, stop: func() {}}
	r, o := sample(now)
	tr.Observed(r, o, rollout.Decision{})
	tr.Event(r, v1alpha1.Event{Message: "traffic to blue 95 %"})
	want := []string{
		"calculator 1.2.0 → prod  #4  Analyzing step 2/3 (5 %)  42s",
		"├─ traffic blue 95 %, green 5 %, header → green",
		"├─ slot blue   live       1.1.0  2/2 ready",
		"├─ slot green  candidate  1.2.0  1/2 ready",
		"├─    pod green-1, container app: CrashLoopBackOff",
		"├─ hold 1m0s, 48s left",
		"├─ gate http /ping  ✓ passed",
		"├─ gate helmTest  … waiting  running",
		"└─ traffic to blue 95 %",
	}
	if diff := cmp.Diff(want, tr.frame()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTreeIsDrawnInPlace(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out bytes.Buffer
	tr := &tree{secrets: &variables.Masker{}, w: &out, now: func() time.Time { return now }, stop: func() {}}
	r, o := sample(now)
	tr.Observed(r, o, rollout.Decision{})
	frame := strings.Count(out.String(), "\n")
	out.Reset()
	tr.Note("building")
	text := out.String()
	if !strings.HasPrefix(text, "\x1b[8A\x1b[Jbuilding\ncalculator") || frame != 8 {
		t.Errorf("a note over a frame of %d lines is %q", frame, text)
	}
	out.Reset()
	r.Environment = "staging"
	tr.Observed(r, rollout.Observation{}, rollout.Decision{})
	if text := out.String(); !strings.Contains(text, "→ prod") || !strings.Contains(text, "→ staging") || strings.LastIndex(text, "\x1b[") > strings.Index(text, "→ prod") {
		t.Errorf("the last frame of prod does not stay: %q", text)
	}
}

func TestWhatIsOverStaysAboveANote(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out bytes.Buffer
	tr := &tree{secrets: &variables.Masker{}, w: &out, now: func() time.Time { return now.Add(time.Hour) }, stop: func() {}}
	r, _ := sample(now)
	r.Phase, r.FinishedAt = v1alpha1.Succeeded, now
	tr.Event(r, v1alpha1.Event{Message: "done"})
	out.Reset()
	tr.Note("next")
	if text := out.String(); !strings.HasSuffix(text, "Succeeded  42s\n└─ done\nnext\n") {
		t.Errorf("drawn %q", text)
	}
}

func TestCut(t *testing.T) {
	green := style{on: true}.good("ready")
	for _, tt := range []struct {
		line  string
		width int
		want  string
	}{
		{"short", 10, "short"},
		{"exactly", 7, "exactly"},
		{"too long", 5, "too …"},
		{"└─ ünï", 4, "└─ …"},
		{green, 5, green},
		{green + " now", 4, "\x1b[32mrea…\x1b[0m"},
	} {
		if got := cut(tt.line, tt.width); got != tt.want {
			t.Errorf("cut(%q, %d) = %q, want %q", tt.line, tt.width, got, tt.want)
		}
	}
}

func TestLinesSayOnlyWhatChanged(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out bytes.Buffer
	l := &lines{w: &out, now: func() time.Time { return now }, stop: func() {}, seen: map[string]string{}}
	r, o := sample(now)
	o.Gates = append(o.Gates, v1alpha1.GateResult{Gate: "helmTest", Verdict: v1alpha1.Failed, Evidence: "broken\ntwice", Step: 1})
	l.Observed(r, o, rollout.Decision{})
	l.Observed(r, o, rollout.Decision{})
	green := o.Slots[v1alpha1.SlotGreen]
	green.Ready = 2
	o.Slots[v1alpha1.SlotGreen] = green
	l.Observed(r, o, rollout.Decision{})
	const stamp = "2026-01-02T03:04:05Z calculator/prod #4 "
	want := stamp + "slot blue: 2/2 ready\n" +
		stamp + "slot green: 1/2 ready\n" +
		stamp + "pod green-1, container app: CrashLoopBackOff\n" +
		stamp + "gate http /ping: passed\n" +
		stamp + "gate helmTest: failed: broken\n    twice\n" +
		stamp + "slot green: 2/2 ready\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestHeartbeat(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out bytes.Buffer
	l := &lines{w: &out, now: func() time.Time { return now }, stop: func() {}, seen: map[string]string{}, printed: now}
	r, _ := sample(now)
	l.Event(r, v1alpha1.Event{Phase: r.Phase, Step: r.Step, Message: "holding"})
	out.Reset()
	now = now.Add(29 * time.Second)
	l.beat()
	if out.Len() > 0 {
		t.Errorf("too early: %q", out.String())
	}
	now = now.Add(time.Second)
	l.beat()
	if want := "2026-01-02T03:04:35Z calculator/prod #4 Analyzing step 2/3 (5 %): still going, for 42s\n"; out.String() != want {
		t.Errorf("heartbeat %q, want %q", out.String(), want)
	}
	l.beat()
	if strings.Count(out.String(), "\n") != 1 {
		t.Error("a heartbeat does not count as a line")
	}
}
