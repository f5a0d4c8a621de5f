//go:build e2e

package traffic_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/traffic"
	"github.com/sluice-dev/sluice/test/load"
)

// users is a load that remembers which slot answered when.
type users struct {
	*load.Stream
	mu    sync.Mutex
	count map[string]int
	last  map[string]time.Time
}

func send(ctx context.Context, url string, rate int) *users {
	u := &users{count: map[string]int{}, last: map[string]time.Time{}}
	u.Stream = load.Start(ctx, load.Options{URL: url, Rate: rate, Good: func(status int, body []byte) bool {
		slot := strings.TrimSpace(string(body))
		u.mu.Lock()
		defer u.mu.Unlock()
		u.count[slot]++
		u.last[slot] = time.Now()
		return status == http.StatusOK && (slot == string(blue) || slot == string(green))
	}})
	return u
}

// during counts the answers of each slot in the time from now on.
func (u *users) during(d time.Duration) map[string]int {
	u.mu.Lock()
	u.count = map[string]int{}
	u.mu.Unlock()
	time.Sleep(d)
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.count
}

func (u *users) lastOf(slot v1alpha1.Slot) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last[string(slot)]
}

// reach drives to a split as the rollout machine does; it returns how long that took.
func (p *place) reach(split v1alpha1.Split, generation int64) time.Duration {
	p.t.Helper()
	begin := time.Now()
	for end := begin.Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		state, err := p.router.Split(context.Background(), p.target)
		if err != nil {
			p.t.Fatal(err)
		}
		onPlan := state.Split.Equal(split) && !state.Transition
		if onPlan && state.Converged() {
			return time.Since(begin)
		}
		if !onPlan {
			if err := p.shift(split, generation); err != nil {
				p.t.Fatalf("shift to %s: %v", split, err)
			}
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s was never reached: %+v", split, state)
		}
	}
}

func (p *place) shift(split v1alpha1.Split, generation int64) error {
	return p.router.Shift(context.Background(), traffic.Shift{Target: p.target, Split: split, Generation: generation})
}

// answered asks once, with or without the header, and returns the slot that answered.
func (p *place) answered(withHeader bool) string {
	p.t.Helper()
	header := http.Header{}
	if withHeader {
		wanted := p.target.Header.OrDefault()
		header.Set(wanted.Name, wanted.Value)
	}
	return p.ask(p.url(), header)
}

func (p *place) ask(url string, header http.Header) string {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header = header
	resp, err := load.Client(10 * time.Second).Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var slot string
	_, _ = fmt.Fscan(resp.Body, &slot)
	return slot
}

// TestSwitchUnderLoad promotes, takes back at every step and is killed between any two writes, while users and callers inside the
// cluster send 200 requests a second each: none may fail.
func TestSwitchUnderLoad(t *testing.T) {
	for _, kind := range []v1alpha1.Router{v1alpha1.RouterNginx, v1alpha1.RouterGateway, v1alpha1.RouterService} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPlace(t, kind, 2*time.Second)
			p.reach(v1alpha1.Only(blue), 1)
			service, err := p.client.CoreV1().Services(p.target.Namespace).Get(context.Background(), "shop-web", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			streams := map[string]*users{"callers": send(t.Context(), "http://"+service.Spec.ClusterIP+"/", 200)}
			if kind != v1alpha1.RouterService {
				p.control()
				p.until("the entry serves blue", func() bool { return p.answered(false) == "blue" && p.ask(p.url("control."), nil) == "blue" })
				streams["control"] = send(t.Context(), p.url("control."), 50)
				streams["users"] = send(t.Context(), p.url(), 200)
				p.canary(streams["users"])
				p.takeBack(streams["users"])
			}
			p.killed()
			for name, stream := range streams {
				result := stream.Stop()
				t.Logf("%s of %s: %s", name, kind, result)
				switch {
				case result.Failed == 0:
				case name == "control":
					t.Errorf("requests that no switch touches were lost as well: the machine does not carry the load (%s to %s)", result.FirstBad, result.LastBad)
				default:
					t.Errorf("%s of %s lost %d of %d requests, %s to %s: %v", name, kind, result.Failed, result.Requests,
						result.FirstBad.Format("15:04:05.000"), result.LastBad.Format("15:04:05.000"), result.Reasons)
				}
			}
		})
	}
}

// canary goes through steps and looks at what users get.
func (p *place) canary(u *users) {
	p.t.Helper()
	for _, weight := range []int{0, 5, 50} {
		p.reach(v1alpha1.Between(blue, green, weight), 2)
		led := map[string]int{}
		for range 20 {
			led[p.answered(true)]++
		}
		if led["green"] != 20 {
			p.t.Errorf("at weight %d the header leads to %v", weight, led)
		}
		got := u.during(3 * time.Second)
		percent := 100 * got["green"] / max(1, got["green"]+got["blue"])
		p.t.Logf("weight %d: %v", weight, got)
		if low, high := weight*8/10-1, weight*12/10+1; percent < low || percent > high {
			p.t.Errorf("at weight %d green answers %d %% (%v)", weight, percent, got)
		}
	}
	took := p.reach(v1alpha1.Only(green), 2)
	p.t.Logf("promotion to converged: %.1f s", took.Seconds())
	if got := u.during(time.Second); got["blue"] > 0 {
		p.t.Errorf("after the promotion blue still answers: %v", got)
	}
}

// takeBack measures how long users still get the bad slot after the decision, from everywhere a rollout can be.
func (p *place) takeBack(u *users) {
	p.t.Helper()
	for _, weight := range []int{50, 100} {
		split := v1alpha1.Only(green)
		if weight < 100 {
			split = v1alpha1.Between(blue, green, weight)
		}
		p.reach(v1alpha1.Only(blue), 3)
		p.reach(split, 3)
		decision := time.Now()
		took := p.reach(v1alpha1.Only(blue), 3)
		u.during(time.Second)
		p.t.Logf("shift back from weight %d: last answer of the bad slot after %.3f s, converged after %.1f s",
			weight, u.lastOf(green).Sub(decision).Seconds(), took.Seconds())
		if !u.lastOf(green).Before(decision.Add(took)) {
			p.t.Errorf("the bad slot answered after the router called the way back converged")
		}
	}
}

// killed dies after every number of writes on the way to a slot, goes on under the next generation, and comes back.
func (p *place) killed() {
	p.t.Helper()
	generation := int64(10)
	for n, died := 0, true; died; n, generation = n+1, generation+2 {
		p.reach(v1alpha1.Only(blue), generation)
		if p.kind != v1alpha1.RouterService {
			p.reach(v1alpha1.Between(blue, green, 0), generation)
		}
		died = p.die(v1alpha1.Only(green), n, generation)
		p.reach(v1alpha1.Only(green), generation+1)
		p.t.Logf("killed after %d writes: %t, went on", n, died)
	}
}

func (p *place) die(split v1alpha1.Split, n int, generation int64) bool {
	p.allow(n)
	defer p.allow(-1)
	for {
		state, err := p.router.Split(context.Background(), p.target)
		if err != nil {
			p.t.Fatal(err)
		}
		if state.Split.Equal(split) && !state.Transition {
			return false
		}
		if err := p.shift(split, generation); err != nil {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
}
