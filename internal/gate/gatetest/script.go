// Package gatetest holds the contract of gates and a scripted fake; it must not be imported by anything but tests.
package gatetest

import (
	"context"
	"sync"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate"
)

var _ gate.Gate = (*Script)(nil)

// Answer is one scripted answer of a fake gate.
type Answer struct {
	Verdict  v1alpha1.Verdict
	Evidence string
	Err      error
}

// Script is a fake gate: it looks at nothing and gives its answers in turn, the last one for ever. Without answers it passes.
type Script struct {
	mu       sync.Mutex
	answers  []Answer
	subjects []gate.Subject
}

// NewScript returns a fake gate with these answers.
func NewScript(answers ...Answer) *Script {
	if len(answers) == 0 {
		answers = []Answer{Pass()}
	}
	return &Script{answers: answers}
}

// Pass, Fail, Wait and Error make answers.
func Pass() Answer { return Answer{Verdict: v1alpha1.Passed, Evidence: "scripted pass"} }

// Fail makes a failed answer.
func Fail(evidence string) Answer { return Answer{Verdict: v1alpha1.Failed, Evidence: evidence} }

// Wait makes a waiting answer.
func Wait() Answer { return Answer{Verdict: v1alpha1.Waiting, Evidence: "scripted wait"} }

// Error makes an answer that could not be found out.
func Error(err error) Answer { return Answer{Err: err} }

// Check gives the next answer.
func (s *Script) Check(ctx context.Context, subject gate.Subject) (v1alpha1.Verdict, string, error) {
	if err := ctx.Err(); err != nil {
		return "", "", fault.Wrap(fault.Interrupted, "check the scripted gate", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subjects = append(s.subjects, subject)
	a := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return a.Verdict, a.Evidence, a.Err
}

// Subjects returns what the gate was asked about, oldest first.
func (s *Script) Subjects() []gate.Subject {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]gate.Subject(nil), s.subjects...)
}

// Factory returns a factory that finds scripted gates by their display name, and fails for every other one.
func Factory(gates map[string]gate.Gate) gate.Factory {
	return func(spec v1alpha1.Gate) (gate.Gate, error) {
		g, ok := gates[spec.DisplayName()]
		if !ok {
			return nil, fault.New(fault.Usage, "make the gate", "no gate is scripted for %q", spec.DisplayName())
		}
		return g, nil
	}
}
