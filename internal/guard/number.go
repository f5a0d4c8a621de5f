package guard

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
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
	asking[metric.Value]
	value metric.Value
	known bool
	// broken counts how often in a row the condition was.
	broken int
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
	if !n.due(now, n.reader.Every) {
		return nothing()
	}
	if of := bySlots(s); n.reader.Valuer == nil || of.Candidate != n.subject.Candidate {
		reader, err := sources.Number(of, s.Spec, n.metric)
		if err != nil {
			n.err = err
			return nothing()
		}
		n.reader, n.subject, n.err = reader, of, nil
	}
	if s.Weight == 0 {
		return nothing()
	}
	return n.begin(ctx, now, n.reader.Valuer.Value)
}

func (n *number) take() {
	value, came := n.next()
	if !came || n.err != nil {
		return // nothing new is known: what was known before neither grows nor is forgotten
	}
	n.value, n.known = value, true
	if n.condition.Holds(value.Number) {
		n.broken = 0
	} else {
		n.broken++
	}
}

func (n *number) bad() bool  { return n.broken >= n.attempts() }
func (n *number) fine() bool { return n.known && n.broken == 0 && n.err == nil }

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
