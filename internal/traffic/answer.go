package traffic

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Answer classifies what an API server or the way to it said; nil stays nil, and an error that has a kind keeps it.
// The code is the HTTP status of the answer, 0 where none came.
func Answer(op string, code int, err error) error {
	if err == nil {
		return nil
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	e := &fault.Error{Op: op, Kind: fault.Internal, Err: err}
	switch {
	case errors.Is(err, context.Canceled):
		e.Kind = fault.Interrupted
	case code == http.StatusNotFound:
		e.Kind = fault.NotFound
	case code == http.StatusConflict:
		e.Kind = fault.Conflict
	case code == http.StatusUnauthorized:
		e.Kind = fault.Unreachable
		return e.WithHint("the cluster does not accept the credentials; log in again")
	case code == http.StatusForbidden && fault.LacksRight(err.Error()):
		e.Kind = fault.Forbidden
		return e.WithHint("let whoever manages the namespace give the right: docs/operations/rbac.md has the manifests")
	case code == http.StatusForbidden:
		e.Kind = fault.Fatal
		return e.WithHint("a quota or policy of the cluster forbids it")
	case code >= 500, code == http.StatusTooManyRequests, errors.Is(err, context.DeadlineExceeded):
		e.Kind = fault.Transient
	case code != 0:
		e.Kind = fault.Fatal
		return e.WithHint("the API server refuses what the chart renders; correct the chart")
	case errors.As(err, new(*url.Error)):
		e.Kind = fault.Unreachable
	}
	return e
}
