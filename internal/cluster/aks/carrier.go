package aks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	// commands is how many may be under way at once: the one that renews a lock must not wait for a long one.
	commands = 3
	// gather is how long a request waits for others that come with it.
	gather = 50 * time.Millisecond
	// most and mostBytes bound what one command carries. How much Azure takes is not documented; it refuses what is too much.
	most      = 64
	mostBytes = 1 << 20
)

// carrier carries requests to an API server by the run-command API: those that wait at the same time by one command.
type carrier struct {
	arm *manager
	// token is for the cluster; nil where Azure signs in by itself.
	token func(ctx context.Context) (string, time.Time, error)
	clock variables.Clock

	mu      sync.Mutex
	waiting []*parcel
	running int
}

// parcel is a request on its way.
type parcel struct {
	ctx     context.Context
	request *http.Request
	text    []byte
	writes  bool
	// alone is one whose answer had no room beside others.
	alone bool
	done  chan outcome
}

type outcome struct {
	response *http.Response
	err      error
}

var _ http.RoundTripper = (*carrier)(nil)

func newCarrier(arm *manager, token func(context.Context) (string, time.Time, error), clock variables.Clock) *carrier {
	return &carrier{arm: arm, token: token, clock: clock}
}

// RoundTrip sends a request and waits for its answer, which takes seconds. Watches, upgraded connections and what never ends cannot be carried.
func (c *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	p, err := pack(r)
	if err != nil {
		return nil, err
	}
	c.enqueue(p)
	select {
	case o := <-p.done:
		return o.response, o.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// pack writes a request down as it goes over the wire. It bears no credentials: where it is sent it gets some.
func pack(r *http.Request) (*parcel, error) {
	op := r.Method + " " + r.URL.Path
	query := r.URL.Query()
	for _, endless := range []string{"watch", "follow"} {
		if v := query.Get(endless); v != "" && v != "0" && v != "false" {
			return nil, discard(r, fault.New(fault.Fatal, op, "cannot be carried by the run-command API: %s has no end", endless))
		}
	}
	if r.Header.Get("Upgrade") != "" {
		return nil, discard(r, fault.New(fault.Fatal, op, "cannot be carried by the run-command API: it needs a connection that stays open"))
	}
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		if closed := r.Body.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return nil, err
		}
	}
	out := r.Clone(r.Context())
	out.Header.Del("Authorization")
	out.Header.Set("Accept-Encoding", "identity")
	out.Host, out.Close = "localhost", true
	out.Body, out.ContentLength, out.TransferEncoding = http.NoBody, int64(len(body)), nil
	if len(body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	var text bytes.Buffer
	if err := out.Write(&text); err != nil {
		return nil, err
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	return &parcel{ctx: r.Context(), request: r, text: text.Bytes(), writes: !reads, done: make(chan outcome, 1)}, nil
}

// discard closes what would have been sent, as whoever takes a request must.
func discard(r *http.Request, err error) error {
	if r.Body != nil {
		_ = r.Body.Close() // nothing was read of it
	}
	return err
}

func (c *carrier) enqueue(p *parcel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, p)
	if c.running < commands {
		c.running++
		go c.run()
	}
}

// run carries what waits until nothing does.
func (c *carrier) run() {
	for {
		// That the wait was cut short would only make a batch smaller.
		_ = c.clock.Wait(context.Background(), gather)
		batch := c.take()
		if batch == nil {
			return
		}
		c.deliver(batch)
	}
}

// take takes from the queue what one command carries; nil ends the runner.
func (c *carrier) take() []*parcel {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = slices.DeleteFunc(c.waiting, func(p *parcel) bool { return p.ctx.Err() != nil })
	if len(c.waiting) == 0 {
		c.running--
		return nil
	}
	n, size := 0, 0
	for n < len(c.waiting) && n < most {
		p := c.waiting[n]
		if size += len(p.text); n > 0 && (size > mostBytes || p.alone || c.waiting[0].alone) {
			break
		}
		n++
	}
	batch := slices.Clone(c.waiting[:n])
	c.waiting = slices.Delete(c.waiting, 0, n)
	// The answers to writes come first: they cannot be asked for again where they find no room.
	slices.SortStableFunc(batch, func(a, b *parcel) int {
		if a.writes == b.writes {
			return 0
		} else if a.writes {
			return -1
		}
		return 1
	})
	return batch
}

// deliver carries a batch and tells each request how it went.
func (c *carrier) deliver(batch []*parcel) {
	// One that gives up must not end the others.
	answers, err := c.carry(context.WithoutCancel(batch[0].ctx), batch)
	for i, p := range batch {
		if err != nil {
			p.done <- outcome{err: err}
			continue
		}
		response, err := answers[i].response(p.request)
		var large *tooLarge
		if errors.As(err, &large) && !p.writes && len(batch) > 1 {
			p.alone = true
			c.enqueue(p)
			continue
		}
		if err != nil {
			err = describe(p, err)
		}
		p.done <- outcome{response, err}
	}
}

// describe names the request that failed, and what is known of it.
func describe(p *parcel, err error) error {
	op := "carry " + p.request.Method + " " + p.request.URL.Path
	var large *tooLarge
	if !errors.As(err, &large) {
		return fault.Wrap(fault.Unreachable, op, err)
	}
	f := fault.Wrap(fault.Fatal, op, err)
	var e *fault.Error
	if errors.As(f, &e) {
		was := ""
		if p.writes {
			was = "it was done; "
		}
		return e.WithHint("%sreach the API server by its network, for example from a self-hosted agent", was)
	}
	return f
}

// tooLarge is an answer for which there is no room in the log of a command.
type tooLarge struct{ size int }

func (t *tooLarge) Error() string {
	return fmt.Sprintf("the answer has %d bytes, compressed, and the run-command API gives out %d at most", t.size, room)
}

// problem is the text of a command that did not do its work, for people.
func problem(logs string) string {
	var said []string
	for line := range strings.Lines(logs) {
		// What is encrypted says nothing.
		if line = strings.TrimSpace(line); line != "" && len(line) < 300 {
			said = append(said, line)
		}
	}
	if len(said) > 5 {
		said = said[len(said)-5:]
	}
	return oneLine(strings.Join(said, " "))
}
