package app

import (
	"context"

	"github.com/sluice-dev/sluice/internal/build/git"
	"github.com/sluice-dev/sluice/internal/plan"
)

// Plan tells which services a change touches and what is done for them.
func (a *App) Plan(ctx context.Context, req plan.Request) (plan.Plan, error) {
	planner := plan.Planner{Sources: a.sources(a.o.Log), History: a.sources(a.o.Log), LookupEnv: a.o.LookupEnv}
	return planner.Plan(ctx, req)
}

// sources reads source control, and says by log what it fetches.
func (a *App) sources(log func(line string)) git.Git { return git.Git{Log: log, Secrets: a.o.Secrets} }
