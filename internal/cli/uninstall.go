package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
)

// uninstallDocument is the result of `sluice uninstall`.
type uninstallDocument struct {
	document
	Service     string          `json:"service"`
	Environment string          `json:"environment"`
	Slots       []v1alpha1.Slot `json:"slots"`
	Records     int             `json:"records"`
	// Kept lists what was not removed because Sluice did not make it.
	Kept []string `json:"kept,omitempty"`
}

func newUninstall(inv *invocation) *cobra.Command {
	var env string
	var yes bool
	cmd := &cobra.Command{
		Use: "uninstall [SERVICE] --env ENV", Short: "Remove a service from an environment", GroupID: groupRemove, Args: oneArg("SERVICE", false),
		Long: describe(`Remove a service from an environment: routes first, then every slot with its Helm history, the Services that callers know, and the
records of its rollouts. The namespace stays, and so does a Helm release that sluice did not make. On a terminal it asks first;
elsewhere --yes is needed.`, 0, 1, 2, 7, 8, 130),
		Example: `  sluice uninstall --env dev --yes
  sluice uninstall calculator --env dev`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			if env == "" {
				return fault.New(fault.Usage, "", "--env is missing").WithHint("what is removed is named, never guessed")
			}
			if !yes && !isTerminal(inv.Stdin) {
				return fault.New(fault.Usage, "", "uninstall removes a running service, and there is no terminal to ask on").WithHint("give --yes")
			}
			return inv.at(cmd.Context(), first(args), env, func(ctx context.Context, _ Backend, place *app.Place, p progress) error {
				if !yes && !inv.confirm(place) {
					return fault.New(fault.Usage, "", "not confirmed; nothing was removed")
				}
				doc, err := inv.uninstall(ctx, place, p)
				p.Stop()
				if err != nil {
					return err
				}
				return inv.emit(doc, doc.summary)
			})
		}),
	}
	envFlag(cmd, inv, &env, "`environment` to remove the service from")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	inv.cluster.register(cmd)
	return cmd
}

// confirm asks on the terminal.
func (inv *invocation) confirm(place *app.Place) bool {
	fmt.Fprintf(inv.Stderr, "Remove %s from %s (namespace %s, cluster %s)? Users lose it at once. [y/N] ",
		place.Key.Service, place.Key.Environment, place.Key.Namespace, place.Identity)
	answer, err := bufio.NewReader(inv.Stdin).ReadString('\n')
	if err != nil {
		return false
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// uninstall removes everything under the lock, and then the lock. Every part is idempotent: what was cut off is finished by the
// same command.
func (inv *invocation) uninstall(ctx context.Context, place *app.Place, p progress) (*uninstallDocument, error) {
	doc := &uninstallDocument{document: head("UninstallResult"), Service: place.Key.Service, Environment: place.Key.Environment, Slots: []v1alpha1.Slot{}}
	records, err := place.Store.List(ctx, place.Key)
	if err != nil {
		return nil, err
	}
	seen, err := place.Releaser.Observe(ctx, place.Scope())
	if err != nil {
		return nil, err
	}
	if err := place.Allowed(ctx); err != nil {
		return nil, err
	}
	if len(records) > 0 || len(seen.Slots) > 0 {
		lease, err := place.Locker.Acquire(ctx, place.Key, inv.holder())
		if err != nil {
			return nil, err
		}
		err = inv.remove(ctx, place, records, seen, lease.Generation(), doc, p)
		if err := errors.Join(err, lease.Release(context.WithoutCancel(ctx))); err != nil {
			return nil, err
		}
	}
	if err := place.Locker.Forget(ctx, place.Key); err != nil {
		return nil, err
	}
	return doc, place.Forget(ctx)
}

// remove takes away routes, slots, records and variables, in this order.
func (inv *invocation) remove(ctx context.Context, place *app.Place, records []store.Record, seen deploy.Observation, generation int64, doc *uninstallDocument, p progress) error {
	if err := inv.removeRoutes(ctx, place, records, seen, generation); err != nil {
		return err
	}
	if err := inv.removeSlots(ctx, place, records, seen, generation, doc, p); err != nil {
		return err
	}
	for _, record := range records {
		if err := place.Store.Delete(ctx, place.Key, record.Rollout.Number); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		doc.Records++
	}
	return place.Tidy(ctx)
}

// removeRoutes takes the routes away by every router that a rollout here has used.
func (inv *invocation) removeRoutes(ctx context.Context, place *app.Place, records []store.Record, seen deploy.Observation, generation int64) error {
	plan := planOf(records, place.Environment)
	used := map[v1alpha1.Router]bool{}
	if plan.Slots {
		used[plan.Router] = true
	}
	for _, record := range records {
		if record.Rollout.Plan.Slots {
			used[record.Rollout.Plan.Router] = true
		}
	}
	for name := range used {
		router, ok := place.Routers[name]
		if !ok {
			continue
		}
		if err := router.Remove(ctx, target(place, plan, seen), generation); err != nil {
			return err
		}
	}
	return nil
}

func (inv *invocation) removeSlots(ctx context.Context, place *app.Place, records []store.Record, seen deploy.Observation, generation int64, doc *uninstallDocument, p progress) error {
	plan := planOf(records, place.Environment)
	number := 0
	if len(records) > 0 {
		number = records[0].Rollout.Number
		plan.Spec = records[0].Rollout.Plan.Spec
	}
	for _, slot := range []v1alpha1.Slot{v1alpha1.SlotBlue, v1alpha1.SlotGreen, v1alpha1.SlotDirect} {
		s, ok := seen.Slots[slot]
		switch {
		case !ok || s.State == deploy.Absent:
			continue
		case s.Foreign:
			doc.Kept = append(doc.Kept, "Helm release "+slot.HelmRelease(place.Key.Service))
			continue
		}
		p.Note("removing slot " + string(slot))
		err := place.Releaser.Retire(ctx, deploy.RetireRequest{
			Scope: place.Scope(), Slot: slot, Remove: true, Plan: plan, Rollout: number, Generation: generation,
		})
		if err != nil {
			return err
		}
		doc.Slots = append(doc.Slots, slot)
	}
	return nil
}

func (d *uninstallDocument) summary(w io.Writer) {
	if len(d.Slots) == 0 && d.Records == 0 && len(d.Kept) == 0 {
		fmt.Fprintf(w, "nothing of %s is in %s\n", d.Service, d.Environment)
		return
	}
	fmt.Fprintf(w, "%s is removed from %s: %s, %d records\n", d.Service, d.Environment, counted(slotNames(d.Slots), "slot"), d.Records)
	for _, kept := range d.Kept {
		fmt.Fprintf(w, "kept: %s, which sluice did not make\n", kept)
	}
}

func slotNames(slots []v1alpha1.Slot) []string {
	names := make([]string, len(slots))
	for i, s := range slots {
		names[i] = string(s)
	}
	return names
}
