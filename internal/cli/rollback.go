package cli

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/promotion"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/store"
)

type rollbackFlags struct {
	env, to, reason string
	wait            bool
}

func newRollback(inv *invocation) *cobra.Command {
	var flags rollbackFlags
	cmd := &cobra.Command{
		Use: "rollback [SERVICE] --env ENV [--to RELEASE|NUMBER]", Short: "Go back to a release that passed its gates here", GroupID: groupShip,
		Args: oneArg("SERVICE", false),
		Long: describe(`Go back to a release that passed its gates in this environment.

While a rollout is unfinished, or its old slot is still kept, that rollout is taken back: one change of the route. Otherwise a
new rollout brings the earlier release, in one step. Without --to the earlier release is the last one that was verified here
before the current one; NUMBER is that of a rollout in `+"`sluice history`"+`. Databases and other external state are not reverted.

What a new rollout brings must prove what "verify" asks for, as in a deployment; taking a rollout back needs no proof, because it
goes to what still runs.`,
			0, 1, 2, 3, 4, 5, 7, 8, 130),
		Example: `  sluice rollback --env prod
  sluice rollback calculator --env prod --to 3
  sluice rollback calculator --env prod --to calculator:1.3.0 --reason "INC-42"`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			return inv.at(cmd.Context(), first(args), flags.env, func(ctx context.Context, b Backend, place *app.Place, p progress) error {
				return inv.rollback(ctx, b, place, p, flags)
			})
		}),
	}
	envFlag(cmd, inv, &flags.env, "`environment` to roll back; may be left out where the file has only one")
	cmd.Flags().StringVar(&flags.to, "to", "", "`release` or number of a rollout to go back to (default: the one before)")
	reasonFlag(cmd, &flags.reason)
	waitFlag(cmd, &flags.wait)
	inv.cluster.register(cmd)
	return cmd
}

func (inv *invocation) rollback(ctx context.Context, b Backend, place *app.Place, p progress, flags rollbackFlags) error {
	records, err := place.Store.List(ctx, place.Key)
	if err != nil {
		return err
	}
	active, running := rollout.Active(records)
	if running && takesBack(active, flags.to) {
		doc, err := inv.takeBack(ctx, place, v1alpha1.Request{Kind: v1alpha1.RequestRollback, By: inv.by(), At: inv.Now(), Reason: flags.reason})
		if err == nil {
			p.Stop()
			return inv.emit(doc, doc.summary)
		}
		if !errors.Is(err, errTooLate) {
			return err
		}
		// It was verified, and its old slot is gone: the way back is a new rollout.
		if records, err = place.Store.List(ctx, place.Key); err != nil {
			return err
		}
	}
	target, err := rollbackTarget(records, place, flags.to)
	if err != nil {
		return err
	}
	release, ref, err := b.Release(ctx, target.Release.Ref)
	if err != nil {
		return err
	}
	p.Note("rolling back " + place.Key.Service + " in " + place.Key.Environment + " to " + ref.Version + " of rollout " + strconv.Itoa(target.Number))
	doc, err := inv.ship(ctx, b, p, shipment{release: release, ref: ref, environment: place.Key.Environment, reason: flags.reason, back: true, recorded: target.Variables, wait: flags.wait})
	p.Stop()
	if err != nil {
		return err
	}
	return inv.emit(doc, doc.summary)
}

// takesBack says whether taking an unfinished rollout back leads where the person wants to go.
func takesBack(r v1alpha1.Rollout, to string) bool {
	return to == "" || names(r.Service, r.Return.Release, to)
}

// names says whether a person's name for a release means this one.
func names(service string, ref v1alpha1.ReleaseRef, name string) bool {
	if ref.Digest == "" {
		return false
	}
	return name == ref.Ref || name == ref.Digest || name == ref.Version || name == service+":"+ref.Version || name == service+"@"+ref.Digest ||
		(fullReference(name) && strings.HasSuffix(name, "@"+ref.Digest))
}

// rollbackTarget is the verified rollout whose release a new rollout goes back to.
func rollbackTarget(records []store.Record, place *app.Place, to string) (v1alpha1.Rollout, error) {
	where := place.Key.Service + " in " + place.Key.Environment
	history := "`sluice history " + place.Key.Service + " --env " + place.Key.Environment + "` lists what was verified here"
	if to == "" {
		earlier, ok := promotion.Earlier(records)
		if !ok {
			return earlier, fault.New(fault.NotFound, "rollback", "no release of %s was verified before the current one", where).WithHint("%s", history)
		}
		return earlier, nil
	}
	number, err := strconv.Atoi(to)
	for _, record := range records {
		r := record.Rollout
		if (err == nil && r.Number != number) || (err != nil && !names(r.Service, r.Release, to)) {
			continue
		}
		if r.Phase == v1alpha1.Succeeded || r.Phase == v1alpha1.Settling {
			return r, nil
		}
		if err == nil {
			return r, fault.New(fault.Usage, "rollback", "rollout %d of %s did not pass its gates: it is %s", number, where, r.Phase).WithHint("%s", history)
		}
	}
	return v1alpha1.Rollout{}, fault.New(fault.NotFound, "rollback", "%s was never verified for %s", to, where).WithHint("%s", history)
}
