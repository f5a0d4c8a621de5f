package app

import (
	"context"

	"github.com/sluice-dev/sluice/internal/build/git"
	"github.com/sluice-dev/sluice/internal/plan"
)

// Plan tells which services a change touches and what is done for them.
func (a *App) Plan(ctx context.Context, req plan.Request) (plan.Plan, error) {
	planner := plan.Planner{Sources: a.sources(), History: a.sources(), LookupEnv: a.o.LookupEnv}
	return planner.Plan(ctx, req)
}

func (a *App) sources() git.Git { return git.Git{Log: a.o.Log, Secrets: a.o.Secrets} }
