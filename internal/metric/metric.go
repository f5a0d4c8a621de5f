// Package metric is the port to what counts requests; it must not judge what it reads.
package metric

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// ErrNoData says that a source answers and knows nothing of any slot that it was asked for. That is not zero: a slot without requests
// and a slot under another name look the same from outside.
var ErrNoData = errors.New("it has no data")

// ErrDown says that a source could not be read: it does not answer, or what answers is not what was asked for. Nothing is known then.
var ErrDown = errors.New("it could not be read")

// Subject is whose requests are counted.
type Subject struct {
	Service     string
	Environment string
	Namespace   string
	// Live is SlotNone for a first installation.
	Live, Candidate v1alpha1.Slot
	// Header leads to the candidate through Entry, which is the environment's URL.
	Header v1alpha1.Header
	Entry  string
	// Routes by slot: their Services and routes tell whose a counter is.
	Routes map[v1alpha1.Slot]v1alpha1.Routes
}

// Slots lists the slots that are counted, the live one first.
func (s Subject) Slots() []v1alpha1.Slot {
	var slots []v1alpha1.Slot
	for _, slot := range []v1alpha1.Slot{s.Live, s.Candidate} {
		if slot != v1alpha1.SlotNone && !slices.Contains(slots, slot) {
			slots = append(slots, slot)
		}
	}
	return slots
}

// Question is what is counted of the requests.
type Question struct {
	// Failed lists answers that count as failed: classes such as 5xx, codes such as 429. Default: 5xx.
	Failed []string
	// SlowerThan is the limit that slow requests exceed. Zero: slow ones are not counted.
	SlowerThan time.Duration
}

// Validate refuses what no source could count.
func (q Question) Validate() error {
	for _, f := range q.Failed {
		digits := strings.TrimSuffix(f, "xx")
		if len(f) != 3 || f[0] < '1' || f[0] > '5' || strings.Trim(digits, "0123456789") != "" || len(digits) == 2 {
			return fault.New(fault.Usage, "read what counts as failed", "%q is neither a class such as 5xx nor a code such as 429", f).
				WithHint("list classes and codes, for example [5xx, 429]")
		}
	}
	if q.SlowerThan < 0 {
		return fault.New(fault.Usage, "read what counts as slow", "a limit of %s", q.SlowerThan).WithHint("give a limit above zero, such as 500ms")
	}
	return nil
}

// Fails says whether an answer with a code counts as failed. A source that knows only classes gives those, such as 5xx: a code that is
// listed is not found in them.
func (q Question) Fails(code string) bool {
	failed := q.Failed
	if len(failed) == 0 {
		failed = []string{"5xx"}
	}
	return slices.Contains(failed, code) || len(code) == 3 && slices.Contains(failed, code[:1]+"xx")
}

// Counters are of one slot, from the beginning of a reading's Since to its At. They are whole numbers, so that there is no NaN and nothing
// below zero to be treated.
type Counters struct {
	// Requests that were answered, or should have been.
	Requests uint64 `json:"requests"`
	// Failed are those of Requests that failed.
	Failed uint64 `json:"failed"`
	// Slow are those of Requests that took longer than the limit the source was asked for; 0 where it was asked for none.
	Slow uint64 `json:"slow"`
}

// Cost is what a reading took.
type Cost struct {
	// Requests sent to the source, and Bytes of its answers.
	Requests int
	Bytes    int64
}

// Add sums costs.
func (c Cost) Add(o Cost) Cost {
	return Cost{Requests: c.Requests + o.Requests, Bytes: c.Bytes + o.Bytes}
}

// Reading is what was counted until a moment.
type Reading struct {
	// Since is when counting began, and At the moment up to which it is complete, both by the reader's clock. Counters of two readings
	// with the same Since may be compared, and none falls; a source that had to begin anew says so by a later Since.
	Since, At time.Time
	// Slots has every slot of the subject. Zero counters mean that the source would know of requests, and there were none.
	Slots map[v1alpha1.Slot]Counters
	// Codes are the slots' requests by status code, or by class such as 5xx where the source knows no more; a slot whose codes are not
	// known is left out.
	Codes map[v1alpha1.Slot]map[string]uint64
	// Lacking says in words what of the source did not answer this time, while the rest did; "" for nothing. What lacks is counted
	// when it answers again.
	Lacking string
	Cost    Cost
}

// Source counts the requests of a subject's slots. Read asks once, and answers
//   - a Reading, where the source knows of at least one slot;
//   - ErrNoData, kind fault.Waiting, where it answers and knows of none;
//   - ErrDown, kind fault.Unreachable, where it could not be read;
//   - kind fault.Usage, without either, where asking again will not help, such as a limit that the source has no counter for;
//   - kind fault.Interrupted, where the context was cancelled. One whose time is over means that the source did not answer in time.
//
// With an error there is no reading, and what was counted is not lost: the next reading has it. Read never waits for anything but the
// answer. It is safe for concurrent use.
type Source interface {
	Read(ctx context.Context) (Reading, error)
}

// NoData makes the error for a source that knows of no slot.
func NoData(op, format string, args ...any) *fault.Error {
	return fault.New(fault.Waiting, op, "%w: %s", ErrNoData, fmt.Sprintf(format, args...))
}

// Down makes the error for a source that could not be read. A context that was cancelled is not the source's fault.
func Down(ctx context.Context, op string, err error) *fault.Error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return &fault.Error{Op: op, Kind: fault.Interrupted, Err: ctx.Err()}
	}
	return fault.New(fault.Unreachable, op, "%w: %w", ErrDown, err)
}

// maxSaid bounds in bytes what Short repeats.
const maxSaid = 300

// Short is what is repeated of a source's words: on one line, 300 bytes at most.
func Short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
	}
	return text
}
