package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/promotion"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/seal"
	"github.com/sluice-dev/sluice/internal/store"
)

// rolloutDocument is the result of a command that moved a rollout to a good end.
type rolloutDocument struct {
	document
	Rollout v1alpha1.Rollout `json:"rollout"`
	// AlreadyLive says that there was nothing to do: the release was verified here before.
	AlreadyLive bool `json:"alreadyLive,omitempty"`
	// Entry is where users reach the service, KeptUntil how long the old slot is kept for an instant rollback.
	Entry     string    `json:"entry,omitempty"`
	KeptUntil time.Time `json:"keptUntil,omitzero"`
	// Seconds that the rollout took until it was verified.
	Seconds float64 `json:"seconds"`
	// Cluster is the identity of the cluster that was written to.
	Cluster string `json:"cluster"`
	// Verified is what the release proved before anything was touched, where a policy asks for it.
	Verified []seal.Proof `json:"verified,omitempty"`
}

// shipment is a release on its way into one environment.
type shipment struct {
	release     *v1alpha1.Release
	ref         v1alpha1.ReleaseRef
	environment string
	reason      string
	back        bool
	// recorded are the versions of variables that the release ran with, on the way back.
	recorded map[string]string
	wait     bool
}

// open connects a release's environment.
func openEnvironment(ctx context.Context, b Backend, release *v1alpha1.Release, name string) (*app.Place, error) {
	env, ok := release.Environments[name]
	if !ok {
		return nil, unknown("environment", name, "release "+release.Version+" of "+release.Service, slices.Sorted(maps.Keys(release.Environments)))
	}
	return b.Open(ctx, release.Service, name, env)
}

// ship brings a release into an environment: predecessors first, then the first write.
func (inv *invocation) ship(ctx context.Context, b Backend, p progress, s shipment) (*rolloutDocument, error) {
	place, err := openEnvironment(ctx, b, s.release, s.environment)
	if err != nil {
		return nil, err
	}
	if !s.back {
		if err := inv.predecessors(ctx, b, s); err != nil {
			return nil, err
		}
	}
	proofs, err := inv.verify(ctx, b, p, s)
	if err != nil {
		return nil, err
	}
	versions, notices, err := place.Versions(ctx, s.release, s.environment, s.recorded)
	if err != nil {
		return nil, err
	}
	for _, line := range notices {
		p.Note(line)
	}
	if s.release, s.ref, err = b.Promote(ctx, s.release, s.ref, s.environment); err != nil {
		return nil, err
	}
	start := rollout.Start{
		Key: place.Key, Release: *s.release, Ref: s.ref, Environment: place.Environment, Variables: versions, By: inv.by(), Reason: s.reason, Back: s.back,
	}
	prepared, err := place.Prepare(ctx, start)
	if err != nil {
		return nil, err
	}
	if prepared.NamespaceCreated {
		p.Note("namespace " + place.Key.Namespace + " created")
	}
	if prepared.IdentityPinned {
		p.Note(fmt.Sprintf("cluster identity pinned; name it in sluice.yaml: environments.%s.cluster.identity: %s", s.environment, place.Identity))
	}
	begun := inv.Now()
	r, err := place.Machine.Run(ctx, start, rollout.DriveOptions{Locker: place.Locker, Holder: inv.holder(), WaitSettled: s.wait})
	if err == nil {
		if err := place.Tidy(ctx); err != nil {
			// Nothing is wrong with what was deployed, and the next run tries again.
			p.Note("warning: " + err.Error())
		}
	}
	doc, err := inv.arrive(place, r, err)
	if doc != nil {
		doc.Verified = proofs
		doc.AlreadyLive = r.Phase.Final() && r.FinishedAt.Before(begun)
	}
	inv.summarize(doc, err)
	return doc, err
}

