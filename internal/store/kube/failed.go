package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-dev/sluice/internal/fault"
)

// failed classifies what the API server or the way to it said; nil stays nil.
func failed(op, resource, namespace, name string, err error) error {
	if err == nil {
		return nil
	}
	e := &fault.Error{Op: fmt.Sprintf("%s (%s %s in namespace %s)", op, resource, name, namespace), Kind: kindOf(err), Err: err}
	switch {
	case terminating(err):
		return e.WithHint("namespace %s is being deleted: wait until it is gone", namespace)
	case overQuota(err):
		return e.WithHint("raise the quota of namespace %s for %s, or delete some: kubectl --namespace %s describe resourcequota", namespace, resource, namespace)
	case apierrors.IsForbidden(err):
		return e.WithHint("the identity in use lacks a right in namespace %s: it needs get, list, create, patch and delete on configmaps, and get, create, update and delete on leases.coordination.k8s.io", namespace)
	case apierrors.IsUnauthorized(err):
		return e.WithHint("the credentials of the kubeconfig are not accepted: log in again")
	case missingNamespace(err):
		return e.WithHint("create it with: kubectl create namespace %s", namespace)
	}
	return e
}

func kindOf(err error) fault.Kind {
	var dial *net.OpError
	var transport *url.Error
	switch {
	case errors.Is(err, context.Canceled):
		return fault.Interrupted
	case apierrors.IsNotFound(err):
		return fault.NotFound
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return fault.Conflict
	case terminating(err), overQuota(err):
		return fault.Fatal
	case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err):
		return fault.Unreachable
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err), apierrors.IsMethodNotSupported(err):
		return fault.Fatal
	case apierrors.ReasonForError(err) != "", errors.Is(err, context.DeadlineExceeded):
		return fault.Transient
	case errors.As(err, &dial), errors.As(err, &transport):
		return fault.Unreachable
	}
	return fault.Internal
}

func missingNamespace(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsNotFound(err) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces"
}

// The API server says 403 as well where no right is lacking.
func terminating(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

func overQuota(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota")
}
