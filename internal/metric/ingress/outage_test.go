package ingress_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/ingress"
	"github.com/sluice-dev/sluice/test/proxy"
)

// One of two replicas is away for a minute, and it is another process that comes back: what it served since it began is counted, and
// nothing of what went before is counted twice.
func TestReplicaAwayForAMinute(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		c := newClock()
		one, two := newController(t, c, "traefik"), newController(t, c, "traefik")
		s := bed(t, c, metric.Question{SlowerThan: 500 * time.Millisecond}, one, two)
		two.serve(blue, 1000, 100, 100)
		read(t, c, s)
		two.Always(proxy.Reset)
		for i := range 60 {
			one.serve(green, 1, 0, 0)
			r := read(t, c, s)
			if r.Slots[green].Requests != uint64(i+1) || r.Slots[blue].Requests != 0 || r.Lacking == "" {
				t.Fatalf("after %d s: %+v", i, r)
			}
			if restarts && i == 30 {
				two.restart()
			}
		}
		two.serve(blue, 5, 1, 2)
		two.Fault(nil)
		r := read(t, c, s)
		if got := r.Slots[blue]; got.Requests != 5 || got.Failed != 1 || got.Slow != 2 || r.Lacking != "" {
			t.Errorf("back, restarted %t: %+v, %q", restarts, got, r.Lacking)
		}
	}
}

// One of two replicas hangs: the other is waited for no longer because of it, and it is back as soon as it answers again, also where it
// only takes its time.
func TestReplicaHangs(t *testing.T) {
	c := newClock()
	one, two := newController(t, c, "traefik"), newController(t, c, "traefik")
	finder, err := ingress.URLs(nil, one.Server.URL, two.Server.URL)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ingress.New(ingress.Options{Finder: finder, Now: c.Now, AnswerTime: 6 * time.Second}).Source(subject(), metric.Question{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	one.serve(green, 9, 0, 0)
	read(t, c, s)
	two.Always(proxy.Reset)
	read(t, c, s)
	two.Always(two.Hang)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // an answer may take longer
	defer cancel()
	for i := range 3 {
		one.serve(green, 1, 0, 0)
		c.move(time.Second)
		if r, err := s.Read(ctx); err != nil || r.Slots[green].Requests != uint64(i+1) || r.Lacking == "" {
			t.Fatalf("it gave %+v, %v", r, err)
		}
	}
	two.serve(green, 4, 0, 0)
	two.Fault(func(_ int, r *http.Request) http.HandlerFunc {
		select {
		case <-r.Context().Done():
		case <-time.After(time.Second):
		}
		return nil
	})
	for range 10 {
		if r := read(t, c, s); r.Lacking == "" {
			if r.Slots[green].Requests != 7 {
				t.Errorf("back: %+v", r)
			}
			return
		}
	}
	t.Error("one that takes a second is never waited for again")
}

// The whole controller is away for a minute: that is being down at each look, and nothing is lost.
func TestAwayForAMinute(t *testing.T) {
	c := newClock()
	x := newController(t, c, "traefik")
	s := bed(t, c, metric.Question{}, x)
	x.serve(blue, 10, 0, 0)
	first := read(t, c, s)
	x.Always(proxy.Reset)
	for range 60 {
		c.move(time.Second)
		x.serve(blue, 2, 1, 0)
		if _, err := s.Read(t.Context()); !errors.Is(err, metric.ErrDown) || !fault.Is(err, fault.Unreachable) {
			t.Fatalf("it says %v", err)
		}
	}
	x.Fault(nil)
	r := read(t, c, s)
	if got := r.Slots[blue]; got.Requests != 120 || got.Failed != 60 || !r.Since.Equal(first.Since) || r.At.Sub(first.At) != 61*time.Second {
		t.Errorf("back: %+v, %s after %s", got, r.At, first.At)
	}
}

// The controller's clock may be days from that of the reader: only whether the process is the same is taken from it.
func TestClocksApart(t *testing.T) {
	for _, apart := range []time.Duration{-72 * time.Hour, 72 * time.Hour} {
		c := newClock()
		x := newController(t, c, "traefik")
		x.set(func() { x.born = x.born.Add(apart) })
		s := bed(t, c, metric.Question{}, x)
		x.serve(green, 50, 50, 0)
		read(t, c, s)
		x.serve(green, 3, 1, 0)
		if got := read(t, c, s).Slots[green]; got.Requests != 3 || got.Failed != 1 {
			t.Errorf("%s apart: %+v", apart, got)
		}
		x.restart()
		x.set(func() { x.born = x.born.Add(apart) })
		x.serve(green, 70, 0, 0)
		if got := read(t, c, s).Slots[green]; got.Requests != 73 || got.Failed != 1 {
			t.Errorf("%s apart, restarted: %+v", apart, got)
		}
	}
}
