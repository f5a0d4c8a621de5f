package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/test/simulation"
)

// delay is how long an abort took.
type delay struct{ mean, p95, requests float64 }

// untilAbort counts the seconds of a candidate with 20 % of 200 requests per second, read three times a second as after a change of traffic, at
// 0.1 % for a release.
func untilAbort(ctx context.Context, runs int) error {
	rates := failing()
	rows := []struct {
		name  string
		limit float64
		r     simulation.Release
	}{
		{"live 0.5 %, max 1 %", 0.01, simulation.Release{Live: 0.005, Warm: 60}},
		{"the same, read once a second", 0.01, simulation.Release{Live: 0.005, Looks: 1, Warm: 60}},
		{"live 0.5 %, no limit", 0, simulation.Release{Live: 0.005, Warm: 60}},
		{"live 0.5 %, max 1 %, known 10 s", 0.01, simulation.Release{Live: 0.005, Warm: 10}},
		{"live 0.5 %, shared bursts, max 1 %", 0.01, simulation.Release{Live: 0.005, Burst: 0.05, Shared: true, Warm: 60}},
		{"live without failures, max 1 %", 0.01, simulation.Release{Warm: 60}},
	}
	delays := make([][len(rates)]delay, len(rows))
	err := inParallel(ctx, len(rows)*len(rates), func(ctx context.Context, cell int) error {
		row, column := cell/len(rates), cell%len(rates)
		random := rand.New(rand.NewPCG(uint64(row), uint64(column)))
		var times []float64
		var sum, requests float64
		for range runs {
			if err := ctx.Err(); err != nil {
				return err
			}
			r := rows[row].r
			r.Candidate, r.RPS, r.Share, r.Seconds, r.Looks = rates[column], 40, 0.2, 3600, cmp.Or(r.Looks, 3)
			a, err := fresh(rows[row].limit, 0.001)
			if err != nil {
				return err
			}
			out := r.Run(a, random, analysis.Abort)
			times, sum, requests = append(times, out.Seconds), sum+out.Seconds, requests+float64(out.Requests)
		}
		delays[row][column] = delay{sum / float64(runs), p95(times), requests / float64(runs)}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("%-36s %15s %15s %15s %15s %15s\n", "seconds until abort: mean (p95) requests", "100 %", "50 %", "20 %", "5 %", "2 %")
	for row, c := range rows {
		fmt.Printf("%-36s", c.name)
		for _, d := range delays[row] {
			fmt.Printf(" %15s", fmt.Sprintf("%.1f (%.1f) %.0f", d.mean, d.p95, d.requests))
		}
		fmt.Println()
	}
	references(rates[:], runs)
	for column, name := range []string{"100pct", "50pct", "20pct", "5pct", "2pct"} {
		figure("analysis_abort_"+name+"_mean_s", delays[0][column].mean, "s")
		figure("analysis_abort_"+name+"_p95_s", delays[0][column].p95, "s")
	}
	return nil
}

// references are what tests need that are told both rates: the quickest one on average, and the least that any can do.
func references(rates []float64, runs int) {
	fmt.Printf("%-36s", "Wald's test, told both rates")
	for column, p := range rates {
		random := rand.New(rand.NewPCG(9, uint64(column)))
		var times []float64
		sum := 0
		for range runs {
			took := simulation.WaldSeconds(random, p, 0.005, 0.001, 40)
			times, sum = append(times, float64(took)), sum+took
		}
		fmt.Printf(" %15s", fmt.Sprintf("%.1f (%.0f)", float64(sum)/float64(runs), p95(times)))
	}
	fmt.Printf("\n%-36s", "p95 of any test, in requests")
	for _, p := range rates {
		fmt.Printf(" %15d", simulation.FewestRequests(p, 0.005, 0.001, 0.95))
	}
	fmt.Println()
}

func p95(times []float64) float64 {
	slices.Sort(times)
	return times[len(times)*95/100]
}
