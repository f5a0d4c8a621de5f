package app

import (
	"context"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/rollout"
)

// analyzable refuses a rollout whose analysis is wrong in itself, such as a token that the run does not have: told later, in the middle of it,
// it would cost a way back. A source that does not answer now is no reason, and nothing of this is in the way of what is not judged anew.
func (p *Place) analyzable(ctx context.Context, s rollout.Start) error {
	if s.Environment.Analysis == nil {
		return nil
	}
	records, err := p.Store.List(ctx, p.Key)
	if err != nil {
		return err
	}
	scene, judged, err := rollout.Foresee(records, s)
	if err != nil || !judged {
		return err
	}
	scene.Subject = routed(scene.Subject)
	return fault.Wrap(fault.Usage, "nothing was deployed, because the analysis of "+p.Key.Environment+" cannot be made as it is configured", p.guard.Check(ctx, scene))
}
