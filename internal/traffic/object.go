package traffic

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// Metadata by which Helm says whose an object is, and by which Sluice says it.
const (
	managedBy            = "app.kubernetes.io/managed-by"
	helmReleaseName      = "meta.helm.sh/release-name"
	helmReleaseNamespace = "meta.helm.sh/release-namespace"
	helmManager          = "helm"
)

// farFuture is how far ahead of this clock another driver's may be; a stamp beyond is not believed.
const farFuture = time.Minute

// patience is the longest time between looking and writing. A driver that was frozen in between wakes with an old picture, and
// creating an object is not fenced by a resourceVersion.
const patience = 10 * time.Second

// Object is the metadata of a route or Service as a router read it.
type Object struct {
	Kind, Name          string
	Labels, Annotations map[string]string
	Created             time.Time
	Hands               []Hand
}

// Hand is one writer of an object's fields: a managedFields entry.
type Hand struct {
	Manager string
	At      time.Time
	// Fields is the entry's fieldsV1 JSON.
	Fields []byte
}

func (o Object) String() string { return o.Kind + " " + o.Name }

// Generation of the lease under which a router last wrote the object; 0 where none did.
func (o Object) Generation() int64 {
	n, err := strconv.ParseInt(o.Annotations[v1alpha1.AnnotationGeneration], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Written says that a router of this target wrote the object, which therefore may be deleted by it.
func (o Object) Written(t Target) bool {
	return t.owns(o) && o.Annotations[v1alpha1.AnnotationSplit] != ""
}

// ShiftedAt is when the object last changed what proxies do. An object that no router wrote has been there since its creation.
func (o Object) ShiftedAt() time.Time {
	at, err := time.Parse(time.RFC3339Nano, o.Annotations[v1alpha1.AnnotationShifted])
	if err != nil {
		return o.Created
	}
	return at
}

// Wait is how much of the convergence time the proxies have left to follow the object's last write; 0 where it is over.
func (o Object) Wait(now time.Time, t Target) time.Duration {
	age := now.Sub(o.ShiftedAt())
	if age < -farFuture {
		return 0
	}
	return max(0, t.convergence()-age)
}

// LastHand names who but Sluice wrote the object last, for people; "somebody" where the object does not tell.
func (o Object) LastHand() string {
	name, last := "somebody", time.Time{}
	for _, h := range o.Hands {
		if h.Manager != v1alpha1.FieldManager && h.Manager != helmManager && h.At.After(last) {
			name, last = h.Manager, h.At
		}
	}
	return name
}

func (t Target) convergence() time.Duration {
	if t.Convergence <= 0 {
		return DefaultConvergence
	}
	return t.Convergence
}

func (t Target) owns(o Object) bool {
	return o.Labels[v1alpha1.LabelService] == t.Service && o.Labels[v1alpha1.LabelEnvironment] == t.Environment
}

// installed says that the plain Helm release of the service brought the object.
func (t Target) installed(o Object) bool {
	return o.Annotations[helmReleaseName] == t.Service && o.Annotations[helmReleaseNamespace] == t.Namespace
}

// Knows says that the object is the service's: Sluice's own, or one of its plain Helm release.
func (t Target) Knows(o Object) bool { return t.owns(o) || t.installed(o) }

// Refuse says whose an object is that a router must not write; nil where it may.
func (t Target) Refuse(o Object) error {
	if t.Knows(o) {
		return nil
	}
	owner := "was not made by Sluice"
	switch {
	case o.Labels[v1alpha1.LabelService] != "":
		owner = "belongs to service " + o.Labels[v1alpha1.LabelService] + " in environment " + o.Labels[v1alpha1.LabelEnvironment]
	case o.Annotations[helmReleaseName] != "":
		owner = "belongs to the Helm release " + o.Annotations[helmReleaseName] + " in namespace " + o.Annotations[helmReleaseNamespace]
	}
	return fault.New(fault.Usage, "shift traffic", "%s in namespace %s %s", o, t.Namespace, owner).
		WithHint("delete or rename it, or let the chart of service %s give its own another name", t.Service)
}

// Pass is one call of a router: what it may write, and how long.
type Pass struct {
	Target     Target
	Generation int64
	Now        func() time.Time
	began      time.Time
}

// Begin starts a pass. Everything it decides on must be read after this.
func Begin(t Target, generation int64, now func() time.Time) Pass {
	return Pass{Target: t, Generation: generation, Now: now, began: now()}
}

// Fence refuses a pass of an older generation than an object's.
func (p Pass) Fence(o Object) error {
	if g := o.Generation(); g > p.Generation {
		return fault.New(fault.Conflict, "shift traffic", "%s in namespace %s was written under lease generation %d, this run has %d",
			o, p.Target.Namespace, g, p.Generation).WithHint("another run has taken over; this one stops")
	}
	return nil
}

// Awake refuses a write that comes too long after the pass looked.
func (p Pass) Awake() error {
	if late := p.Now().Sub(p.began); late > patience {
		return fault.New(fault.Conflict, "shift traffic", "%s passed between looking and writing; nothing more was written", late.Round(time.Second))
	}
	return nil
}

// Insist makes a conditional write again where it failed only because a controller reported status meanwhile, which changes the
// resourceVersion and nothing else. Write says whether its error is a conflict; unchanged reads the object anew, for the next write,
// and says whether it is otherwise as it was.
func (p Pass) Insist(write func() (conflict bool, err error), unchanged func() (bool, error)) error {
	const tries = 5
	for try := 1; ; try++ {
		if err := p.Awake(); err != nil {
			return err
		}
		conflict, err := write()
		if !conflict || try == tries {
			return err
		}
		same, lookErr := unchanged()
		if lookErr != nil {
			return lookErr
		}
		if !same {
			return err
		}
	}
}

// Metadata returns the labels and annotations an object is to have: the chart's, what others than Sluice and Helm set, and the router's
// stamp. What an earlier chart set and this one does not is gone. Moves says that the write changes what proxies do.
func (p Pass) Metadata(old, chart Object, split string, moves bool) (labels, annotations map[string]string) {
	keepLabels, keepAnnotations := old.others()
	labels = merged(old.Labels, chart.Labels, keepLabels)
	annotations = merged(old.Annotations, chart.Annotations, keepAnnotations)
	labels[managedBy] = v1alpha1.FieldManager
	labels[v1alpha1.LabelService], labels[v1alpha1.LabelEnvironment] = p.Target.Service, p.Target.Environment
	annotations[v1alpha1.AnnotationGeneration] = strconv.FormatInt(p.Generation, 10)
	annotations[v1alpha1.AnnotationSplit] = split
	at := old.ShiftedAt()
	if moves || at.IsZero() || p.Now().Sub(at) < -farFuture {
		at = p.Now()
	}
	annotations[v1alpha1.AnnotationShifted] = at.UTC().Format(time.RFC3339Nano)
	return labels, annotations
}

// merged is the chart's entries over those of the old object that must stay.
func merged(old, chart map[string]string, keep map[string]bool) map[string]string {
	out := map[string]string{}
	for k, v := range old {
		prefix, _, _ := strings.Cut(k, "/")
		if keep[k] || keep[""] || prefix == "helm.sh" || prefix == "meta.helm.sh" || prefix == "sluice.dev" {
			out[k] = v
		}
	}
	maps.Copy(out, chart)
	return out
}

// others lists the keys that somebody but Sluice and Helm set; the key "" stands for all, where the object does not tell.
func (o Object) others() (labels, annotations map[string]bool) {
	if len(o.Hands) == 0 {
		all := map[string]bool{"": true}
		return all, all
	}
	labels, annotations = map[string]bool{}, map[string]bool{}
	for _, h := range o.Hands {
		var fields struct {
			Metadata struct {
				Labels      map[string]json.RawMessage `json:"f:labels"`
				Annotations map[string]json.RawMessage `json:"f:annotations"`
			} `json:"f:metadata"`
		}
		if h.Manager == v1alpha1.FieldManager || h.Manager == helmManager || json.Unmarshal(h.Fields, &fields) != nil {
			continue
		}
		for k := range fields.Metadata.Labels {
			labels[strings.TrimPrefix(k, "f:")] = true
		}
		for k := range fields.Metadata.Annotations {
			annotations[strings.TrimPrefix(k, "f:")] = true
		}
	}
	return labels, annotations
}
