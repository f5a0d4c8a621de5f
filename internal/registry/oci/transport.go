package oci

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sluice-dev/sluice/internal/variables"
)

// dialTimeout bounds one attempt to connect: a registry that is there answers far sooner.
const dialTimeout = 10 * time.Second

// newTransport sends *.localhost to this machine, whatever resolver or proxy it has: RFC 6761 reserves the names for that.
//
// What requests are authenticated with becomes known as a secret.
func newTransport(backoff remote.Backoff, secrets *variables.Masker) http.RoundTripper {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	base := &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			if isLocalName(r.URL.Hostname()) {
				return nil, nil
			}
			return http.ProxyFromEnvironment(r)
		},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, port, err := net.SplitHostPort(address); err == nil && isLocalName(host) {
				address = net.JoinHostPort("localhost", port)
			}
			return dialer.DialContext(ctx, network, address)
		},
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          50,
		MaxIdleConnsPerHost:   50,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   dialTimeout,
		ExpectContinueTimeout: time.Second,
	}
	// A few quick attempts: the library's own, longer ones come on top.
	backoff.Steps = min(backoff.Steps, 3)
	return steady{secrets: secrets, plain: base, retrying: transport.NewRetry(base, transport.WithRetryBackoff(backoff),
		transport.WithRetryPredicate(isPassing), transport.WithRetryStatusCodes(passingStatus()...))}
}

func isLocalName(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// steady tries again what can be repeated as it is: questions, and the request for an upload. The library repeats only whole uploads
// of four requests each, which against a registry that fails every fifth of them succeeds too seldom. What writes is left to it:
// whether a cut off write arrived only the next question tells.
type steady struct {
	plain, retrying http.RoundTripper
	secrets         *variables.Masker
}

func (s steady) RoundTrip(r *http.Request) (*http.Response, error) {
	s.secrets.AddAuthorization(r.Header.Get("Authorization"))
	r, err := fresh(r)
	if err != nil {
		return nil, err
	}
	bare := r.Body == nil || r.Body == http.NoBody
	if bare && (r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodPost) {
		return s.retrying.RoundTrip(r.WithContext(anew{r.Context()}))
	}
	return s.plain.RoundTrip(r)
}

// fresh gives a request that is sent for the second time a body that nobody has read. The library sends a request again, as it is, when
// its token has expired: half of an upload would go out with the new one.
func fresh(r *http.Request) (*http.Request, error) {
	if r.GetBody == nil || r.Body == nil || r.Body == http.NoBody {
		return counted(r), nil
	}
	sent, ok := r.Body.(*body)
	if !ok {
		// The mark stays on the caller's request, which is the one that comes again.
		sent = &body{ReadCloser: r.Body}
		r.Body = sent
	}
	if !sent.touched.Swap(true) {
		return counted(r), nil
	}
	// Closed before the next one is opened: a body may be a download, of which only so many are allowed at once.
	_ = sent.Close()
	again, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	r = r.WithContext(r.Context())
	r.Body = again
	return counted(r), nil
}

// body is that of a request, with the mark that it was sent.
type body struct {
	io.ReadCloser
	touched atomic.Bool
}

// movedKey is the key of a context's counter of bytes of blobs.
type movedKey struct{}

// counting gives a context a counter of the bytes of blobs that are sent with it.
func counting(ctx context.Context) (context.Context, *atomic.Int64) {
	moved := &atomic.Int64{}
	return context.WithValue(ctx, movedKey{}, moved), moved
}

// counted makes a request count what it sends of a blob; only blobs are sent by PATCH.
func counted(r *http.Request) *http.Request {
	moved, ok := r.Context().Value(movedKey{}).(*atomic.Int64)
	if !ok || r.Method != http.MethodPatch || r.Body == nil {
		return r
	}
	r = r.WithContext(r.Context())
	r.Body = meter{r.Body, moved}
	return r
}

type meter struct {
	io.ReadCloser
	moved *atomic.Int64
}

func (m meter) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.moved.Add(int64(n))
	return n, err
}

// anew hides the library's mark that a request must not be tried again.
type anew struct{ context.Context }

func (anew) Value(any) any { return nil }

// isPassing says that a failure without an answer may pass.
func isPassing(err error) bool {
	var temporary interface{ Temporary() bool }
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return false
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return true
	default:
		return errors.As(err, &temporary) && temporary.Temporary()
	}
}

func passingStatus() []int {
	return []int{
		http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
	}
}

// bound gives requests made without a context the caller's.
type bound struct {
	//nolint:containedctx // the library's function takes none
	ctx  context.Context
	next http.RoundTripper
}

func (b bound) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodDelete {
		// The upload is taken back in the background, after the answer.
		return b.next.RoundTrip(r)
	}
	return b.next.RoundTrip(r.WithContext(b.ctx))
}
