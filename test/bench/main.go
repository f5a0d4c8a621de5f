// Command bench prints the figures that the docs quote, one line each: bench <name> <value> <unit>. It needs the local cluster and judges nothing.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// bench is one measurement; it may print several figures.
type bench struct {
	name string
	run  func(ctx context.Context, b *bed) error
}

func benches() []bench {
	return []bench{
		{"size", binarySize},
		{"deploy", deployAgainstHelm},
		{"requests", requestsPerRollout},
		{"shift", shiftBack},
		{"demo", demoWarm},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(benches(), func(b bench) bool { return b.name == name }) {
			return fmt.Errorf("there is no bench %q; there are size, deploy, requests, shift and demo", name)
		}
	}
	b, err := newBed(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	for _, bench := range benches() {
		if len(names) > 0 && !slices.Contains(names, bench.name) {
			continue
		}
		if err := bench.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", bench.name, err)
		}
	}
	return nil
}

func figure(name string, value float64, unit string) {
	fmt.Printf("bench %s %.4g %s\n", name, value, unit)
}
