// Command bench prints the figures that the docs quote, one line each: bench <name> <value> <unit>. Most need the local cluster; it judges nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// bench is one measurement; it may print several figures.
type bench struct {
	name string
	// cluster says that it needs the local cluster.
	cluster bool
	run     func(ctx context.Context, b *bed) error
}

func benches() []bench {
	return []bench{
		{"size", false, binarySize},
		{"plan", false, planMonorepo},
		{"noop", false, buildNothing},
		{"promote", false, promoteWithinARegistry},
		{"mask", false, maskLog},
		{"analysis", false, analyse},
		{"guards", false, guards},
		{"variables", false, resolveVariables},
		{"bookshop", os.Getenv("BUILDKIT_HOST") == "", buildBookshop},
		{"deploy", true, deployAgainstHelm},
		{"requests", true, requestsPerRollout},
		{"shift", true, shiftBack},
		{"exposure", true, exposure},
		{"demo", true, demoWarm},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	releases := flag.Int("releases", 10_000, "healthy releases that analysis simulates for each row")
	runs := flag.Int("runs", 0, "bad releases for each figure: simulated by analysis (default 1000), deployed by exposure (default 10, and 20 healthy ones)")
	cases := flag.String("cases", "", "cases of exposure to run, separated by commas (default all)")
	routers := flag.String("routers", "gateway,nginx", "routers of exposure, separated by commas")
	flag.Parse()
	if err := run(ctx, flag.Args(), extent{max(*releases, 1), max(*runs, 0), list(*cases), list(*routers)}); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string, much extent) error {
	var known []string
	wanted := benches()
	for _, b := range wanted {
		known = append(known, b.name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("there is no bench %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	wanted = slices.DeleteFunc(wanted, func(b bench) bool { return len(names) > 0 && !slices.Contains(names, b.name) })
	b, err := newBed(ctx, slices.ContainsFunc(wanted, func(b bench) bool { return b.cluster }))
	if err != nil {
		return err
	}
	defer b.close()
	b.extent = much
	for _, bench := range wanted {
		if err := bench.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", bench.name, err)
		}
	}
	return nil
}

// list splits at commas; nothing is an empty list.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

func figure(name string, value float64, unit string) {
	fmt.Printf("bench %s %.4g %s\n", name, value, unit)
}
