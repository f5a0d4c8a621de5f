package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/sluice-dev/sluice/test/simulation"
)

// alone is a row of releases after which the candidate has all traffic at once, as with blue/green.
type alone struct {
	name  string
	limit float64
	r     simulation.Release
}

func healthyAlone() []alone {
	return []alone{
		{"0.5 %, max 1 %, live known for 60 s", 0.01, simulation.Release{Live: 0.005, Warm: 60}},
		{"the same, live known for 10 s", 0.01, simulation.Release{Live: 0.005, Warm: 10}},
		{"0.95 %, max 1 %, 60 s", 0.01, simulation.Release{Live: 0.0095, Warm: 60}},
		{"0.5 %, max 1 %, bursts, 60 s", 0.01, simulation.Release{Live: 0.005, Burst: 0.05, Warm: 60}},
		{"0.5 %, max 1 %, bursts, 10 s", 0.01, simulation.Release{Live: 0.005, Burst: 0.05, Warm: 10}},
		{"0.95 %, max 1 %, bursts, 60 s", 0.01, simulation.Release{Live: 0.0095, Burst: 0.05, Warm: 60}},
		{"0.95 %, max 1 %, bursts, 10 s", 0.01, simulation.Release{Live: 0.0095, Burst: 0.05, Warm: 10}},
		{"0.1 %, max 1 %, bursts, 60 s", 0.01, simulation.Release{Live: 0.001, Burst: 0.05, Warm: 60}},
		{"0.5 %, max 1 %, bursts, drift, 60 s", 0.01, simulation.Release{Live: 0.005, Burst: 0.05, Drift: 0.8, Warm: 60}},
		{"5 %, max 5.5 %, bursts, 60 s", 0.055, simulation.Release{Live: 0.05, Burst: 0.05, Warm: 60}},
		{"0.95 %, max 1 %, bursts, no live slot", 0.01, simulation.Release{Live: 0.0095, Burst: 0.05}},
		{"0.5 %, no limit, bursts, 10 s", 0, simulation.Release{Live: 0.005, Burst: 0.05, Warm: 10}},
		{"0.5 %, max 1 %, all for 0.1 s, 60 s", 0.01, simulation.Release{Live: 0.005, Blip: 0.1, Warm: 60}},
		{"0.5 %, max 1 %, all for 0.3 s, 60 s", 0.01, simulation.Release{Live: 0.005, Blip: 0.3, Warm: 60}},
	}
}

// falseAbortsAlone counts aborted releases that are as live was, or within the limit: five minutes of 1 to 200 requests per second, read once a second, or
// three or four times in each of the first 15 seconds.
func falseAbortsAlone(ctx context.Context, releases int) error {
	all := healthyAlone()
	aborted, err := abortedOf(ctx, len(all), releases, 6, func(row, n int) (simulation.Release, float64) {
		r := all[row].r
		r.Candidate, r.Seconds, r.Share, r.Looks = r.Live, 300, 1, []int{1, 3, 4}[n/6%3]
		r.RPS = []float64{1, 5, 20, 50, 100, 200}[n%6]
		return r, all[row].limit
	})
	if err != nil {
		return err
	}
	var worst float64
	fmt.Printf("%-44s %10s %12s %12s\n", "healthy releases that take all traffic", "aborted", "of", "%")
	for row, c := range all {
		if share := showAborted(c.name, aborted[row], releases); c.r.Blip == 0 { // the goal is not about a moment in which all fail
			worst = max(worst, share)
		}
	}
	figure("analysis_alone_false_abort_max_percent", worst, "%")
	return nil
}

// untilAbortAlone counts the seconds of a candidate that has taken all traffic, read three times a second as after a change of traffic, at 0.1 %
// for a release.
func untilAbortAlone(ctx context.Context, runs int) error {
	rows := []struct {
		alone
		rps float64
	}{
		{alone{"200/s, max 1 %, live known for 60 s", 0.01, simulation.Release{Live: 0.005, Warm: 60}}, 200},
		{alone{"200/s, max 1 %, known for 10 s", 0.01, simulation.Release{Live: 0.005, Warm: 10}}, 200},
		{alone{"200/s, no limit, known for 60 s", 0, simulation.Release{Live: 0.005, Warm: 60}}, 200},
		{alone{"200/s, max 1 %, no live slot", 0.01, simulation.Release{}}, 200},
		{alone{"200/s, max 1 %, bursts, known for 60 s", 0.01, simulation.Release{Live: 0.005, Burst: 0.05, Warm: 60}}, 200},
		{alone{"40/s, max 1 %, known for 60 s", 0.01, simulation.Release{Live: 0.005, Warm: 60}}, 40},
		{alone{"40/s, max 1 %, known for 10 s", 0.01, simulation.Release{Live: 0.005, Warm: 10}}, 40},
	}
	rates := [...]float64{1, 0.2, 0.05, 0.02}
	delays := make([][len(rates)]delay, len(rows))
	err := inParallel(ctx, len(rows)*len(rates), func(ctx context.Context, cell int) error {
		row, column := cell/len(rates), cell%len(rates)
		r := rows[row].r
		r.Candidate, r.RPS, r.Share, r.Seconds, r.Looks = rates[column], rows[row].rps, 1, 3600, 3
		var err error
		delays[row][column], err = delayOf(ctx, r, rows[row].limit, runs, rand.New(rand.NewPCG(uint64(10+row), uint64(column))))
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("%-40s %15s %15s %15s %15s\n", "seconds after a switch: mean (p95) requests", "100 %", "20 %", "5 %", "2 %")
	for row, c := range rows {
		fmt.Printf("%-44s", c.name)
		for _, d := range delays[row] {
			fmt.Printf(" %15s", d)
		}
		fmt.Println()
	}
	for column, name := range []string{"100pct", "20pct", "5pct", "2pct"} {
		figure("analysis_alone_abort_"+name+"_mean_s", delays[0][column].mean, "s")
		figure("analysis_alone_abort_"+name+"_p95_s", delays[0][column].p95, "s")
	}
	return nil
}
