package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/test/simulation"
)

// simulatedRuns is how many bad releases each figure of a row is the mean of.
const simulatedRuns = 1000

// analyse simulates healthy releases and bad ones, with fixed seeds.
func analyse(ctx context.Context, b *bed) error {
	if err := falseAborts(ctx, b.releases); err != nil {
		return err
	}
	if err := falseAbortsAlone(ctx, b.releases); err != nil {
		return err
	}
	runs := cmp.Or(b.runs, simulatedRuns)
	if err := requestsUntilAbort(ctx, runs); err != nil {
		return err
	}
	if err := untilAbort(ctx, runs); err != nil {
		return err
	}
	return untilAbortAlone(ctx, runs)
}

// inParallel does the rows of a table, each with random numbers of its own, so that it does not matter which is done first.
func inParallel(ctx context.Context, rows int, do func(ctx context.Context, row int) error) error {
	var all sync.WaitGroup
	errs, free := make([]error, rows), make(chan struct{}, runtime.GOMAXPROCS(0))
	for row := range rows {
		all.Go(func() {
			free <- struct{}{}
			errs[row] = do(ctx, row)
			<-free
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// fresh is an analysis of errors at a rate of false aborts of 0.1 %, with a limit or without.
func fresh(limit, falseAbort float64) (*analysis.Analysis, error) {
	return analysis.New(analysis.Settings{FalseAbort: falseAbort, Questions: []analysis.Question{{Name: "errors", Bad: analysis.Failed, Max: limit}}})
}

// healthy is a row of releases whose slots fail alike.
type healthy struct {
	name string
	r    simulation.Release
	// about says that the goal is about them.
	about bool
}

func healthyReleases() []healthy {
	return []healthy{
		{"0.5 %, independent", simulation.Release{Live: 0.005, Warm: 60}, true},
		{"0.5 %, bursts that both share", simulation.Release{Live: 0.005, Burst: 0.05, Shared: true, Warm: 60}, true},
		{"0.5 %, drift", simulation.Release{Live: 0.005, Drift: 0.8, Warm: 60}, true},
		{"no failures", simulation.Release{Warm: 60}, true},
		{"0.1 %, shared bursts", simulation.Release{Live: 0.001, Burst: 0.05, Shared: true, Warm: 60}, true},
		{"1 %, shared bursts and drift", simulation.Release{Live: 0.01, Burst: 0.05, Shared: true, Drift: 0.8, Warm: 60}, true},
		{"5 %, independent", simulation.Release{Live: 0.05, Warm: 60}, true},
		{"5 %, shared bursts", simulation.Release{Live: 0.05, Burst: 0.05, Shared: true, Warm: 60}, true},
		{"0.5 %, independent, live known for 8 s", simulation.Release{Live: 0.005, Warm: 8}, true},
		{"0.5 %, shared bursts, live known for 8 s", simulation.Release{Live: 0.005, Burst: 0.05, Shared: true, Warm: 8}, true},
		{"0.5 %, bursts of each slot by itself", simulation.Release{Live: 0.005, Burst: 0.05, Warm: 60}, false},
		{"the same, live known for 8 s", simulation.Release{Live: 0.005, Burst: 0.05, Warm: 8}, false},
		{"0.5 %, all of the candidate for 0.1 s", simulation.Release{Live: 0.005, Blip: 0.1, Warm: 60}, false},
		{"0.5 %, all of the candidate for 0.3 s", simulation.Release{Live: 0.005, Blip: 0.3, Warm: 60}, false},
	}
}

// falseAborts counts aborted releases of which candidate and live fail alike: five minutes of 1 to 50 requests per second, 5, 20 or 50 % of the traffic,
// after a time of live alone. They are read once a second, but four times in each of the first 15 seconds.
func falseAborts(ctx context.Context, releases int) error {
	all := healthyReleases()
	aborted, err := abortedOf(ctx, len(all), releases, 5, func(row, n int) (simulation.Release, float64) {
		r := all[row].r
		r.Candidate, r.Seconds, r.Looks = r.Live, 300, 4
		r.RPS, r.Share = []float64{1, 2, 5, 10, 20, 50}[n%6], []float64{0.05, 0.2, 0.5}[n/6%3]
		return r, max(0.01, 2*r.Live)
	})
	if err != nil {
		return err
	}
	var worst float64
	fmt.Printf("%-44s %10s %12s %12s\n", "healthy releases", "aborted", "of", "%")
	for row, c := range all {
		share := showAborted(c.name, aborted[row], releases)
		if c.about {
			worst = max(worst, share)
		}
	}
	figure("analysis_false_abort_max_percent", worst, "%")
	return nil
}

// abortedOf counts for each row how many of its releases are aborted; the n-th of a row is one with a limit.
func abortedOf(ctx context.Context, rows, releases int, seed uint64, release func(row, n int) (simulation.Release, float64)) ([]int, error) {
	aborted := make([]int, rows)
	return aborted, inParallel(ctx, rows, func(ctx context.Context, row int) error {
		random := rand.New(rand.NewPCG(seed, uint64(row)))
		for n := range releases {
			if err := ctx.Err(); err != nil {
				return err
			}
			r, limit := release(row, n)
			a, err := fresh(limit, 0.001)
			if err != nil {
				return err
			}
			if r.Run(a, random, analysis.Abort).Decision == analysis.Abort {
				aborted[row]++
			}
		}
		return nil
	})
}

// showAborted prints a row, and returns how many per cent were aborted.
func showAborted(name string, aborted, releases int) float64 {
	share := 100 * float64(aborted) / float64(releases)
	fmt.Printf("%-44s %10d %12d %12.3f\n", name, aborted, releases, share)
	return share
}

// comparisonAlone is the falseAbort at which the comparison of one question without a limit has 0.1 %: it has four fifths.
const comparisonAlone = 0.001 * 5 / 4

// requestsUntilAbort counts the candidate's requests, with a read after each request of either slot and one test that has all of 0.1 %. The
// row that the goal is about has all the runs, the others a fifth.
func requestsUntilAbort(ctx context.Context, runs int) error {
	rows := []struct {
		share   float64
		history int
	}{{0.05, 10_000}, {0.05, 0}, {0.01, 10_000}, {0.1, 10_000}, {0.2, 10_000}, {0.5, 10_000}}
	rates := failing()
	ratios := make([][5]float64, len(rows))
	err := inParallel(ctx, len(rows)*len(rates), func(ctx context.Context, cell int) error {
		row, column, runs := cell/len(rates), cell%len(rates), runs
		if row > 0 {
			runs = (runs + 4) / 5
		}
		random := rand.New(rand.NewPCG(uint64(row), uint64(column)))
		sum := 0
		for range runs {
			if err := ctx.Err(); err != nil {
				return err
			}
			a, err := fresh(0, comparisonAlone)
			if err != nil {
				return err
			}
			sum += simulation.EachRequest(a, random, rows[row].share, 0.005, rates[column], rows[row].history, 20_000)
		}
		ratios[row][column] = float64(sum) / float64(runs) / simulation.Wald(rates[column], 0.005, 0.001, 0.05)
		return nil
	})
	if err != nil {
		return err
	}
	var worst float64
	fmt.Printf("%-32s %8s %8s %8s %8s %8s\n", "mean requests / Wald's bound", "100 %", "50 %", "20 %", "5 %", "2 %")
	for row, c := range rows {
		fmt.Printf("%-32s", fmt.Sprintf("%g %% of traffic, live had %d", c.share*100, c.history))
		for _, ratio := range ratios[row] {
			fmt.Printf(" %8.3f", ratio)
			if row == 0 {
				worst = max(worst, ratio)
			}
		}
		fmt.Println()
	}
	figure("analysis_requests_vs_wald_max_ratio", worst, "")
	return nil
}

// failing are the rates of bad candidates.
func failing() [5]float64 { return [5]float64{1, 0.5, 0.2, 0.05, 0.02} }
