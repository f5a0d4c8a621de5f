package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"

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
	runs := cmp.Or(b.runs, simulatedRuns)
	if err := requestsUntilAbort(ctx, runs); err != nil {
		return err
	}
	return untilAbort(ctx, runs)
}

// fresh is an analysis of errors at a rate of false aborts of 0.1 %, with a limit or without.
func fresh(limit, falseAbort float64) (*analysis.Analysis, error) {
	return analysis.New(analysis.Settings{FalseAbort: falseAbort, Questions: []analysis.Question{{Name: "errors", Bad: analysis.Failed, Max: limit}}})
}

// falseAborts counts aborted releases of which candidate and live fail alike: five minutes of 1 to 50 requests per second, 5, 20 or 50 % of the traffic,
// after a minute of live alone.
func falseAborts(ctx context.Context, releases int) error {
	var worst float64
	fmt.Printf("%-44s %10s %12s %12s\n", "healthy releases", "aborted", "of", "%")
	for row, c := range []struct {
		name  string
		r     simulation.Release
		about bool
	}{
		{"0.5 %, independent", simulation.Release{Live: 0.005}, true},
		{"0.5 %, bursts that both share", simulation.Release{Live: 0.005, Burst: 0.05, Shared: true}, true},
		{"0.5 %, drift", simulation.Release{Live: 0.005, Drift: 0.8}, true},
		{"no failures", simulation.Release{}, true},
		{"0.1 %, shared bursts", simulation.Release{Live: 0.001, Burst: 0.05, Shared: true}, true},
		{"1 %, shared bursts and drift", simulation.Release{Live: 0.01, Burst: 0.05, Shared: true, Drift: 0.8}, true},
		{"5 %, independent", simulation.Release{Live: 0.05}, true},
		{"5 %, shared bursts", simulation.Release{Live: 0.05, Burst: 0.05, Shared: true}, true},
		{"0.5 %, bursts of each slot by itself", simulation.Release{Live: 0.005, Burst: 0.05}, false},
	} {
		random := rand.New(rand.NewPCG(5, uint64(row)))
		aborted := 0
		for n := range releases {
			if err := ctx.Err(); err != nil {
				return err
			}
			r := c.r
			r.Candidate, r.Warm, r.Seconds = r.Live, 60, 300
			r.RPS, r.Share = []float64{1, 2, 5, 10, 20, 50}[n%6], []float64{0.05, 0.2, 0.5}[n/6%3]
			a, err := fresh(max(0.01, 2*r.Live), 0.001)
			if err != nil {
				return err
			}
			if r.Run(a, random, analysis.Abort).Decision == analysis.Abort {
				aborted++
			}
		}
		share := 100 * float64(aborted) / float64(releases)
		fmt.Printf("%-44s %10d %12d %12.3f\n", c.name, aborted, releases, share)
		if c.about {
			worst = max(worst, share)
		}
	}
	figure("analysis_false_abort_max_percent", worst, "%")
	return nil
}

// requestsUntilAbort counts the candidate's requests, with a read after each request of either slot and one test that has all of 0.1 %.
func requestsUntilAbort(ctx context.Context, runs int) error {
	var worst float64
	fmt.Printf("%-32s %8s %8s %8s %8s %8s\n", "mean requests / Wald's bound", "100 %", "50 %", "20 %", "5 %", "2 %")
	for row, c := range []struct {
		share   float64
		history int
		about   bool
	}{{0.05, 10_000, true}, {0.05, 0, false}, {0.01, 10_000, false}, {0.1, 10_000, false}, {0.2, 10_000, false}, {0.5, 10_000, false}} {
		fmt.Printf("%-32s", fmt.Sprintf("%g %% of traffic, live had %d", c.share*100, c.history))
		for column, p := range []float64{1, 0.5, 0.2, 0.05, 0.02} {
			random := rand.New(rand.NewPCG(uint64(row), uint64(column)))
			sum := 0
			for range runs {
				if err := ctx.Err(); err != nil {
					return err
				}
				// Without a limit the comparison has two thirds of the whole.
				a, err := fresh(0, 0.0015)
				if err != nil {
					return err
				}
				sum += simulation.EachRequest(a, random, c.share, 0.005, p, c.history, 20_000)
			}
			ratio := float64(sum) / float64(runs) / simulation.Wald(p, 0.005, 0.001, 0.05)
			if c.about {
				worst = max(worst, ratio)
			}
			fmt.Printf(" %8.3f", ratio)
		}
		fmt.Println()
	}
	figure("analysis_requests_vs_wald_max_ratio", worst, "")
	return nil
}
