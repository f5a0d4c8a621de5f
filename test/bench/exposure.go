package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/test/traefik"
)

const (
	// exposureRuns is how many bad releases are timed for each case and router.
	exposureRuns = 10
	// healthyRuns is how many healthy ones are released, half of them with each router.
	healthyRuns = 20
	exposedLive = "1.0.0"
	crashLoop   = "crashloop"
	healthyCase = "healthy"
)

// exposed is a candidate beside a live version that fails 0.5 % of its requests and is slow as often.
type exposed struct {
	name, version, env string
	// hold is how long it would have its share of the traffic if nobody noticed.
	hold time.Duration
	// asks replaces the question for errors.
	asks string
	// prompt is at an entry that applies changes at once, where the default is to gather them for two seconds.
	prompt bool
}

const asLive = "FAIL_SHARE: '0.005', SLOW_SHARE: '0.005'"

func exposedCandidates() []exposed {
	return []exposed{
		{name: "bad_100pct", version: "2.0.0", env: "FAIL_SHARE: '1'"},
		{name: "bad_100pct_100ms", version: "2.1.0", env: "FAIL_SHARE: '1'", prompt: true},
		{name: "bad_20pct", version: "3.0.0", env: "FAIL_SHARE: '0.2'"},
		{name: "bad_5pct", version: "4.0.0", env: "FAIL_SHARE: '0.05'"},
		{name: "bad_2pct", version: "5.0.0", env: "FAIL_SHARE: '0.02'", hold: 5 * time.Minute},
		{name: "slow_5pct", version: "6.0.0", env: "SLOW_SHARE: '0.05', FAIL_SHARE: '0.005'", asks: "slower: {than: 300ms}"},
		{name: crashLoop, version: "7.0.0", env: "CRASH: '1'"},
		{name: healthyCase, version: "8.0.0", env: asLive, hold: 20 * time.Second},
		{name: healthyCase, version: "8.1.0", env: asLive, hold: 20 * time.Second},
	}
}

// exposure times, for each router, for how long users get bad answers of a candidate that has 20 % of 200 requests/s, from the first to the
// last; how soon one that crashes is given up; and counts healthy ones that are taken back.
func exposure(ctx context.Context, b *bed) error {
	// The local cluster's own Traefik applies changes after 100 ms; this one gathers them, as is the default.
	gathering, err := traefik.New(ctx, traefik.Options{Bin: b.bin, Dir: b.dir, Gather: true})
	if err != nil {
		return err
	}
	defer gathering.Close()
	var all outcome
	for _, router := range b.routers {
		x := &exposition{bed: b, router: router, gathering: gathering, project: project{name: "exposure-" + router, router: router, env: asLive}}
		err := x.run(ctx)
		b.remove(x.project)
		if err != nil {
			return fmt.Errorf("%s: %w", router, err)
		}
		x.print("_" + router)
		all.join(x.outcome)
	}
	all.print("")
	return nil
}

// outcome is what was measured.
type outcome struct {
	// times in seconds by case.
	times             map[string][]float64
	released, aborted int
	// reached counts requests that crashing candidates answered, lost those that neither version answered.
	reached, lost int
}

func (o *outcome) add(name string, seconds float64) {
	if o.times == nil {
		o.times = map[string][]float64{}
	}
	o.times[name] = append(o.times[name], seconds)
}

func (o *outcome) join(other outcome) {
	for name, times := range other.times {
		for _, t := range times {
			o.add(name, t)
		}
	}
	o.released, o.aborted = o.released+other.released, o.aborted+other.aborted
	o.reached, o.lost = o.reached+other.reached, o.lost+other.lost
}

func (o *outcome) print(suffix string) {
	for _, name := range slices.Sorted(maps.Keys(o.times)) {
		times := slices.Sorted(slices.Values(o.times[name]))
		title, value := name+"_exposure_p95", times[int(math.Ceil(0.95*float64(len(times))))-1]
		if name == crashLoop {
			title, value = "crashloop_abort", times[len(times)-1]
			figure("crashloop_requests"+suffix, float64(o.reached), "requests")
		}
		fmt.Printf("%s%s: %d runs, median %.2f s, worst %.2f s\n", name, suffix, len(times), times[len(times)/2], times[len(times)-1])
		figure(title+suffix+"_s", value, "s")
	}
	if o.released > 0 {
		figure(fmt.Sprintf("healthy_aborted_of_%d%s", o.released, suffix), float64(o.aborted), "releases")
	}
	figure("exposure_lost"+suffix, float64(o.lost), "requests")
}

// exposition is one router's part: a live version that stays, and candidates one after the other.
type exposition struct {
	*bed
	outcome
	router  string
	project project
	// gathering is the entry with the throttle that is the default.
	gathering *traefik.Process
}

func (x *exposition) run(ctx context.Context) error {
	candidates := slices.DeleteFunc(exposedCandidates(), func(c exposed) bool {
		return len(x.cases) > 0 && !slices.Contains(x.cases, c.name)
	})
	for _, c := range append([]exposed{{version: exposedLive, env: asLive}}, candidates...) {
		if err := x.prepare(ctx, c); err != nil {
			return err
		}
	}
	if _, err := x.sluice(ctx, "deploy", "app:"+exposedLive, "--env", "bench"); err != nil {
		return err
	}
	for _, c := range candidates {
		if c.name == healthyCase {
			continue
		}
		for n := range cmp.Or(x.runs, exposureRuns) {
			if err := x.bad(ctx, c, n+1); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	if len(candidates) == 0 || candidates[len(candidates)-1].name != healthyCase {
		return nil
	}
	for n := range cmp.Or(x.runs, healthyRuns/2) {
		// In turn, because what is live already is not released again.
		if err := x.good(ctx, candidates[len(candidates)-1-n%2]); err != nil {
			return err
		}
	}
	return nil
}

// prepare builds the release of a candidate; what it does to its users is in its values.
func (x *exposition) prepare(ctx context.Context, c exposed) error {
	p := x.project
	if c.env != "" {
		p.env = c.env
	}
	hold := max(c.hold, time.Minute)
	if c.name == healthyCase {
		hold = c.hold
	}
	// A change that is written within two seconds of another one would wait for the throttle.
	p.strategy = fmt.Sprintf("{canary: {traffic: {%s: {}, convergence: 2s}, steps: [{weight: 0}, {weight: 20, hold: %s}, {weight: 100}]}}", x.router, hold)
	var asks []string
	if c.asks != "" {
		asks = append(asks, c.asks)
	}
	if !c.prompt {
		asks = append(asks, fmt.Sprintf("source: {ingress: {urls: ['%s']}}", x.gathering.Metrics))
	}
	// The first installation comes before the first user: nothing could be known of it.
	if c.version != exposedLive {
		p.analysis = "{" + strings.Join(asks, ", ") + "}"
	}
	if err := x.write(p); err != nil {
		return err
	}
	_, err := x.sluice(ctx, "build", "--version", c.version)
	return err
}

// entryOf is where users come in.
func (x *exposition) entryOf(c exposed) string {
	if c.prompt {
		return strings.TrimPrefix(strings.TrimSuffix(x.Entries[0], "/"), "http://")
	}
	return x.gathering.Address
}
