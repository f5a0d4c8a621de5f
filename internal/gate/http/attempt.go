package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/sluice-dev/sluice/internal/fault"
)

const (
	// bodyLimit is how many bytes of an answer are read.
	bodyLimit = 1 << 20
	// excerpt is how many characters of a body are evidence.
	excerpt = 300
	// callTimeout is the default of one call.
	callTimeout = 5 * time.Second
)

// answer is what came.
type answer struct {
	status int
	header http.Header
	body   []byte
	// cut says that the body was longer than bodyLimit.
	cut bool
}

// attempt asks once. An error means that nothing is known of the service: the caller's context ended, or the API server
// did not let us through. Whatever the service or the way to it does otherwise is a failed attempt with evidence.
func (g *Gate) attempt(ctx context.Context, c call) (bool, string, error) {
	timeout := g.spec.Timeout.Or(callTimeout)
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	what := g.spec.Method + " " + c.url
	if c.header.Name != "" {
		what += fmt.Sprintf(" with %s: %s", c.header.Name, c.header.Value)
	}
	began := g.prober.o.Now()
	a, err := g.send(limited, c)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return false, "", fault.Wrap(fault.Interrupted, "gate "+g.name, ctx.Err())
	case errors.Is(err, context.DeadlineExceeded):
		return false, fmt.Sprintf("%s: expected %s, but no whole answer came within %s", what, g.expected, timeout), nil
	default:
		return false, fmt.Sprintf("%s: expected %s, but got no answer: %s", what, g.expected, cause(err)), nil
	}
	if c.proxied {
		if err := refusal(a); err != nil {
			return false, "", fault.Wrap(fault.Unreachable, "gate "+g.name, err)
		}
	}
	if problem := g.expected.problem(a); problem != "" {
		// Secrets go before anything is cut: half a secret would not be known for one.
		a.body = g.prober.o.Secrets.JSON(a.body)
		if told := g.expected.problem(a); told != "" {
			problem = told
		}
		return false, fmt.Sprintf("%s: %s; the body begins: %s", what, problem, begin(string(a.body))), nil
	}
	took := g.prober.o.Now().Sub(began).Round(time.Millisecond)
	return true, fmt.Sprintf("%s: %s, in %s", what, g.expected, took), nil
}

func (g *Gate) send(ctx context.Context, c call) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, g.spec.Method, c.url, strings.NewReader(g.spec.Body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("User-Agent", "sluice")
	for name, value := range g.spec.Headers {
		if strings.EqualFold(name, "Host") {
			request.Host = value
			continue
		}
		request.Header.Set(name, value)
	}
	if c.header.Name != "" {
		request.Header.Set(c.header.Name, c.header.Value)
	}
	client := http.Client{Transport: c.transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	// Nothing can be lost by a failed close of what was only read.
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyLimit+1))
	if err != nil {
		return answer{}, err
	}
	a := answer{status: response.StatusCode, header: response.Header, body: body}
	if len(body) > bodyLimit {
		a.body, a.cut = body[:bodyLimit], true
	}
	return a, nil
}

// cause leaves out what the evidence says already: method and URL.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refusal is the API server's own word that we may not use its proxy. Where the body is not in its format, the service
// itself said so.
func refusal(a answer) error {
	if a.status != http.StatusForbidden && a.status != http.StatusUnauthorized {
		return nil
	}
	message, ok := statusMessage(a.body)
	if !ok {
		return nil
	}
	return fault.New(fault.Unreachable, "reach the Service through the API server", "%s", message).
		WithHint("the identity in use needs the right to get (and create, for other methods) services/proxy in the namespace")
}

// statusMessage reads the format in which the API server refuses.
func statusMessage(body []byte) (string, bool) {
	var status struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
	}
	err := json.Unmarshal(body, &status)
	return status.Message, err == nil && status.Kind == "Status"
}

// begin is the beginning of a body, fit for a terminal.
func begin(body string) string {
	if len(body) == 0 {
		return "(empty)"
	}
	var b strings.Builder
	n := 0
	for _, r := range body {
		if n++; n > excerpt {
			return b.String() + "…"
		}
		if unicode.IsControl(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// NewTransport makes a connection per call, so that every attempt is routed anew. It uses the proxy of the environment, and loopback for names
// ending in .localhost.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{}
	return &http.Transport{
		DisableKeepAlives: true,
		Proxy: func(r *http.Request) (*url.URL, error) {
			if loopback(r.URL.Hostname()) {
				return nil, nil
			}
			return http.ProxyFromEnvironment(r)
		},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil || !loopback(host) {
				return dialer.DialContext(ctx, network, address)
			}
			conn, err := dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
			if err == nil {
				return conn, nil
			}
			if conn, six := dialer.DialContext(ctx, network, net.JoinHostPort("::1", port)); six == nil {
				return conn, nil
			}
			return nil, err
		},
	}
}

// loopback says that a name means this machine (RFC 6761); not every resolver knows it.
func loopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
