package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/promotion"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/traffic"
)

func newStatus(inv *invocation) *cobra.Command {
	var env string
	cmd := &cobra.Command{
		Use: "status [SERVICE] [--env ENV]", Short: "Show what runs where, and what is under way", GroupID: groupLook, Args: oneArg("SERVICE", false),
		Long: describe(`Show what of a service runs where: slots, traffic, the last rollout, who drives it, until when the old slot is kept.

Without --env all environments are shown, in the order of the path. Nothing is written.`, 0, 1, 2, 8, 130),
		Example: `  sluice status
  sluice status calculator --env prod -o json`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			return inv.status(cmd.Context(), first(args), env)
		}),
	}
	envFlag(cmd, inv, &env, "`environment` to look at (default: all)")
	inv.cluster.register(cmd)
	return cmd
}

func (inv *invocation) status(ctx context.Context, name, environment string) error {
	file, err := inv.project()
	if err != nil {
		return err
	}
	service, err := serviceOf(file, name)
	if err != nil {
		return err
	}
	environments := promotion.Path(file.Project.Environments, "")
	if environment != "" {
		if environment, _, err = environmentOf(file.Project.Environments, environment, file.Path); err != nil {
			return err
		}
		environments = []string{environment}
	}
	b := inv.backend(file.Dir, file.Project.Registry, silent{})
	defer inv.close(b)
	doc := statusDocument{document: head("Status"), Service: service}
	var failed error
	for _, name := range environments {
		status, err := inv.look(ctx, b, service, name, file.Project.Environments[name])
		if err != nil && (environment != "" || fault.Is(err, fault.Interrupted)) {
			return err
		}
		if err != nil {
			// One environment that cannot be seen does not hide the others.
			status = environmentStatus{Environment: name, Namespace: file.Project.Environments[name].Namespace, Error: err.Error()}
			failed = firstError(failed, err)
		}
		doc.Environments = append(doc.Environments, status)
	}
	if err := inv.emit(doc, doc.text); err != nil {
		return err
	}
	if failed != nil {
		return &reportedError{failed}
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// look observes one environment.
func (inv *invocation) look(ctx context.Context, b Backend, service, name string, env v1alpha1.Environment) (environmentStatus, error) {
	status := environmentStatus{Environment: name, Namespace: env.Namespace, Entry: env.Entry}
	place, err := b.Open(ctx, service, name, env)
	if err != nil {
		return status, err
	}
	status.Cluster = place.Identity
	records, err := place.Store.List(ctx, place.Key)
	if err != nil {
		return status, err
	}
	if err := status.see(ctx, place, planOf(records, env)); err != nil {
		return status, err
	}
	lock, err := place.Locker.Holder(ctx, place.Key)
	if err != nil {
		return status, err
	}
	if len(records) > 0 {
		status.record(records[0].Rollout, lock, inv.Now())
	}
	return status, nil
}

// see observes slots and traffic. Who may not read Secrets, where Helm keeps its releases, may still know what the record says.
func (e *environmentStatus) see(ctx context.Context, place *app.Place, plan v1alpha1.Plan) error {
	seen, err := place.Releaser.Observe(ctx, place.Scope())
	var split traffic.State
	if err == nil {
		split, err = splitOf(ctx, place, plan, seen)
	}
	switch {
	case fault.Is(err, fault.Forbidden):
		e.Unseen = firstLine(err.Error())
	case err != nil:
		return err
	default:
		e.observe(seen, split, plan)
	}
	return nil
}

func (d statusDocument) text(w io.Writer) {
	for i, e := range d.Environments {
		if i > 0 {
			fmt.Fprintln(w)
		}
		e.text(w, d.Service)
	}
}

func (e environmentStatus) text(w io.Writer, service string) {
	fmt.Fprintf(w, "%s in %s (namespace %s", service, e.Environment, e.Namespace)
	if e.Entry != "" {
		fmt.Fprintf(w, ", %s", e.Entry)
	}
	fmt.Fprintln(w, ")")
	if e.Error != "" {
		fmt.Fprintf(w, "  cannot be seen: %s\n", indentRest(e.Error))
		return
	}
	switch {
	case e.Unseen != "":
		fmt.Fprintf(w, "  slots and traffic cannot be seen: %s\n", e.Unseen)
	case len(e.Slots) == 0:
		fmt.Fprintln(w, "  nothing is deployed")
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range e.Slots {
		fmt.Fprintf(table, "  slot %s\t%s\t%s\t%s\t%s\n", s.Slot, s.Role, s.name(), s.pods(), s.traffic())
	}
	_ = table.Flush()
	for _, s := range e.Slots {
		for _, fact := range s.Facts {
			fmt.Fprintf(w, "  slot %s: %s\n", s.Slot, indentRest(fact.String()))
		}
	}
	if r := e.Rollout; r != nil {
		fmt.Fprintf(w, "  rollout %d of %s: %s since %s\n", r.Number, r.Release.Version, stage(*r), r.PhaseSince.UTC().Format(time.RFC3339))
		if who := begunBy(*r); who != "" {
			fmt.Fprintf(w, "  %s\n", who)
		}
		if r.Cause != "" {
			fmt.Fprintf(w, "  cause: %s\n", indentRest(r.Cause))
		}
	}
	for _, note := range e.Notes {
		fmt.Fprintf(w, "  %s\n", note)
	}
}

func (s slotStatus) name() string {
	switch {
	case s.Release.Version != "":
		return s.Release.Version
	case s.Foreign:
		return fmt.Sprintf("Helm revision %d, not of sluice", s.HelmRevision)
	}
	return "-"
}

func (s slotStatus) pods() string {
	if s.State != deploy.Deployed {
		return string(s.State)
	}
	return fmt.Sprintf("%d/%d ready", s.Ready, s.Desired)
}

func (s slotStatus) traffic() string {
	text := fmt.Sprintf("%d %%", s.Weight)
	if s.Header {
		text += " + header"
	}
	return text
}

// silent is the progress of a command that only looks.
type silent struct{}

func (silent) Note(string)                                                      {}
func (silent) Event(v1alpha1.Rollout, v1alpha1.Event)                           {}
func (silent) Observed(v1alpha1.Rollout, rollout.Observation, rollout.Decision) {}
func (silent) Stop()                                                            {}
