package guard

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
)

// defaultAttempts is how often in a row a condition must be broken.
const defaultAttempts = 3

// number is a metric with a condition. It is compared and not tested: what one number says of chance, nobody knows.
type number struct {
	metric    v1alpha1.Metric
	condition metric.Condition
	subject   metric.Subject
	reader    Reader
	answers   chan numberAnswer
	due       time.Time
	value     metric.Value
	known     bool
	// answered says that there was a number at any time.
	answered bool
	err      error
	// broken counts how often in a row the condition was.
	broken int
}

type numberAnswer struct {
	value metric.Value
	err   error
}

func newNumber(m v1alpha1.Metric) (*number, error) {
	c, err := metric.ParseCondition(m.Condition)
	return &number{metric: m, condition: c}, err
}

func (n *number) attempts() int {
	if n.metric.Attempts > 0 {
		return n.metric.Attempts
	}
	return defaultAttempts
}

// ask is as an inquiry's. Before the candidate has traffic there is nothing to compare.
func (n *number) ask(ctx context.Context, sources Sources, s Scene, now time.Time) <-chan struct{} {
	done := make(chan struct{})
	if n.answers != nil || now.Before(n.due) {
		close(done)
		return done
	}
	if of := bySlots(s); n.reader.Valuer == nil || of.Candidate != n.subject.Candidate {
		reader, err := sources.Number(of, s.Spec, n.metric)
		if err != nil {
			n.err = err
			close(done)
			return done
		}
		n.reader, n.subject, n.err = reader, of, nil
	}
	if s.Weight == 0 {
		close(done)
		return done
	}
	n.due = now.Add(n.reader.Every)
	answers, valuer := make(chan numberAnswer, 1), n.reader.Valuer
	n.answers = answers
	go func() {
		defer close(done)
		v, err := valuer.Value(context.WithoutCancel(ctx))
		answers <- numberAnswer{v, err}
	}()
	return done
}

func (n *number) take() {
	if n.answers == nil {
		return
	}
	select {
	case a := <-n.answers:
		n.answers, n.err = nil, a.err
		if a.err != nil {
			return // nothing is known: what was known before neither grows nor is forgotten
		}
		n.value, n.known, n.answered = a.value, true, true
		if n.condition.Holds(a.value.Number) {
			n.broken = 0
		} else {
			n.broken++
		}
	default:
	}
}

func (n *number) bad() bool  { return n.broken >= n.attempts() }
func (n *number) fine() bool { return n.known && n.broken == 0 && n.err == nil }

// unusable is as an inquiry's.
func (n *number) unusable() bool { return n.err != nil && fault.Is(n.err, fault.Usage) && !n.answered }
func (n *number) down() bool {
	return n.err != nil && !errors.Is(n.err, metric.ErrNoData) && !n.unusable()
}

// sentence says what the number is and what it must be.
func (n *number) sentence() string {
	if !n.known {
		return fmt.Sprintf("%s: no number yet; it must be %s", n.metric.Name, n.condition)
	}
	text := fmt.Sprintf("%s is %s and must be %s", n.metric.Name, strconv.FormatFloat(n.value.Number, 'g', 6, 64), n.condition)
	if n.broken > 0 {
		text += fmt.Sprintf(" (%d of %d times in a row)", n.broken, n.attempts())
	}
	return text
}
