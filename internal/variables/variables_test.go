package variables

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
)

type named string

func (n named) String() string { return string(n) }

func TestFailedJoinsEveryProblem(t *testing.T) {
	missing := Problem(fault.NotFound, "A", "add it", "there is none")
	expired := Problem(fault.Refused, "B", "renew it", "%w", ErrExpired)
	denied := Problem(fault.Unreachable, "C", "add it", "403")
	for _, c := range []struct {
		name     string
		problems []error
		want     fault.Kind
		message  string
		hint     string
	}{
		{"one", []error{missing}, fault.NotFound, "read variables from the store: variable A: there is none", "add it"},
		{"refused before missing", []error{missing, nil, expired}, fault.Refused,
			"read variables from the store: 2 problems:\nvariable A: there is none\nvariable B: has expired", "add it\nrenew it"},
		{"not known before all", []error{missing, expired, denied}, fault.Unreachable,
			"read variables from the store: 3 problems:\nvariable A: there is none\nvariable B: has expired\nvariable C: 403", "add it\nrenew it"},
		{"what nobody expected hides behind nothing", []error{denied, errors.New("odd")}, fault.Internal,
			"read variables from the store: 2 problems:\nvariable C: 403\nodd", "add it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Failed(named("the store"), c.problems)
			if fault.KindOf(err) != c.want || err.Error() != c.message || fault.HintOf(err) != c.hint {
				t.Errorf("%v: %q, %q", fault.KindOf(err), err, fault.HintOf(err))
			}
			if strings.Contains(c.message, "expired") && !errors.Is(err, ErrExpired) {
				t.Error("what it is made of is lost")
			}
		})
	}
	if err := Failed(named("the store"), []error{nil}); err != nil {
		t.Errorf("no problem is an error: %v", err)
	}
}
