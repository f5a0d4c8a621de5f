package helm

import (
	"context"
	"errors"
	"net"
	"net/url"

	"helm.sh/helm/v4/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-dev/sluice/internal/fault"
)

// classify gives an error its operation and kind; one that has a kind keeps it.
func classify(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fault.Wrap(fault.Interrupted, op, errors.Join(ctx.Err(), err))
	}
	var known *fault.Error
	if errors.As(err, &known) {
		e := fault.New(known.Kind, op, "%w", err)
		return e.WithHint("%s", fault.HintOf(err))
	}
	return &fault.Error{Op: op, Kind: kindOf(err), Err: err, Hint: hintOf(err)}
}

// unclassified says that nobody knows the error: it comes neither from the API server, nor the network, nor Sluice.
func unclassified(err error) bool {
	var known *fault.Error
	var status apierrors.APIStatus
	var network net.Error
	return !errors.As(err, &known) && !errors.As(err, &status) && !errors.As(err, &network) && !errors.Is(err, driver.ErrReleaseExists)
}

func kindOf(err error) fault.Kind {
	var network net.Error
	var refused *url.Error
	switch {
	case errors.Is(err, driver.ErrReleaseExists):
		return fault.Conflict
	case apierrors.IsUnauthorized(err):
		return fault.Unreachable
	case apierrors.IsNotFound(err):
		// Objects are created where they are missing; what is missing for good is the namespace or a kind.
		return fault.NotFound
	case lacksRight(err):
		return fault.Forbidden
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsMethodNotSupported(err):
		return fault.Fatal
	case apierrors.IsConflict(err), apierrors.IsServerTimeout(err), apierrors.IsTooManyRequests(err), apierrors.IsInternalError(err),
		apierrors.IsTimeout(err), apierrors.IsServiceUnavailable(err):
		return fault.Transient
	case errors.As(err, &network), errors.As(err, &refused):
		return fault.Unreachable
	default:
		return fault.Transient
	}
}

func hintOf(err error) string {
	switch {
	case apierrors.IsUnauthorized(err):
		return "the cluster does not accept the credentials; log in again"
	case apierrors.IsNotFound(err):
		return "create the namespace, or install what defines the kind"
	case lacksRight(err):
		return "let whoever manages the namespace give the right: docs/operations/rbac.md has the manifests"
	case apierrors.IsForbidden(err):
		return "a quota or policy of the cluster forbids it"
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return "the API server refuses what the chart renders; correct the chart"
	default:
		return ""
	}
}

// lacksRight tells what RBAC and other authorizers refuse from what quotas and policies do, which is forbidden as well.
func lacksRight(err error) bool {
	return apierrors.IsForbidden(err) && fault.LacksRight(err.Error())
}
