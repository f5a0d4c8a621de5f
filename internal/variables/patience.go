package variables

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Clock tells the time and lets it pass. Stores are given one, so that no test waits.
type Clock interface {
	Now() time.Time
	// Wait returns nil when d is over, or the context's error when that ends first.
	Wait(ctx context.Context, d time.Duration) error
}

// SystemClock is the clock of the machine.
type SystemClock struct{}

var _ Clock = SystemClock{}

// Now is the time of day.
func (SystemClock) Now() time.Time { return time.Now() }

// Wait lets d pass.
func (SystemClock) Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// How long a server is asked again: half a second, one and two apart, or as it says itself, up to what a person would still wait for.
const (
	attempts     = 4
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
)

// Later is why a server gave no answer now that may give one later.
type Later struct {
	// After is how long the server asks to wait; 0 where it does not say.
	After time.Duration
	Err   error
}

func (l *Later) Error() string { return l.Err.Error() }

// Unwrap returns why.
func (l *Later) Unwrap() error { return l.Err }

// Patiently calls ask until it returns anything but a Later, at most four times. The error says how often the server was asked. A
// server that wants more than 30 seconds is not waited for.
func Patiently(ctx context.Context, clock Clock, ask func(ctx context.Context) error) error {
	pause := firstPause
	for asked := 1; ; asked++ {
		err := ask(ctx)
		var later *Later
		switch {
		case !errors.As(err, &later) || ctx.Err() != nil:
			return err
		case later.After > longestPause:
			return fmt.Errorf("%w; it asks to come back in %s, and this waits for %s at most", err, later.After, longestPause)
		case asked == attempts:
			return fmt.Errorf("%w (asked %d times)", err, asked)
		}
		if err := clock.Wait(ctx, max(pause, later.After)); err != nil {
			return err
		}
		pause *= 2
	}
}

// RetryAfter reads the header of that name: seconds, or a date. It is 0 where there is none that can be read.
func RetryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := time.Parse(time.RFC1123, header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
