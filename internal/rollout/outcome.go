package rollout

import (
	"errors"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// Outcome is the error that a command ends with: nil where the release is verified.
func Outcome(r v1alpha1.Rollout) error {
	op := "rollout of " + r.Release.Version + " to " + r.Environment
	cause := errors.New(r.Cause)
	switch r.Phase {
	case v1alpha1.Succeeded, v1alpha1.Settling:
		return nil
	case v1alpha1.Cancelled:
		return &fault.Error{Op: op + " was cancelled, nothing was changed", Kind: cancelledKind(r), Err: cause}
	case v1alpha1.RolledBack:
		return &fault.Error{Op: op + " was rolled back", Kind: fault.RolledBack, Err: cause,
			Hint: "databases, queues and other external state are not reverted by a rollback"}
	case v1alpha1.FailedPhase:
		return &fault.Error{Op: op + " failed and could not be rolled back", Kind: fault.Stuck, Err: cause,
			Hint: "last error: " + r.LastError}
	case v1alpha1.Pending:
		return &fault.Error{Op: op + " is waiting", Kind: fault.Waiting, Err: cause}
	case v1alpha1.Deploying, v1alpha1.Shifting, v1alpha1.Analyzing, v1alpha1.RollingBack:
	}
	return &fault.Error{Op: op + " is unfinished (" + string(r.Phase) + ")", Kind: fault.Interrupted, Err: cause}
}

// cancelledKind keeps the class of what refused the rollout: a lock and a wrong configuration have exit codes of their own.
func cancelledKind(r v1alpha1.Rollout) fault.Kind {
	for _, kind := range []fault.Kind{fault.Locked, fault.Usage, fault.Unreachable, fault.Forbidden} {
		if r.ErrorKind == kind.String() {
			return kind
		}
	}
	return fault.Refused
}

// planned says in words where the traffic of a step goes.
func planned(r v1alpha1.Rollout) string { return Planned(r, r.Step).String() }
