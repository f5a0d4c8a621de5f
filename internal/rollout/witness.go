package rollout

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
)

// testimonyTime bounds how long the way back is held up once the traffic is away from the candidate, testimonyHaste where it is not: in place
// nothing but the act itself takes it away.
const (
	testimonyTime  = 3 * time.Second
	testimonyHaste = 500 * time.Millisecond
)

// testify keeps what is to be seen of a bad candidate before the act that takes its pods away. Where people asked for the way back, they
// know why.
func (m *Machine) testify(ctx context.Context, r v1alpha1.Rollout, d Decision) v1alpha1.Rollout {
	witness, ok := m.o.Releaser.(deploy.Witness)
	takesAway := d.Act == RetireAct || d.Act == RemoveAct || d.Act == RestoreAct && d.Slot == r.Candidate
	if !ok || r.Phase != v1alpha1.RollingBack || !takesAway || len(r.Testimony) > 0 || len(r.Requests) > 0 {
		return r
	}
	limit := testimonyTime
	if d.Act == RestoreAct {
		limit = testimonyHaste
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := witness.Testify(ctx, deploy.Scope{Service: r.Service, Environment: r.Environment, Namespace: r.Namespace}, r.Candidate, r.Return.Slot)
	if slices.ContainsFunc(r.Evidence, func(line string) bool { return strings.HasPrefix(line, "log of ") }) {
		t.Logs = nil // what a crashed pod said last is there already
	}
	r.Testimony = t.Lines()
	return r
}
