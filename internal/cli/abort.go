package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/rollout"
)

// backDocument is the result of taking a rollout back.
type backDocument struct {
	document
	Rollout v1alpha1.Rollout `json:"rollout"`
	// Driver is the run that takes it back, where it is not this one and not done yet.
	Driver string `json:"driver,omitempty"`
}

// errTooLate says that a rollout was over before it could be taken back.
var errTooLate = errors.New("it cannot be taken back any more")

func newAbort(inv *invocation) *cobra.Command {
	var env, reason string
	cmd := &cobra.Command{
		Use: "abort [SERVICE] --env ENV", Short: "Take an unfinished rollout back", GroupID: groupShip, Args: oneArg("SERVICE", false),
		Long: describe(`Take the unfinished rollout of a service in an environment back.

The run that drives it is asked to; where no run is alive, this one takes it back. It ends with 0 once everything is as it was.`,
			0, 1, 2, 5, 7, 8, 130),
		Example: `  sluice abort --env prod
  sluice abort calculator --env prod --reason "wrong version"`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			return inv.at(cmd.Context(), first(args), env, func(ctx context.Context, _ Backend, place *app.Place, p progress) error {
				if _, err := unfinished(ctx, place, "abort"); err != nil {
					return err
				}
				doc, err := inv.takeBack(ctx, place, v1alpha1.Request{Kind: v1alpha1.RequestAbort, By: inv.by(), At: inv.Now(), Reason: reason})
				p.Stop()
				if err != nil {
					return err
				}
				return inv.emit(doc, doc.summary)
			})
		}),
	}
	envFlag(cmd, inv, &env, "`environment` of the rollout; may be left out where the file has only one")
	reasonFlag(cmd, &reason)
	inv.cluster.register(cmd)
	return cmd
}

// patience is how often a run that takes a rollout back on request is looked at before it is left to itself.
const patience = 30

// takeBack asks for a rollout to be taken back and drives that, unless another run does.
func (inv *invocation) takeBack(ctx context.Context, place *app.Place, request v1alpha1.Request) (*backDocument, error) {
	asked, err := place.Machine.Request(ctx, place.Key, request)
	if err != nil {
		return nil, err
	}
	var r v1alpha1.Rollout
	for range patience {
		r, err = place.Machine.Drive(ctx, place.Key, asked.Number, inv.driving(place, false))
		if !fault.Is(err, fault.Locked) {
			break
		}
		// Another run is alive, and was watched for as long as it took to know that: it has read the request by now.
		record, readErr := place.Store.Get(ctx, place.Key, asked.Number)
		if readErr != nil {
			return nil, readErr
		}
		if r = record.Rollout; r.Phase.Final() {
			err = nil
			break
		}
	}
	if fault.Is(err, fault.Locked) {
		lock, err := place.Locker.Holder(ctx, place.Key)
		return &backDocument{document: head("RollbackResult"), Rollout: r, Driver: lock.Holder}, err
	}
	if err == nil {
		err = rollout.Outcome(r)
	}
	// Being taken back is what was asked for.
	if fault.Is(err, fault.RolledBack) || r.Phase == v1alpha1.Cancelled {
		return &backDocument{document: head("RollbackResult"), Rollout: r}, nil
	}
	if err == nil {
		return nil, fault.New(fault.Refused, string(request.Kind), "rollout %d is %s: %w", r.Number, r.Phase, errTooLate).
			WithHint("`sluice rollback %s --env %s` goes back to the release before it", place.Key.Service, place.Key.Environment)
	}
	doc, err := inv.arrive(place, r, err)
	inv.summarize(doc, err)
	return nil, err
}

func (d *backDocument) summary(w io.Writer) {
	r := d.Rollout
	switch {
	case d.Driver != "":
		fmt.Fprintf(w, "rollout %d of %s in %s is asked to go back; %s drives it (%s)\n", r.Number, r.Service, r.Environment, d.Driver, r.Phase)
	case r.Phase == v1alpha1.Cancelled:
		fmt.Fprintf(w, "rollout %d of %s in %s is cancelled; nothing was changed\n", r.Number, r.Service, r.Environment)
	case r.Return.Slot == v1alpha1.SlotNone:
		fmt.Fprintf(w, "rollout %d of %s in %s is rolled back; it was the first installation, which is removed\n", r.Number, r.Service, r.Environment)
	default:
		fmt.Fprintf(w, "rollout %d of %s in %s is rolled back to %s\n", r.Number, r.Service, r.Environment, returnName(r))
	}
}

// returnName names what a rollback went back to.
func returnName(r v1alpha1.Rollout) string {
	if r.Return.Release.Version != "" {
		return r.Return.Release.Version
	}
	return fmt.Sprintf("Helm revision %d of %s, which sluice did not make", r.Return.HelmRevision, r.Return.Slot.HelmRelease(r.Service))
}
