// Package load sends an open-loop stream of requests and counts what users would have noticed; it must not slow down when answers do.
package load

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
	"sync"
	"time"
)

// Options of a stream.
type Options struct {
	URL string
	// Rate in requests per second, sent by the clock whether or not earlier ones were answered.
	Rate int
	// Timeout of one request; a request without an answer by then has failed. Default 10s.
	Timeout time.Duration
	Header  http.Header
	// Address is where to connect, whatever the URL's host resolves to. Default: what it resolves to.
	Address string
	// Good says whether an answer is the one users expect. Default: status 200.
	Good func(status int, body []byte) bool
}

// Stream is a running load.
type Stream struct {
	o      Options
	client *http.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	result Result
}

// Result counts a stream's requests.
type Result struct {
	Requests int
	Failed   int
	// Reasons counts the failures by what happened.
	Reasons map[string]int
	// FirstBad and LastBad are when failed answers came in.
	FirstBad, LastBad time.Time
	// Latencies of good answers, sorted.
	Latencies []time.Duration
	Seconds   float64
}

// Start begins a stream; Stop ends it.
func Start(ctx context.Context, o Options) *Stream {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Good == nil {
		o.Good = func(status int, _ []byte) bool { return status == http.StatusOK }
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Stream{o: o, cancel: cancel, done: make(chan struct{}), client: client(o.Timeout, o.Address)}
	s.result.Reasons = map[string]int{}
	go s.run(ctx)
	return s
}

// Client resolves *.localhost to loopback, as browsers do.
func Client(timeout time.Duration) *http.Client { return client(timeout, "") }

func client(timeout time.Duration, always string) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 512,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, port, err := net.SplitHostPort(address)
				switch {
				case always != "":
					address = always
				case err == nil && strings.HasSuffix(host, ".localhost"):
					address = net.JoinHostPort("127.0.0.1", port)
				}
				return dialer.DialContext(ctx, network, address)
			},
		},
	}
}

func (s *Stream) run(ctx context.Context) {
	defer close(s.done)
	start := time.Now()
	interval := time.Second / time.Duration(s.o.Rate)
	var flights sync.WaitGroup
	for i := 0; ; i++ {
		due := start.Add(time.Duration(i) * interval)
		if wait := time.Until(due); wait > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
		if ctx.Err() != nil {
			break
		}
		flights.Go(s.send)
	}
	flights.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Seconds = time.Since(start).Seconds()
	slices.Sort(s.result.Latencies)
}

func (s *Stream) send() {
	begin := time.Now()
	reason := s.once()
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Requests++
	if reason == "" {
		s.result.Latencies = append(s.result.Latencies, now.Sub(begin))
		return
	}
	s.result.Failed++
	s.result.Reasons[reason]++
	if s.result.FirstBad.IsZero() {
		s.result.FirstBad = now
	}
	s.result.LastBad = now
}

// once sends one request and returns what was wrong with the answer, or "".
func (s *Stream) once() string {
	req, err := http.NewRequest(http.MethodGet, s.o.URL, nil)
	if err != nil {
		return err.Error()
	}
	for name, values := range s.o.Header {
		req.Header[name] = values
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return shorten(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return shorten(err)
	case !s.o.Good(resp.StatusCode, body):
		return fmt.Sprintf("status %d: %.60s", resp.StatusCode, strings.TrimSpace(string(body)))
	}
	return ""
}

func shorten(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// Snapshot is the result so far.
func (s *Stream) Snapshot() Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.result
	r.Reasons = map[string]int{}
	for k, v := range s.result.Reasons {
		r.Reasons[k] = v
	}
	r.Latencies = nil
	return r
}

// Stop ends the stream, waits for the answers under way and returns the result.
func (s *Stream) Stop() Result {
	s.cancel()
	<-s.done
	return s.result
}

// BadFor is the time from the first to the last failed answer.
func (r Result) BadFor() time.Duration { return r.LastBad.Sub(r.FirstBad) }

func (r Result) String() string {
	text := fmt.Sprintf("%d requests in %.1f s, %d failed", r.Requests, r.Seconds, r.Failed)
	if len(r.Reasons) > 0 {
		text += fmt.Sprintf(" %v", r.Reasons)
	}
	return text
}
