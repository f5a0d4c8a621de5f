package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/test/load"
)

// rate of an audience's requests per second.
const rate = 200

// audience is the users of one environment during an act. Answers that fail on purpose are told apart from requests that were lost: the
// noise by its text, the fault of a version by its back end.
type audience struct {
	stream *load.Stream

	mu sync.Mutex
	seen
}

// seen is what users saw that was meant to fail.
type seen struct {
	// Noise counts what every version fails, Bad what only the broken one does, from the first to the last moment.
	Noise, Bad  int
	First, Last time.Time
}

// attend begins to use the service at an address.
func attend(ctx context.Context, base string) *audience {
	a := &audience{}
	a.stream = load.Start(ctx, load.Options{URL: base + "/api/calculate?number=221", Rate: rate, Good: a.expected})
	return a
}

// expected says whether an answer is right, or wrong on purpose.
func (a *audience) expected(status int, body []byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case status == http.StatusOK && bytes.Contains(body, []byte("[13,17]")):
		return true
	case status == http.StatusInternalServerError && bytes.Contains(body, []byte("failing on purpose")):
		a.Noise++
		return true
	case status == http.StatusBadGateway && bytes.Contains(body, []byte("answered 500")):
		now := time.Now()
		if a.Bad++; a.First.IsZero() {
			a.First = now
		}
		a.Last = now
		return true
	}
	return false
}

// leave ends the requests and says what users saw.
func (a *audience) leave() (load.Result, seen) {
	r := a.stream.Stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	return r, a.seen
}

// lasted is the time from the first to the last bad answer.
func (s seen) lasted() time.Duration { return s.Last.Sub(s.First) }

func (s seen) String() string {
	text := fmt.Sprintf("%d of them the noise of every version", s.Noise)
	if s.Bad > 0 {
		text += fmt.Sprintf("; the broken version failed %d, for %.1f s from the first to the last", s.Bad, s.lasted().Seconds())
	}
	return text
}
