package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/test/load"
)

// exitRolledBack is what a deployment ends with that was taken back.
const exitRolledBack = 4

// users remember what a candidate answered them.
type users struct {
	version []byte

	mu sync.Mutex
	// first and last are when its bad answers came, bad how many of all.
	first, last time.Time
	bad, all    int
	// lost counts answers of nobody.
	lost int
}

func (u *users) good(status int, body []byte) bool {
	now := time.Now()
	bad := status != http.StatusOK || bytes.Contains(body, []byte(`"slow":true`))
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case !bytes.Contains(body, []byte(`"version":"`)):
		u.lost++
		return false
	case !bytes.Contains(body, u.version):
		return true
	}
	u.all++
	if bad {
		if u.bad++; u.first.IsZero() {
			u.first = now
		}
		u.last = now
	}
	return true
}

// under deploys a candidate under load, and returns what users saw, the exit code, and what the command printed.
func (x *exposition) under(ctx context.Context, c exposed) (*users, int, string, error) {
	u := &users{version: []byte(`"version":"` + c.version + `"`)}
	stream := load.Start(ctx, load.Options{URL: x.url(x.project), Address: x.entryOf(c), Rate: 200, Good: u.good})
	cmd := exec.CommandContext(ctx, x.bin, "deploy", "app:"+c.version, "--env", "bench")
	cmd.Dir = x.dir
	out, err := cmd.CombinedOutput()
	result := stream.Stop()
	if code := new(exec.ExitError); err != nil && !errors.As(err, &code) {
		return u, 0, string(out), err
	}
	// Good has seen every answer that came; what did not come is lost too.
	u.lost = result.Failed
	x.lost += result.Failed
	if result.Failed > 0 {
		fmt.Printf("%s %s: lost: %s\n", c.name, x.router, result)
	}
	return u, cmd.ProcessState.ExitCode(), string(out), ctx.Err()
}

// bad releases a candidate that must be taken back.
func (x *exposition) bad(ctx context.Context, c exposed, n int) error {
	crashed := func() time.Time { return time.Time{} }
	if c.name == crashLoop {
		var err error
		if crashed, err = x.firstCrash(ctx); err != nil {
			return err
		}
	}
	u, code, out, err := x.under(ctx, c)
	first := crashed()
	if err != nil {
		return err
	}
	if code != exitRolledBack {
		return fmt.Errorf("run %d ended with exit code %d\n%s", n, code, out)
	}
	r, err := x.newest(ctx)
	if err != nil {
		return err
	}
	back := wayBack(r)
	switch {
	case c.name == crashLoop && first.IsZero():
		return fmt.Errorf("run %d: no crash was seen\n%s", n, out)
	case c.name == crashLoop:
		x.add(c.name, back.decided.Sub(first).Seconds())
		x.reached += u.all
		fmt.Printf("%s %s %d: given up %.2f s after the first crash, %d requests reached it: %s\n", c.name, x.router, n, back.decided.Sub(first).Seconds(), u.all, r.Cause)
	case u.bad == 0:
		return fmt.Errorf("run %d: users saw nothing of it\n%s", n, out)
	default:
		x.add(c.name, u.last.Sub(u.first).Seconds())
		fmt.Printf("%s %s %d: %.2f s, %d bad of %d answers; %s: %s\n", c.name, x.router, n, u.last.Sub(u.first).Seconds(), u.bad, u.all, back.since(u.first), r.Cause)
	}
	return nil
}

// back is when what took a candidate back happened: the read of the counters that showed it, the judgement, the record of the decision, the
// change of the routes.
type back struct{ read, judged, decided, shifted time.Time }

func wayBack(r v1alpha1.Rollout) back {
	var b back
	if r.Judgement != nil {
		b.read, b.judged = r.Judgement.Until, r.Judgement.At
	}
	for _, e := range r.History {
		if e.Phase != v1alpha1.RollingBack {
			continue
		}
		if b.decided.IsZero() {
			b.decided = e.At
		}
		if e.Action == "Shift" && b.shifted.IsZero() {
			b.shifted = e.At
		}
	}
	return b
}

// since says it in seconds after a moment.
func (b back) since(begin time.Time) string {
	after := func(t time.Time) float64 { return t.Sub(begin).Seconds() }
	return fmt.Sprintf("read %+.2f, judged %+.2f, recorded %+.2f, shift %+.2f s after the first", after(b.read), after(b.judged), after(b.decided), after(b.shifted))
}

// good releases a candidate that fails no more than live does.
func (x *exposition) good(ctx context.Context, c exposed) error {
	u, code, out, err := x.under(ctx, c)
	if err != nil {
		return err
	}
	x.released++
	switch code {
	case 0:
	case exitRolledBack:
		x.aborted++
		r, err := x.newest(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%s %s was taken back: %s\n%s\n", c.name, x.router, r.Cause, strings.Join(r.Evidence, "\n"))
	default:
		return fmt.Errorf("a healthy release ended with exit code %d\n%s", code, out)
	}
	fmt.Printf("%s %s %d: exit code %d, %d bad of %d answers\n", c.name, x.router, x.released, code, u.bad, u.all)
	return nil
}

// newest is the record of the newest rollout.
func (b *bed) newest(ctx context.Context) (v1alpha1.Rollout, error) {
	r, err := b.sluice(ctx, "history", "app", "--env", "bench", "-o", "json")
	if err != nil {
		return v1alpha1.Rollout{}, err
	}
	var doc struct {
		Rollouts []v1alpha1.Rollout `json:"rollouts"`
	}
	at := strings.Index(r.out, "{")
	if at < 0 {
		return v1alpha1.Rollout{}, fmt.Errorf("history -o json printed no document: %s", r.out)
	}
	if err := json.NewDecoder(strings.NewReader(r.out[at:])).Decode(&doc); err != nil {
		return v1alpha1.Rollout{}, fmt.Errorf("history -o json: %w", err)
	}
	if len(doc.Rollouts) == 0 {
		return v1alpha1.Rollout{}, fmt.Errorf("there is no rollout: %s", r.out)
	}
	return doc.Rollouts[0], nil
}

// firstCrash watches the pods that come from now on. What it returns ends the watch and tells when the first of their containers crashed, in
// whole seconds as the kubelet says it: up to one second too early, so that what is counted from there is never too short.
func (x *exposition) firstCrash(ctx context.Context) (func() time.Time, error) {
	config, err := clientcmd.BuildConfigFromFlags("", x.Kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	pods := client.CoreV1().Pods("bench-" + x.project.name)
	begin, seen, done := time.Now().Truncate(time.Second), time.Time{}, make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			// What cannot be read now is read the next time.
			list, err := pods.List(ctx, metav1.ListOptions{})
			if err == nil {
				if at := crashOf(list, begin); !at.IsZero() && (seen.IsZero() || at.Before(seen)) {
					seen = at
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	return func() time.Time { cancel(); <-done; return seen }, nil
}

// crashOf is the first crash among pods that are no older than begin.
func crashOf(list *corev1.PodList, begin time.Time) time.Time {
	var first time.Time
	for _, pod := range list.Items {
		if pod.CreationTimestamp.Time.Before(begin) {
			continue
		}
		for _, s := range pod.Status.ContainerStatuses {
			for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
				if t != nil && t.ExitCode != 0 && (first.IsZero() || t.FinishedAt.Time.Before(first)) {
					first = t.FinishedAt.Time
				}
			}
		}
	}
	return first
}