// arrive turns what the machine returned into a result, or into an error that carries the record.
func (inv *invocation) arrive(place *app.Place, r v1alpha1.Rollout, err error) (*rolloutDocument, error) {
	if err == nil {
		err = rollout.Outcome(r)
	}
	if err != nil {
		if errors.Is(err, context.Canceled) && r.Number > 0 {
			err = fault.New(fault.Interrupted, "interrupted", "%s stays where it is: %s", subjectOf(r), stage(r))
		}
		failed := &rolloutError{err: err, rollout: r}
		if resumable := fault.Is(err, fault.Interrupted) || fault.Is(err, fault.Unreachable) || fault.Is(err, fault.Forbidden) || fault.Is(err, fault.Waiting); resumable && r.Number > 0 && !r.Phase.Final() {
			failed.resume = fmt.Sprintf("sluice resume %s --env %s", place.Key.Service, place.Key.Environment)
		}
		return nil, failed
	}
	doc := &rolloutDocument{
		document: head("RolloutResult"), Rollout: r, Entry: place.Environment.Entry, KeptUntil: keptUntil(r), Cluster: place.Identity,
	}
	if !r.VerifiedAt.IsZero() {
		doc.Seconds = r.VerifiedAt.Sub(r.CreatedAt).Seconds()
	}
	return doc, nil
}

// keptUntil is when the old slot may go; zero where none is kept.
func keptUntil(r v1alpha1.Rollout) time.Time {
	if r.Phase != v1alpha1.Settling || r.Return.Slot == v1alpha1.SlotNone || !r.Plan.Slots {
		return time.Time{}
	}
	return r.VerifiedAt.Add(r.Plan.KeepOld.D())
}

// summary is the last line of a rollout that went well.
func (d *rolloutDocument) summary(w io.Writer) {
	r := d.Rollout
	verb := "is live in"
	if d.AlreadyLive {
		verb = "was already live in"
	}
	fmt.Fprintf(w, "%s %s %s %s", r.Service, r.Release.Version, verb, r.Environment)
	if d.Entry != "" {
		fmt.Fprintf(w, " at %s", d.Entry)
	}
	if !d.AlreadyLive {
		fmt.Fprintf(w, " after %s", elapsed(time.Duration(d.Seconds*float64(time.Second))))
	}
	if !d.KeptUntil.IsZero() {
		fmt.Fprintf(w, "; slot %s is kept until %s for an instant `sluice rollback`", r.Return.Slot, d.KeptUntil.UTC().Format(time.RFC3339))
	}
	fmt.Fprintln(w)
}

// predecessors asks whether the release is verified in every environment that comes first.
func (inv *invocation) predecessors(ctx context.Context, b Backend, s shipment) error {
	var missing []error
	for _, name := range s.release.Environments[s.environment].After {
		place, err := openEnvironment(ctx, b, s.release, name)
		if err != nil {
			return fmt.Errorf("ask environment %s, which comes before %s: %w", name, s.environment, err)
		}
		records, err := place.Store.List(ctx, place.Key)
		if err != nil {
			return fmt.Errorf("ask environment %s, which comes before %s: %w", name, s.environment, err)
		}
		if !promotion.Verified(records, s.ref.Digest) {
			missing = append(missing, errors.New(lastSeen(records, s.ref.Digest, name)))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fault.New(fault.Refused, "deploy "+s.ref.Version+" to "+s.environment, "not verified in what comes before it: %w", errors.Join(missing...)).
		WithHint("nothing was changed; `sluice run --to %s` takes the whole path", s.environment)
}

// lastSeen says what became of a release in an environment.
func lastSeen(records []store.Record, digest, environment string) string {
	for _, record := range records {
		r := record.Rollout
		if r.Release.Digest != digest {
			continue
		}
		line := fmt.Sprintf("%s: rollout %d is %s", environment, r.Number, r.Phase)
		if r.Cause != "" {
			line += ": " + firstLine(r.Cause)
		}
		return line
	}
	return environment + ": never deployed there"
}

// oneLine is what a function prints, without the end of the line.
func oneLine(print func(io.Writer)) string {
	var b strings.Builder
	print(&b)
	return strings.TrimRight(b.String(), "\n")
}
