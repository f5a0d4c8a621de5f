package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/test/load"
)

// shiftRuns is how many rollbacks are timed per router.
const shiftRuns = 3

// shiftBack times, under 200 requests/s with half of them at the candidate, how long after the decision to roll back the candidate still answers.
func shiftBack(ctx context.Context, b *bed) error {
	for _, router := range []string{"gateway", "nginx"} {
		p := project{
			name: "shift-" + router, router: router,
			strategy: fmt.Sprintf("{canary: {traffic: {%s: {}}, steps: [{weight: 0}, {weight: 50, hold: 2m}, {weight: 100}]}}", router),
		}
		times, err := b.shiftBackBy(ctx, p)
		b.remove(p)
		if err != nil {
			return err
		}
		figure("shift_back_"+router+"_s", median(times), "s")
	}
	return nil
}

func (b *bed) shiftBackBy(ctx context.Context, p project) ([]float64, error) {
	if err := b.write(p); err != nil {
		return nil, err
	}
	args, err := b.release(ctx, "1.0.0")
	if err != nil {
		return nil, err
	}
	if _, err := b.sluice(ctx, args...); err != nil {
		return nil, err
	}
	var times []float64
	for i := range shiftRuns {
		version := fmt.Sprintf("2.%d.0", i)
		args, err := b.release(ctx, version)
		if err != nil {
			return nil, err
		}
		took, err := b.oneShiftBack(ctx, p, version, args)
		if err != nil {
			return nil, err
		}
		times = append(times, took)
	}
	return times, nil
}

// watcher remembers when a version last answered.
type watcher struct {
	mu      sync.Mutex
	version []byte
	last    time.Time
	count   int
}

func (w *watcher) good(status int, body []byte) bool {
	if bytes.Contains(body, w.version) {
		w.mu.Lock()
		w.last, w.count = time.Now(), w.count+1
		w.mu.Unlock()
	}
	return status == http.StatusOK
}

func (w *watcher) seen() (time.Time, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, w.count
}

func (b *bed) oneShiftBack(ctx context.Context, p project, version string, args []string) (float64, error) {
	w := &watcher{version: []byte(`"version":"` + version + `"`)}
	stream := load.Start(ctx, load.Options{URL: b.url(p), Rate: 200, Good: w.good})
	defer stream.Stop()
	cmd := exec.CommandContext(ctx, b.bin, args...)
	cmd.Dir = b.dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for _, count := w.seen(); count < 200; _, count = w.seen() {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	if _, err := b.sluice(ctx, "abort", "app", "--env", "bench"); err != nil {
		return 0, err
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 4 {
		return 0, fmt.Errorf("the aborted deployment ended with exit code %d\n%s", code, &out)
	}
	decided, err := b.decision(ctx)
	if err != nil {
		return 0, err
	}
	last, _ := w.seen()
	return max(0, last.Sub(decided).Seconds()), nil
}

// decision is when the newest rollout entered RollingBack.
func (b *bed) decision(ctx context.Context) (time.Time, error) {
	r, err := b.newest(ctx)
	if err != nil {
		return time.Time{}, err
	}
	for _, e := range r.History {
		if e.Phase == v1alpha1.RollingBack {
			return e.At, nil
		}
	}
	return time.Time{}, fmt.Errorf("the newest rollout was not rolled back: it is in %s", r.Phase)
}

// demoWarm times the whole demo with everything built and the cluster up.
func demoWarm(ctx context.Context, b *bed) error {
	cmd := exec.CommandContext(ctx, "go", "run", "./test/demo")
	cmd.Dir = b.root
	begin := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	figure("demo_warm_s", time.Since(begin).Seconds(), "s")
	return nil
}
