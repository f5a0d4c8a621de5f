package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	liveInterval = 200 * time.Millisecond
	heartbeat    = 30 * time.Second
)

// reporter shows progress: a live line on a terminal, one line per change and a heartbeat in a log.
type reporter struct {
	out   io.Writer
	live  bool
	clock func() time.Time
	start time.Time

	mu      sync.Mutex
	current string
	since   time.Time
	spoken  time.Time
	count   int

	stop func()
}

func newReporter(out io.Writer, clock func() time.Time) *reporter {
	now := clock()
	r := &reporter{out: out, live: isTerminal(out), clock: clock, start: now, since: now, spoken: now}
	done := make(chan struct{})
	finished := make(chan struct{})
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			close(done)
			<-finished
			r.clear()
		})
	}
	go func() {
		defer close(finished)
		ticker := time.NewTicker(liveInterval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				r.tick()
			}
		}
	}()
	return r
}

// Close ends the live line; it may be called twice.
func (r *reporter) Close() { r.stop() }

// Building is called when the build of a part begins.
func (r *reporter) Building(name string, number, of int) {
	r.begin(fmt.Sprintf("build %s (%d of %d)", name, number, of))
}

// Advanced is called with the number of packages compiled and modules fetched.
func (r *reporter) Advanced(count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count = count
}

// Built is called when the build of a part ends.
func (r *reporter) Built(name string, took time.Duration) {
	r.line(fmt.Sprintf("built %s in %s", name, took.Round(time.Second)))
}

// Step says what is done next.
func (r *reporter) Step(text string) { r.begin(text) }

// Warn says what went wrong without stopping anything.
func (r *reporter) Warn(text string) { r.line("warning: " + text) }

func (r *reporter) begin(text string) {
	r.mu.Lock()
	r.current, r.since, r.count = text, r.clock(), 0
	r.mu.Unlock()
	if !r.live {
		r.line(text)
	}
}

// line writes a line that stays.
func (r *reporter) line(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock()
	r.spoken = now
	if r.live {
		fmt.Fprintf(r.out, "\r\x1b[K%s\n", text)
		return
	}
	fmt.Fprintf(r.out, "%s %s\n", now.UTC().Format(time.RFC3339), text)
}

func (r *reporter) tick() {
	r.mu.Lock()
	now := r.clock()
	text := r.current + " · " + now.Sub(r.since).Round(time.Second).String()
	if r.count > 0 {
		text += fmt.Sprintf(" · %d packages and modules", r.count)
	}
	late := now.Sub(r.spoken) >= heartbeat
	if r.live && r.current != "" {
		fmt.Fprintf(r.out, "\r\x1b[K%s", text)
	}
	r.mu.Unlock()
	if !r.live && late {
		r.line(text)
	}
}

func (r *reporter) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live {
		fmt.Fprint(r.out, "\r\x1b[K")
	}
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
