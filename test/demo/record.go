package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// explain prints what the newest record of an environment says to people: the cause, and what was seen.
func (s *stage) explain(ctx context.Context, env string) error {
	cmd := exec.CommandContext(ctx, s.bin, "history", "--env", env, "-o", "json")
	cmd.Dir = s.dir
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("sluice history --env %s: %w", env, err)
	}
	var history struct {
		Rollouts []struct {
			Cause               string
			Evidence, Testimony []string
			Judgement           struct{ Verdict string }
		}
	}
	if err := json.Unmarshal(out, &history); err != nil {
		return fmt.Errorf("sluice history --env %s: %w", env, err)
	}
	if len(history.Rollouts) == 0 {
		return errors.New("no rollout in " + env)
	}
	newest := history.Rollouts[0]
	if newest.Judgement.Verdict != "bad" {
		return fmt.Errorf("the analysis in %s says %q of a version that fails 5 %% of its requests, and the cause is: %s", env, newest.Judgement.Verdict, newest.Cause)
	}
	fmt.Printf("\n   the record of %s says, for good:\n   %s\n", env, newest.Cause)
	for _, line := range append(newest.Evidence, newest.Testimony...) {
		fmt.Printf("     %s\n", strings.ReplaceAll(line, "\n", "\n       "))
	}
	return nil
}
