package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/test/simulation"
)

// untilAbort counts the seconds of a candidate with 20 % of 200 requests per second, read once a second, at 0.1 % for a release with a limit of 1 %.
func untilAbort(ctx context.Context, runs int) error {
	fmt.Printf("%-32s %8s %8s %8s %8s %8s\n", "seconds until abort, mean (p95)", "100 %", "50 %", "20 %", "5 %", "2 %")
	for row, c := range []struct {
		name string
		r    simulation.Release
	}{
		{"live 0.5 %, independent", simulation.Release{Live: 0.005}},
		{"live 0.5 %, shared bursts", simulation.Release{Live: 0.005, Burst: 0.05, Shared: true}},
		{"live without failures", simulation.Release{}},
	} {
		fmt.Printf("%-32s", c.name)
		for column, p := range []float64{1, 0.5, 0.2, 0.05, 0.02} {
			random := rand.New(rand.NewPCG(uint64(row), uint64(column)))
			var times []int
			sum := 0
			for range runs {
				if err := ctx.Err(); err != nil {
					return err
				}
				r := c.r
				r.Candidate, r.RPS, r.Share, r.Warm, r.Seconds = p, 40, 0.2, 60, 3600
				a, err := fresh(0.01, 0.001)
				if err != nil {
					return err
				}
				took := r.Run(a, random, analysis.Abort).Seconds
				times, sum = append(times, took), sum+took
			}
			slices.Sort(times)
			fmt.Printf(" %8s", fmt.Sprintf("%.1f (%d)", float64(sum)/float64(runs), times[len(times)*95/100]))
		}
		fmt.Println()
	}
	return nil
}
