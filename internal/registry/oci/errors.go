package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sluice-dev/sluice/internal/fault"
)

// isAbsent says that the registry knows for sure that there is no such thing.
func isAbsent(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}

// classify is the one place where an answer of a registry, or the lack of one, becomes a kind of error. host is the registry's.
func (r *Registry) classify(op, host string, err error) error {
	if err == nil {
		return nil
	}
	var known *fault.Error
	var answer *transport.Error
	switch {
	case errors.Is(err, context.Canceled):
		return fault.Wrap(fault.Interrupted, op, err)
	case errors.As(err, &known):
		return fault.Wrap(known.Kind, op, err)
	case errors.As(err, &answer):
		return r.classifyAnswer(op, host, answer)
	case isConnection(err):
		return fault.New(fault.Unreachable, op, "%w", shorten(err)).WithHint("%s", reachHint(host, err))
	case strings.Contains(err.Error(), "error verifying"), strings.Contains(err.Error(), "does not match requested digest"):
		// The library has no type for it that could be named here: the bytes are not those that the digest stands for.
		return fault.New(fault.Fatal, op, "%w", err).WithHint("the registry %s holds damaged content: push it again", host)
	default:
		return fault.Wrap(fault.Internal, op, err)
	}
}

func (r *Registry) classifyAnswer(op, host string, answer *transport.Error) error {
	switch code := answer.StatusCode; {
	case code == http.StatusNotFound:
		return fault.New(fault.NotFound, op, "it does not exist")
	case isDenied(answer):
		tried := r.keys.tried(host)
		return fault.New(fault.Unreachable, op, "the registry refuses the credentials%s: %w", tried, answer).
			WithHint("log in with `docker login %s` (for an Azure registry `az acr login`), with an account that may push there%s", host, tried.cure())
	case isFull(answer):
		return fault.New(fault.Fatal, op, "the registry is full: %w", answer).WithHint("free some of its space")
	case code == http.StatusBadGateway, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		return fault.New(fault.Unreachable, op, "the registry is not available, tried repeatedly: %w", answer)
	case code >= http.StatusInternalServerError, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return fault.New(fault.Transient, op, "the registry keeps failing: %w", answer)
	default:
		return fault.New(fault.Fatal, op, "the registry refuses it: %w", answer)
	}
}

func isDenied(answer *transport.Error) bool {
	return answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden ||
		slices.ContainsFunc(answer.Errors, func(d transport.Diagnostic) bool {
			return d.Code == transport.UnauthorizedErrorCode || d.Code == transport.DeniedErrorCode
		})
}

// isFull says that the registry has no space left; some say it with the status of an internal error, and the system's words for it.
func isFull(answer *transport.Error) bool {
	return answer.StatusCode == http.StatusInsufficientStorage ||
		answer.StatusCode >= http.StatusInternalServerError && slices.ContainsFunc(answer.Errors, func(d transport.Diagnostic) bool {
			return strings.Contains(d.Message+fmt.Sprint(d.Detail), "no space left")
		})
}

// isConnection says that no answer came.
func isConnection(err error) bool {
	var request *url.Error
	var network net.Error
	return errors.As(err, &request) || errors.As(err, &network) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded)
}

// shorten leaves out the URL of the request: the operation names the reference already.
func shorten(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}

func reachHint(host string, err error) string {
	bare, _, splitErr := net.SplitHostPort(host)
	if splitErr != nil {
		bare = host
	}
	switch {
	case strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return host + " speaks http; only registries on this machine or at a private address may, others need TLS"
	case isLocalName(bare) || strings.HasPrefix(bare, "127."):
		return "start the registry at " + host + " (`sluice local up` brings one), or name another in sluice.yaml under registry:"
	default:
		return "see that " + host + " is the right registry (sluice.yaml, registry:) and can be reached from here"
	}
}
