package guard

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

const (
	// chartWidth is how many marks a course of time has at most.
	chartWidth = 60
	// mostCodes is how many status codes are listed, and keptCodes how many of a slot are told apart.
	mostCodes = 8
	keptCodes = 50
)

// evidence is what people look at when they are told of a judgement: each question with its counts, the status codes, the course of time.
func (w *watch) evidence() []string {
	var lines []string
	for _, i := range w.all() {
		lines = append(lines, i.evidence()...)
	}
	for _, n := range w.numbers {
		if n.known {
			lines = append(lines, n.sentence())
		}
	}
	return lines
}

func (i *inquiry) evidence() []string {
	report := i.report
	if len(report.Answers) == 0 || report.Answers[0].Candidate.Requests+report.Answers[0].Live.Requests == 0 {
		return nil
	}
	var lines []string
	for _, a := range report.Answers {
		if a.Question == i.name {
			lines = append(lines, a.Line()) // it names itself
			continue
		}
		lines = append(lines, i.prefix()+a.Line())
	}
	lines = append(lines, i.answers()...)
	// The course of the question that decided, or else of the first.
	shown := 0
	for q, a := range report.Answers {
		if a.Decision == report.Decision {
			shown = q
			break
		}
	}
	lines = append(lines, i.courses[shown].Lines(chartWidth)...)
	if i.reading.Lacking != "" {
		lines = append(lines, i.prefix()+i.reading.Lacking)
	}
	return lines
}

// codes are answers by slot and status code.
type codes map[v1alpha1.Slot]map[string]uint64

// plus adds what was counted elsewhere.
func (c codes) plus(o codes) codes {
	all := codes{}
	for _, some := range []codes{c, o} {
		for slot, counts := range some {
			if all[slot] == nil {
				all[slot] = map[string]uint64{}
			}
			for _, code := range slices.Sorted(maps.Keys(counts)) {
				n := counts[code]
				if _, known := all[slot][code]; !known && len(all[slot]) >= keptCodes {
					code = "other codes"
				}
				all[slot][code] += n
			}
		}
	}
	return all
}

// answers are those of both slots by status code, the failing ones first.
func (i *inquiry) answers() []string {
	var lines []string
	for _, of := range []struct {
		role string
		slot v1alpha1.Slot
	}{{"candidate", i.subject.Candidate}, {"live", i.subject.Live}} {
		counts := i.codes[of.slot]
		if of.slot == v1alpha1.SlotNone || len(counts) == 0 || of.role == "live" && of.slot == i.subject.Candidate {
			continue
		}
		order := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Compare(b, a) })
		var parts []string
		for _, code := range order[:min(len(order), mostCodes)] {
			parts = append(parts, fmt.Sprintf("%d × %s", counts[code], code))
		}
		if more := len(order) - mostCodes; more > 0 {
			parts = append(parts, fmt.Sprintf("and %d other codes", more))
		}
		lines = append(lines, fmt.Sprintf("%sanswers of the %s: %s", i.prefix(), of.role, strings.Join(parts, ", ")))
	}
	return lines
}

// withHint is an error with what to do about it.
func withHint(err error) string {
	if hint := fault.HintOf(err); hint != "" {
		return err.Error() + " – " + hint
	}
	return err.Error()
}
