// Package fault classifies errors once, for exit codes and for the decision to retry; it must not know who reports them.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind is the class of an error.
type Kind int

// The kinds. Internal is the kind of every error that nobody classified.
const (
	Internal    Kind = iota
	Usage            // the command line or the configuration is wrong
	Refused          // a check or gate failed and nothing was changed
	RolledBack       // failed, and taken back
	Stuck            // failed, and could not be taken back: a human is needed
	Waiting          // waiting for an approval, a window or a soak; resumable
	Locked           // another run holds the lock, or the environment is frozen
	Unreachable      // cannot authenticate or connect
	Drift            // the world differs from what was recorded
	Interrupted      // stopped by a signal; the rollout stays where it is
	NotFound         // the named thing does not exist (known for sure)
	Conflict         // somebody else changed the thing first
	Transient        // may succeed when tried again
	Fatal            // will fail again however often it is tried
	Forbidden        // the credentials lack a right
)

func (k Kind) String() string {
	names := [...]string{"internal", "usage", "refused", "rolledBack", "stuck", "waiting", "locked", "unreachable",
		"drift", "interrupted", "notFound", "conflict", "transient", "fatal", "forbidden"}
	if k < 0 || int(k) >= len(names) {
		return "unknown"
	}
	return names[k]
}

// Error is an error with the operation, its kind, and what to do about it.
type Error struct {
	Op   string
	Kind Kind
	Err  error
	Hint string
}

func (e *Error) Error() string {
	switch {
	case e.Op == "":
		return e.Err.Error()
	case e.Err == nil:
		return e.Op
	}
	return e.Op + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind.
func New(kind Kind, op, format string, args ...any) *Error {
	return &Error{Op: op, Kind: kind, Err: fmt.Errorf(format, args...)}
}

// Wrap gives err an operation and a kind; nil stays nil.
func Wrap(kind Kind, op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Kind: kind, Err: err}
}

// WithHint adds what to do about it.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// KindOf returns the kind of the outermost classified error in the chain. An interrupted context is Interrupted.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled):
		return Interrupted
	default:
		return Internal
	}
}

// Is says whether err is of the kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// HintOf returns the first hint in the chain, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// ExitCode is the one place where a kind becomes an exit code.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	switch KindOf(err) {
	case Usage, NotFound:
		return 2
	case Refused:
		return 3
	case RolledBack:
		return 4
	case Stuck:
		return 5
	case Waiting:
		return 6
	case Locked:
		return 7
	case Unreachable, Forbidden:
		return 8
	case Drift:
		return 9
	case Interrupted:
		return 130
	case Internal, Conflict, Transient, Fatal:
		return 1
	}
	return 1
}

// Retry says whether trying again may help.
func Retry(err error) bool {
	switch KindOf(err) {
	case Internal, Transient, Conflict, Unreachable:
		return true
	case Usage, Refused, RolledBack, Stuck, Waiting, Locked, Drift, Interrupted, NotFound, Fatal, Forbidden:
		return false
	}
	return false
}

// LacksRight says that an API server's refusal is for want of a right, in the words that Kubernetes has for it:
// `secrets is forbidden: User "ci" cannot list resource "secrets" in API group "" in the namespace "shop"`.
func LacksRight(refusal string) bool {
	_, verb, ok := strings.Cut(refusal, " cannot ")
	return ok && strings.Contains(verb, " resource ")
}
