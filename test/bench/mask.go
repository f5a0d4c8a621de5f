package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	// maskedValues is how many secrets are looked for, maskedBytes how long the log is, maskRuns how often each way is taken.
	maskedValues, maskedBytes, maskRuns = 50, 32 << 20, 11
	// copied is the size of the pieces in which io.Copy hands on the output of a program.
	copied = 32 << 10
)

// maskLog times the masking of a log in which every hundredth line holds one of 50 secrets, in pieces as a program's output comes, and
// line by line as progress does. Time is that of the processor: the machines that this runs on have other things to do.
func maskLog(context.Context, *bed) error {
	secrets := &variables.Masker{}
	var values []string
	for i := range maskedValues {
		values = append(values, fmt.Sprintf("s3cr3t/%d+%dvalue=%c", i*7919, i, 'a'+i%26))
	}
	secrets.Add(values...)
	var log bytes.Buffer
	var lines [][]byte
	for i := 0; log.Len() < maskedBytes; i++ {
		said := fmt.Sprintf("sha256:%064x", i*i)
		if i%100 == 0 {
			said = values[i/100%len(values)]
		}
		fmt.Fprintf(&log, "2026-11-27T12:00:%02dZ calculator/prod #12 Analyzing step 2/4 (25 %%): gate http GET /api/calculate?number=%d: %s\n", i%60, i, said)
	}
	lines = bytes.SplitAfter(log.Bytes(), []byte("\n"))
	var pieces [][]byte
	for rest := log.Bytes(); len(rest) > 0; {
		n := min(copied, len(rest))
		pieces, rest = append(pieces, rest[:n]), rest[n:]
	}
	if masked := secrets.String(log.String()); strings.Contains(masked, "s3cr3t") || !strings.Contains(masked, variables.Redacted) {
		return errors.New("the log is not masked")
	}
	for _, way := range []struct {
		figure string
		pieces [][]byte
	}{{"mask_mb_per_s", pieces}, {"mask_lines_mb_per_s", lines}} {
		var speeds []float64
		for range maskRuns {
			w := secrets.Writer(io.Discard)
			begin := processorTime()
			for _, piece := range way.pieces {
				if _, err := w.Write(piece); err != nil {
					return err
				}
			}
			if err := w.Close(); err != nil {
				return err
			}
			speeds = append(speeds, float64(log.Len())/1e6/(processorTime()-begin).Seconds())
		}
		figure(way.figure, median(speeds), "MB/s")
	}
	return nil
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var used syscall.Rusage
	// It cannot fail for oneself.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
