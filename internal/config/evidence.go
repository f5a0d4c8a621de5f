package config

import (
	"math"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/guard"
)

const usualTimeout = 5 * time.Minute

// chance finds that a chance of a false abort which is good by itself is too small once it is divided.
func (c analysisCheck) chance() {
	path := child(c.at, "falseAbort")
	whole := c.a.FalseAbort.Or(guard.FalseAbort)
	if c.positions.has(path) && (c.a.FalseAbort < leastShare || c.a.FalseAbort > mostFalseAbort) {
		return // that is said already
	}
	if c.leastPart(whole) >= leastShare {
		return
	}
	questions := "the analysis asks 1 question"
	if n := c.questionsAsked(); n > 1 {
		questions = "the analysis asks " + strconv.Itoa(n) + " questions"
	}
	if probed(c.e) {
		questions += ", and a tenth is kept for probes"
	}
	report := c.report
	if !c.positions.has(path) {
		report = c.reportKey
	}
	report(path, "raise it to "+roundUp(leastShare/c.leastPart(1)*100)+"%, or ask less",
		"is divided, and the smallest part is less than %s: %s", v1alpha1.Share(leastShare), questions)
}

// leastPart is the smallest chance that one source of requests gets of the whole.
func (c analysisCheck) leastPart(whole float64) float64 {
	least := whole
	if probed(c.e) {
		least = whole * guard.ProbesPart
		whole -= least
	}
	share := whole / float64(c.questionsAsked())
	if c.ownQuestions() > 0 {
		return min(least, share)
	}
	return min(least, share*float64(c.questionsAsked()))
}

// questionsAsked are those about the part of requests that is bad, ownQuestions those of them that are metrics of one's own.
func (c analysisCheck) questionsAsked() int {
	n := c.ownQuestions()
	if c.a.AsksErrors() {
		n++
	}
	if c.a.Slower != nil {
		n++
	}
	return n
}

func (c analysisCheck) ownQuestions() int {
	n := 0
	for _, m := range c.a.Metrics {
		if m.Condition == "" {
			n++
		}
	}
	return n
}

// probed says that Sluice sends requests of its own where those of users are few.
func probed(e v1alpha1.Environment) bool {
	a := e.Analysis
	if a.Source != nil && a.Source.Probe != nil {
		return false
	}
	return a.Probe != nil || !reachedByService(e.Strategy) && e.Entry != "" && plainGet(e.Gates, *a) != ""
}

// rate finds that probes are too rare to be evidence within the time there is.
func (c analysisCheck) rate(path string, rate float64) {
	if !c.positions.has(path) {
		return
	}
	if !(rate > 0 && rate <= mostProbes) {
		c.report(path, "", "must be more than 0 and at most %d requests a second, not %v", mostProbes, rate)
		return
	}
	hold, known := c.longestHold()
	within := hold + c.e.Timeout.Or(usualTimeout)
	if !known || c.unread(child(c.environment, "timeout")) || within <= 0 || guard.Enough/rate <= within.Seconds() {
		return
	}
	c.report(path, "raise it to "+roundUp(guard.Enough/within.Seconds())+" or more, or give the step a longer hold",
		"is too low: the %d requests that a version is known by take longer than the longest hold and the environment's timeout together, %s", guard.Enough, within)
}

// longestHold of the strategy's steps; false where it cannot be known.
func (c analysisCheck) longestHold() (time.Duration, bool) {
	switch s := c.e.Strategy; {
	case c.unread(child(c.environment, "strategy")):
		return 0, false
	case s.Direct != nil:
		return s.Direct.Hold.Or(directHold), true
	case s.BlueGreen != nil:
		return s.BlueGreen.Hold.D(), true
	case s.Canary != nil:
		longest := v1alpha1.Duration(0)
		for _, step := range s.Canary.Steps {
			longest = max(longest, step.Hold)
		}
		return longest.D(), len(s.Canary.Steps) > 0
	}
	return 0, false
}

// roundUp writes a number with two digits, none lower than it.
func roundUp(v float64) string {
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return strconv.FormatFloat(math.Ceil(v/unit-1e-9)*unit, 'g', 2, 64)
}
