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

// release deploys a candidate under load, and returns what users saw, the exit code, and what the command printed.
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
	if c.name == "crashloop" {
		var err error
		if crashed, err = x.firstCrash(ctx); err != nil {
			return err
		}
	}
	u, code, out, err := x.under(ctx, c)
	if err != nil {
		return err
	}
	if code != 4 {
		return fmt.Errorf("run %d ended with exit code %d\n%s", n, code, out)
	}
	r, err := x.newest(ctx)
	if err != nil {
		return err
	}
	var decided, shifted time.Time
	for _, e := range r.History {
		switch {
		case e.Phase == v1alpha1.RollingBack && decided.IsZero():
			decided = e.At
		case e.Phase == v1alpha1.RollingBack && e.Action == "Shift" && shifted.IsZero():
			shifted = e.At
		}
	}
	if decided.IsZero() {
		return fmt.Errorf("run %d was not rolled back: %s\n%s", n, r.Phase, out)
	}
	if c.name == "crashloop" {
		first := crashed()
		if first.IsZero() {
			return fmt.Errorf("run %d: no crash was seen\n%s", n, out)
		}
		x.add(c.name, decided.Sub(first).Seconds())
		x.reached += u.all
		fmt.Printf("%s %s %d: given up %.2f s after the first crash, %d requests reached it: %s\n", c.name, x.router, n, decided.Sub(first).Seconds(), u.all, r.Cause)
		return nil
	}
	if u.bad == 0 {
		return fmt.Errorf("run %d: users saw nothing of it\n%s", n, out)
	}
	x.add(c.name, u.last.Sub(u.first).Seconds())
	after := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return fmt.Sprintf("%+.2f", t.Sub(u.first).Seconds())
	}
	var j v1alpha1.Judgement
	if r.Judgement != nil {
		j = *r.Judgement
	}
	fmt.Printf("%s %s %d: %.2f s, %d bad of %d answers; after the first one: read %s, judged %s, recorded %s, shift %s, last %s: %s\n", c.name, x.router, n,
		u.last.Sub(u.first).Seconds(), u.bad, u.all, after(j.Until), after(j.At), after(decided), after(shifted), after(u.last), r.Cause)
	return nil
}

// good releases a candidate that fails no more than live does.
func (x *exposition) good(ctx context.Context, c exposed) error {
	u, code, out, err := x.under(ctx, c)
	if err != nil {
		return err
	}
	x.healthy++
	switch code {
	case 0:
	case 4:
		x.aborted++
		r, err := x.newest(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%s %s was taken back: %s\n%s\n", c.name, x.router, r.Cause, strings.Join(r.Evidence, "\n"))
	default:
		return fmt.Errorf("a healthy release ended with exit code %d\n%s", code, out)
	}
	fmt.Printf("%s %s %d: exit code %d, %d bad of %d answers\n", c.name, x.router, x.healthy, code, u.bad, u.all)
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
			list, err := pods.List(ctx, metav1.ListOptions{})
			for i := range list.Items {
				for _, s := range list.Items[i].Status.ContainerStatuses {
					for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
						if err != nil || t == nil || t.ExitCode == 0 || list.Items[i].CreationTimestamp.Time.Before(begin) {
							continue
						}
						if at := t.FinishedAt.Time; seen.IsZero() || at.Before(seen) {
							seen = at
						}
					}
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
