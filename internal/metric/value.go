package metric

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Value is one number that a source gave at a moment.
type Value struct {
	At     time.Time
	Number float64
	Cost   Cost
}

// Valuer answers a question of one's own with one number. Its errors are those of a Source; a number that is none is ErrNoData.
type Valuer interface {
	Value(ctx context.Context) (Value, error)
}

// Condition is what a value must satisfy.
type Condition struct {
	// Operator is one of < <= > >= == !=.
	Operator string
	Limit    float64
}

// ParseCondition reads a condition such as "< 0.01".
func ParseCondition(text string) (Condition, error) {
	for _, operator := range []string{"<=", ">=", "==", "!=", "<", ">"} {
		rest, found := strings.CutPrefix(strings.TrimSpace(text), operator)
		if !found {
			continue
		}
		limit, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
		if err != nil || math.IsNaN(limit) || math.IsInf(limit, 0) {
			break
		}
		return Condition{Operator: operator, Limit: limit}, nil
	}
	return Condition{}, fault.New(fault.Usage, "read a condition", "%q is no comparison with a number", text).
		WithHint("write what must hold of the value, such as \"< 0.01\"; the operators are < <= > >= == !=")
}

// Holds says whether a number satisfies the condition. What is not a number satisfies none.
func (c Condition) Holds(number float64) bool {
	if math.IsNaN(number) {
		return false
	}
	switch c.Operator {
	case "<":
		return number < c.Limit
	case "<=":
		return number <= c.Limit
	case ">":
		return number > c.Limit
	case ">=":
		return number >= c.Limit
	case "==":
		return number == c.Limit
	case "!=":
		return number != c.Limit
	}
	return false
}

func (c Condition) String() string {
	return c.Operator + " " + strconv.FormatFloat(c.Limit, 'g', -1, 64)
}
