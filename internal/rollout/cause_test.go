package rollout

import (
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy/deploytest"
)

func TestChangeCause(t *testing.T) {
	const commit = "0123456789abcdef"
	for _, c := range []struct {
		by, reason string
		back       bool
		source     v1alpha1.Source
		want       string
	}{
		{"ann@host", "", false, v1alpha1.Source{Commit: commit}, "release 1.4.0 (commit 0123456789) by ann@host"},
		{"ann@host", "INC-42", false, v1alpha1.Source{Commit: commit}, "release 1.4.0 (commit 0123456789) by ann@host: INC-42"},
		{"ann@host", "", false, v1alpha1.Source{Commit: commit, Dirty: true}, "release 1.4.0 (commit 0123456789 with changes) by ann@host"},
		{"ann@host", "too slow", true, v1alpha1.Source{}, "back to release 1.4.0 by ann@host: too slow"},
		{"", "", false, v1alpha1.Source{}, "release 1.4.0"},
	} {
		r := v1alpha1.Rollout{Release: v1alpha1.ReleaseRef{Version: "1.4.0"}, By: c.by, Reason: c.reason, Back: c.back}
		if have := changeCause(r, c.source); have != c.want {
			t.Errorf("have %q, want %q", have, c.want)
		}
	}
}

func TestDeployIsToldTheCause(t *testing.T) {
	w := newTheatre(t)
	s := w.start("1", "blueGreen")
	s.By, s.Reason = "ann@host", "INC-42"
	r, err := w.machine().Run(t.Context(), s, DriveOptions{Locker: w.locker, Holder: "ann", WaitSettled: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.By != "ann@host" || r.Reason != "INC-42" {
		t.Errorf("the record says %q, %q", r.By, r.Reason)
	}
	for _, call := range w.releaser.Calls() {
		if call.Verb == deploytest.Deploy && call.Deploy.Cause != "release "+r.Release.Version+" by ann@host: INC-42" {
			t.Errorf("told %q", call.Deploy.Cause)
		}
	}
}
