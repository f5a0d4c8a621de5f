package sigstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Patience bounds what is asked of a service that does not answer.
type Patience struct {
	// Attempts at a request; an answer that says no ends them at once. Default: 3.
	Attempts int
	// Answer is how long one attempt may take. Default: 15 s.
	Answer time.Duration
	// Pause before the second attempt; it doubles from there on, up to 5 s. Default: 1 s.
	Pause time.Duration
}

func (p Patience) orDefault() Patience {
	if p.Attempts == 0 {
		p.Attempts = 3
	}
	if p.Answer == 0 {
		p.Answer = 15 * time.Second
	}
	if p.Pause == 0 {
		p.Pause = time.Second
	}
	return p
}

// maxAnswer bounds what is read of an answer in bytes, maxQuoted what of it is quoted in an error.
const (
	maxAnswer = 4 << 20
	maxQuoted = 300
)

// patient asks one service, and makes an error of every answer that is not what was asked for. The clients of the libraries retry
// without an end to waiting, forget the context, or lose what the service said.
type patient struct {
	ctx  context.Context
	name string
	// secret is what must not be quoted, should a service send it back.
	secret string
	// no says that an answer of 4xx is one that the caller knows to read.
	no     bool
	rounds *retryablehttp.RoundTripper
}

// client for a service of which everything but success is an error.
func (p Patience) client(ctx context.Context, name, secret string) *http.Client {
	return &http.Client{Transport: p.transport(ctx, name, secret)}
}

// files is a client for a place where files lie, or do not.
func (p Patience) files(ctx context.Context, name string) *http.Client {
	t := p.transport(ctx, name, "")
	t.no = true
	return &http.Client{Transport: t}
}

func (p Patience) transport(ctx context.Context, name, secret string) patient {
	p = p.orDefault()
	c := retryablehttp.NewClient()
	c.Logger = nil
	c.HTTPClient = &http.Client{Timeout: p.Answer, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c.RetryMax, c.RetryWaitMin, c.RetryWaitMax = p.Attempts-1, p.Pause, max(p.Pause, 5*time.Second)
	c.Backoff = func(least, most time.Duration, attempt int, _ *http.Response) time.Duration {
		return retryablehttp.DefaultBackoff(least, most, attempt, nil)
	}
	c.ErrorHandler = func(r *http.Response, err error, tries int) (*http.Response, error) {
		if err != nil {
			return nil, fmt.Errorf("it was asked %d times: %w", tries, err)
		}
		return r, nil
	}
	return patient{ctx: ctx, name: name, secret: secret, rounds: &retryablehttp.RoundTripper{Client: c}}
}

// RoundTrip asks, and reads the answer.
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	where := p.name + " at " + r.URL.Scheme + "://" + r.URL.Host
	answer, err := p.rounds.RoundTrip(r.WithContext(p.ctx))
	switch {
	case p.ctx.Err() != nil:
		return nil, fault.Wrap(fault.Interrupted, "", p.ctx.Err())
	case err != nil:
		return nil, fault.New(fault.Unreachable, "", "%s does not answer: %w", where, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, fault.New(fault.Unreachable, "", "%s broke off its answer: %w", where, err)
	}
	if no := p.no && answer.StatusCode >= 400 && answer.StatusCode < 429; !no && (answer.StatusCode < 200 || answer.StatusCode > 299) {
		return nil, fault.New(fault.Unreachable, "", "%s answered %s%s", where, answer.Status, p.quote(body))
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

func (p patient) quote(body []byte) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body), "")), " ")
	if p.secret != "" {
		text = strings.ReplaceAll(text, p.secret, "…")
	}
	if runes := []rune(text); len(runes) > maxQuoted {
		text = string(runes[:maxQuoted]) + "…"
	}
	if text == "" {
		return ""
	}
	return ": " + text
}
