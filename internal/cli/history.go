package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/fault"
)

// historyDocument is the result of `sluice history`: rollouts, newest first.
type historyDocument struct {
	document
	Service     string             `json:"service"`
	Environment string             `json:"environment"`
	Rollouts    []v1alpha1.Rollout `json:"rollouts"`
}

func newHistory(inv *invocation) *cobra.Command {
	var env string
	var number int
	cmd := &cobra.Command{
		Use: "history [SERVICE] --env ENV", Short: "List the rollouts of a service, newest first", GroupID: groupLook, Args: oneArg("SERVICE", false),
		Long: describe(`List the rollouts of a service in an environment, newest first. With --number one of them is told in full: what was decided
when, what the gates answered and what was seen.`, 0, 1, 2, 8, 130),
		Example: `  sluice history --env prod
  sluice history calculator --env prod --number 3`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			return inv.at(cmd.Context(), first(args), env, func(ctx context.Context, _ Backend, place *app.Place, _ progress) error {
				return inv.history(ctx, place, number)
			})
		}),
	}
	envFlag(cmd, inv, &env, "`environment` to look at; may be left out where the file has only one")
	cmd.Flags().IntVar(&number, "number", 0, "`number` of the rollout to tell in full")
	inv.cluster.register(cmd)
	return cmd
}

func (inv *invocation) history(ctx context.Context, place *app.Place, number int) error {
	records, err := place.Store.List(ctx, place.Key)
	if err != nil {
		return err
	}
	doc := historyDocument{document: head("History"), Service: place.Key.Service, Environment: place.Key.Environment, Rollouts: []v1alpha1.Rollout{}}
	for _, record := range records {
		if number == 0 || record.Rollout.Number == number {
			doc.Rollouts = append(doc.Rollouts, record.Rollout)
		}
	}
	if number != 0 && len(doc.Rollouts) == 0 {
		return fault.New(fault.NotFound, "history", "no rollout %d of %s in %s", number, place.Key.Service, place.Key.Environment).
			WithHint("`sluice history %s --env %s` lists them", place.Key.Service, place.Key.Environment)
	}
	if number != 0 {
		return inv.emit(doc, func(w io.Writer) { tell(w, doc.Rollouts[0]) })
	}
	return inv.emit(doc, doc.text)
}

func (d historyDocument) text(w io.Writer) {
	if len(d.Rollouts) == 0 {
		fmt.Fprintf(w, "no rollout of %s in %s yet\n", d.Service, d.Environment)
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NUMBER\tRELEASE\tPHASE\tBEGUN\tTOOK\tREASON\tCAUSE")
	for _, r := range d.Rollouts {
		version := r.Release.Version
		if r.Back {
			version += " (back)"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Number, version, stage(r), r.CreatedAt.UTC().Format(time.RFC3339), took(r),
			orDefault(r.Reason, "-"), firstLine(r.Cause))
	}
	_ = table.Flush()
}

// took is how long a rollout took until it was verified or taken back.
func took(r v1alpha1.Rollout) string {
	switch {
	case !r.VerifiedAt.IsZero():
		return elapsed(r.VerifiedAt.Sub(r.CreatedAt))
	case !r.FinishedAt.IsZero():
		return elapsed(r.FinishedAt.Sub(r.CreatedAt))
	}
	return "-"
}

// tell prints one rollout in full.
func tell(w io.Writer, r v1alpha1.Rollout) {
	fmt.Fprintf(w, "rollout %d of %s %s to %s: %s\nrelease %s\nstrategy %s, candidate slot %s, back to slot %s\n",
		r.Number, r.Service, r.Release.Version, r.Environment, stage(r), r.Release.Ref, r.Plan.Strategy, r.Candidate, orDefault(string(r.Return.Slot), "none (first installation)"))
	if who := begunBy(r); who != "" {
		fmt.Fprintln(w, who)
	}
	if r.Cause != "" {
		fmt.Fprintf(w, "cause: %s\n", indentRest(r.Cause))
	}
	for _, line := range slices.Concat(r.Evidence, r.Testimony) {
		fmt.Fprintf(w, "  %s\n", indentRest(line))
	}
	if j := r.Judgement; j != nil {
		fmt.Fprintf(w, "%s  step %d analysis: %s\n", j.At.UTC().Format(time.RFC3339), j.Step+1, told(*j))
		if len(r.Evidence) == 0 {
			for _, line := range j.Evidence {
				fmt.Fprintf(w, "  %s\n", indentRest(line))
			}
		}
	}
	for _, request := range r.Requests {
		fmt.Fprintf(w, "%s  %s requested by %s %s\n", request.At.UTC().Format(time.RFC3339), request.Kind, request.By, request.Reason)
	}
	for _, g := range r.Results {
		fmt.Fprintf(w, "%s  step %d gate %s: %s %s\n", g.At.UTC().Format(time.RFC3339), g.Step+1, g.Gate, g.Verdict, indentRest(g.Evidence))
	}
	for _, e := range r.History {
		fmt.Fprintf(w, "%s  %-11s %s\n", e.At.UTC().Format(time.RFC3339), e.Phase, indentRest(e.Message))
	}
}
