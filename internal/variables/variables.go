// Package variables is the port to the secure stores that hold an environment's configuration, and the type of what they hold; it must not know where a variable goes, nor print one.
package variables

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Why a store does not give what it holds. They come within an error of kind fault.Refused.
var (
	// ErrDisabled says that somebody switched the variable, or this version of it, off.
	ErrDisabled = errors.New("is disabled")
	// ErrExpired says that its time is over.
	ErrExpired = errors.New("has expired")
	// ErrGone says that the store does not keep the version asked for, or never had it.
	ErrGone = errors.New("is not kept")
)

// Query asks for one variable.
type Query struct {
	// Name in the store.
	Name string
	// Version to read; "" is the current one.
	Version string
}

// Variable is what a store holds under a name.
type Variable struct {
	Name string
	// Version as the store counts: it names the content, so that a record can hold it, and does not tell it. It is the same for as
	// long as the content is, and another one once the content is another.
	Version string
	Value   Value
	// Expires is when the store will refuse it; zero: never.
	Expires time.Time
	// Exposed says that the store itself holds it in clear text where others read it, as files do: nobody may take it for a secret.
	Exposed bool
}

// Store reads the variables of an environment. It never logs, and is safe for concurrent use.
type Store interface {
	// Resolve answers all queries, in their order, or fails with every problem joined (see Failed): fault.NotFound for what is missing;
	// fault.Unreachable where the store could not be asked, which says whether that is for want of authentication, of a right or of an
	// answer, the last after bounded retries; fault.Refused with ErrDisabled, ErrExpired or ErrGone. It never returns a part, and no
	// error contains a value.
	Resolve(ctx context.Context, queries []Query) ([]Variable, error)
	// String names the store for people, for example `Key Vault prod-vault` or `sops file env/dev.enc.yaml`.
	fmt.Stringer
}

// Problem is why a store does not give one variable. What it says must not be made of a value.
func Problem(kind fault.Kind, name, cure, format string, args ...any) error {
	return fault.New(kind, "variable "+name, format, args...).WithHint("%s", cure)
}

// Failed is the error of a Resolve that met problems, in their order; nil where there are none. Its kind is the one that matters most:
// that something could not be found out before that something is refused, and that before that something is missing.
func Failed(store fmt.Stringer, problems []error) error {
	problems = slices.DeleteFunc(slices.Clone(problems), func(err error) bool { return err == nil })
	if len(problems) == 0 {
		return nil
	}
	kinds := []fault.Kind{fault.Interrupted, fault.Unreachable, fault.Usage, fault.Refused, fault.NotFound}
	rank := func(err error) int {
		if at := slices.Index(kinds, fault.KindOf(err)); at >= 0 {
			return at
		}
		return -1 // a kind that no store is expected to return hides behind none
	}
	first := slices.MinFunc(problems, func(a, b error) int { return rank(a) - rank(b) })
	var cures []string
	for _, err := range problems {
		if cure := fault.HintOf(err); cure != "" && !slices.Contains(cures, cure) {
			cures = append(cures, cure)
		}
	}
	op := "read variables from " + store.String()
	return &fault.Error{Op: op, Kind: fault.KindOf(first), Err: joined(problems), Hint: strings.Join(cures, "\n")}
}

// joined prints a single problem in its line, and several each on a line of its own.
type joined []error

func (j joined) Error() string {
	if len(j) == 1 {
		return j[0].Error()
	}
	lines := []string{fmt.Sprintf("%d problems:", len(j))}
	for _, err := range j {
		lines = append(lines, err.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems.
func (j joined) Unwrap() []error { return j }
