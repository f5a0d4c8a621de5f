package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/examples/calculator/internal/api"
	"github.com/sluice-dev/sluice/examples/calculator/internal/serving"
)

// check asks for factors once, through every hop a user's request takes, and fails unless they are the wanted ones. It is the
// chart's helm test. It never asks twice: a test that retries passes what fails every other user.
func check(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("frontend check", flag.ContinueOnError)
	flags.SetOutput(stderr)
	target := flags.String("url", "", "address to ask, e.g. http://calculator-frontend/api/calculate?number=221")
	want := flags.String("want", "", "factors to expect, e.g. 13,17")
	timeout := flags.Duration("timeout", 10*time.Second, "how long to wait for the answer")
	if err := flags.Parse(args); err != nil {
		return serving.ExitUsage
	}
	factors, err := parseFactors(*want)
	if err == nil && *target == "" {
		err = fmt.Errorf("--url is missing, e.g. --url 'http://calculator-frontend/api/calculate?number=221'")
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(stderr, "frontend check: %v\n", err)
		return serving.ExitUsage
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	answer, err := fetch(ctx, *target)
	if err == nil && !slices.Equal(answer.Factors, factors) {
		err = fmt.Errorf("GET %s: factors %v, want %v", *target, answer.Factors, factors)
	}
	if err != nil {
		fmt.Fprintf(stderr, "check failed: %v\n", err)
		return serving.ExitFailed
	}
	fmt.Fprintf(stdout, "check passed: the factors of %d are %v\n", answer.Number, answer.Factors)
	return serving.ExitDone
}

func parseFactors(text string) ([]uint64, error) {
	var factors []uint64
	for part := range strings.SplitSeq(text, ",") {
		factor, err := strconv.ParseUint(strings.TrimSpace(part), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("--want %q: want numbers with commas between, e.g. --want 13,17", text)
		}
		factors = append(factors, factor)
	}
	return factors, nil
}

func fetch(ctx context.Context, target string) (api.Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return api.Answer{}, fmt.Errorf("--url %q: %w", target, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return api.Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return api.Answer{}, fmt.Errorf("GET %s: read the answer: %w", target, err)
	}
	if response.StatusCode != http.StatusOK {
		return api.Answer{}, fmt.Errorf("GET %s: status %d, want 200: %s", target, response.StatusCode, strings.TrimSpace(string(body)))
	}
	var answer api.Answer
	if err := json.Unmarshal(body, &answer); err != nil {
		return api.Answer{}, fmt.Errorf("GET %s: the answer is not JSON: %w", target, err)
	}
	return answer, nil
}

// migrate is the chart's migration hook. The calculator has no database: it only says so and ends as it is told, so that a
// migration which fails can be tried.
func migrate(args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("frontend migrate", flag.ContinueOnError)
	flags.SetOutput(stderr)
	code := flags.Int("exit-code", 0, "end with this code, 0 to 255; other than 0 stands for a migration that failed")
	if err := flags.Parse(args); err != nil {
		return serving.ExitUsage
	}
	if flags.NArg() > 0 || *code < 0 || *code > 255 {
		fmt.Fprintf(stderr, "frontend migrate: %q: want nothing but --exit-code with 0 to 255\n", strings.Join(args, " "))
		return serving.ExitUsage
	}
	if *code != 0 {
		fmt.Fprintf(stderr, "migration to version %s failed on purpose\n", getenv("VERSION"))
		return *code
	}
	fmt.Fprintf(stdout, "migrated to version %s: there was nothing to do, the calculator has no database\n", getenv("VERSION"))
	return *code
}
