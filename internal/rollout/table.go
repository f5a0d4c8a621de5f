package rollout

import (
	"slices"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Row is one row of the transition table, for people.
type Row struct {
	ID       string
	Phases   []v1alpha1.Phase
	Observed string
	Action   string
	Next     string
}

// row is a Row that the machine executes. Within a phase the first row that matches wins.
type row struct {
	Row
	when func(*view) bool
	then func(*view, *Decision)
}

func (r row) in(p v1alpha1.Phase) bool { return slices.Contains(r.Phases, p) }

// Table returns the transition table in the order in which it is searched.
func Table() []Row {
	rows := table()
	out := make([]Row, len(rows))
	for i, r := range rows {
		out[i] = r.Row
	}
	return out
}

func table() []row {
	return slices.Concat(requestRows(), guardRows(), driftRows(), pendingRows(), deployingRows(), shiftingRows(), analyzingRows(), settlingRows(), rollingBackRows())
}

// always matches.
func always(*view) bool { return true }

// wait stays where it is, saying why.
func wait(message string) func(*view, *Decision) {
	return func(_ *view, d *Decision) { d.Message = message }
}

// to enters a phase, saying why.
func to(phase v1alpha1.Phase, message string) func(*view, *Decision) {
	return func(_ *view, d *Decision) { d.Next, d.Message = phase, message }
}

// giveUp enters RollingBack with a cause.
func giveUp(d *Decision, cause string, evidence []string) {
	d.Next, d.Cause, d.Evidence = v1alpha1.RollingBack, cause, evidence
	d.Message = "rolling back: " + cause
}
