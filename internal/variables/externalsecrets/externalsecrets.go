// Package externalsecrets lets the External Secrets operator read variables in the cluster; it must not read a Secret, nor any store itself.
package externalsecrets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	group, version = "external-secrets.io", "v1"
	plural         = "externalsecrets"
	// kind tells what the cluster reads from what we have written ourselves.
	kind = "reference"
	// nameLength is how many hexadecimal digits of a name stand for what is referred to.
	nameLength = 20
	// patience is how long the operator may take to fill a Secret, and between is how often it is looked at.
	patience = 30 * time.Second
	between  = 500 * time.Millisecond
)

// Target is the environment's store, as the operator speaks of it.
type Target struct {
	// Provider is its kind, a key of a SecretStore's spec.provider.
	Provider string
	// Settings are those of the provider that would lead elsewhere where they are others. One that a SecretStore leaves out is right.
	Settings map[string]string
	// Remote says where a variable is in the store; property is the key in what lies there, "" for all of it.
	Remote func(name string) (key, property string)
}

// Referrer writes ExternalSecrets. What they refer to never changes, so neither do the Secrets that the operator makes of them.
type Referrer struct {
	objects dynamic.Interface
	client  kubernetes.Interface
	way     v1alpha1.ExternalSecrets
	target  Target
	clock   variables.Clock
}

var _ variables.Referrer = (*Referrer)(nil)

// New writes to the cluster that both clients talk to. It sends nothing.
func New(objects dynamic.Interface, client kubernetes.Interface, way v1alpha1.ExternalSecrets, target Target, clock variables.Clock) *Referrer {
	return &Referrer{objects: objects, client: client, way: way, target: target, clock: clock}
}

func (r *Referrer) secrets(namespace string) dynamic.ResourceInterface {
	return r.objects.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: plural}).Namespace(namespace)
}

// Refer implements variables.Referrer. An ExternalSecret that the operator cannot fill is left where it is: there it can be asked why.
func (r *Referrer) Refer(ctx context.Context, place variables.Place, digest string, references []variables.Reference) (string, error) {
	want, err := r.document(place, digest, references)
	if err != nil {
		return "", err
	}
	name := want.GetName()
	// A field that the operator of this cluster does not know must not get lost silently.
	_, err = r.secrets(place.Namespace).Create(ctx, want, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager, FieldValidation: metav1.FieldValidationStrict})
	if apierrors.IsAlreadyExists(err) {
		err = r.again(ctx, place, want)
	} else {
		err = r.failed(ctx, place, "create ExternalSecret "+name, "create", plural, err)
	}
	if err != nil {
		return "", err
	}
	return name, r.filled(ctx, place, name)
}

func (r *Referrer) document(place variables.Place, digest string, references []variables.Reference) (*unstructured.Unstructured, error) {
	data := make([]any, 0, len(references))
	sorted := slices.SortedFunc(slices.Values(references), func(a, b variables.Reference) int { return strings.Compare(a.Key, b.Key) })
	for _, reference := range sorted {
		if reference.Version == "" {
			return nil, fault.New(fault.Internal, "refer to variable "+reference.Name, "without a version")
		}
		key, property := r.target.Remote(reference.Name)
		remote := map[string]any{"key": key, "version": reference.Version}
		if property != "" {
			remote["property"] = property
		}
		data = append(data, map[string]any{"secretKey": reference.Key, "remoteRef": remote})
	}
	way := map[string]any{"kind": r.way.Kind, "name": r.way.Store}
	name, err := nameOf(place.Service, way, data)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{
			"refreshPolicy":  "CreatedOnce",
			"secretStoreRef": way,
			"target":         map[string]any{"name": name, "creationPolicy": "Owner", "deletionPolicy": "Retain", "immutable": true},
			"data":           data,
		},
	}}
	u.SetAPIVersion(group + "/" + version)
	u.SetKind("ExternalSecret")
	u.SetName(name)
	u.SetNamespace(place.Namespace)
	u.SetLabels(place.Labels(kind))
	u.SetAnnotations(map[string]string{variables.NeededBy(digest): "true"})
	return u, nil
}

// nameOf is made of all that decides what the Secret will hold. None of it is secret.
func nameOf(service string, way map[string]any, data []any) (string, error) {
	text, err := json.Marshal([]any{way, data})
	if err != nil {
		return "", fault.Wrap(fault.Internal, "name a reference", err)
	}
	sum := sha256.Sum256(text)
	return service + "-references-" + hex.EncodeToString(sum[:])[:nameLength], nil
}

// again notes on an ExternalSecret that is there already that one more digest needs it.
func (r *Referrer) again(ctx context.Context, place variables.Place, want *unstructured.Unstructured) error {
	name := want.GetName()
	there, err := r.secrets(place.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return r.failed(ctx, place, "read ExternalSecret "+name, "get", plural, err)
	}
	if there.GetLabels()[v1alpha1.LabelService] != place.Service || !within(want.Object["spec"], there.Object["spec"]) {
		return fault.New(fault.Refused, op, "ExternalSecret %s/%s refers to something else than its name says: somebody changed it", place.Namespace, name).
			WithHint("find out who did, delete it, and deploy again")
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": want.GetAnnotations()}})
	if err != nil {
		return fault.Wrap(fault.Internal, op, err)
	}
	_, err = r.secrets(place.Namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: v1alpha1.FieldManager})
	return r.failed(ctx, place, "annotate ExternalSecret "+name, "patch", plural, err)
}

// within says whether a document says all that another does; the API server adds defaults.
func within(want, have any) bool {
	switch want := want.(type) {
	case map[string]any:
		have, ok := have.(map[string]any)
		for key, value := range want {
			ok = ok && within(value, have[key])
		}
		return ok
	case []any:
		have, ok := have.([]any)
		ok = ok && len(have) == len(want)
		for i := range want {
			ok = ok && within(want[i], have[i])
		}
		return ok
	}
	return reflect.DeepEqual(want, have)
}

// filled waits until the operator has made the Secret.
func (r *Referrer) filled(ctx context.Context, place variables.Place, name string) error {
	end := r.clock.Now().Add(patience)
	for {
		there, err := r.secrets(place.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return r.failed(ctx, place, "read ExternalSecret "+name, "get", plural, err)
		}
		ready := readiness(there)
		if ready.status == "True" {
			return nil
		}
		if !r.clock.Now().Before(end) {
			return r.unfilled(place, name, ready)
		}
		if err := r.clock.Wait(ctx, between); err != nil {
			return fault.Wrap(fault.Interrupted, op, err)
		}
	}
}

// unfilled says what the operator says. Its events say more, and could repeat what a store answered, so they are left in the cluster. How
// to look at them is part of the message, for that is what a record keeps.
func (r *Referrer) unfilled(place variables.Place, name string, ready condition) error {
	if ready.status == "" {
		return fault.New(fault.Unreachable, op, "in %s nothing in the cluster has answered ExternalSecret %s/%s", patience, place.Namespace, name).
			WithHint("is the External Secrets operator running, and does it serve this namespace and the class of %s %s?", r.way.Kind, r.way.Store)
	}
	return fault.New(fault.Refused, op, "the cluster cannot read the variables by %s %s: %s; why: kubectl --namespace %s describe externalsecret %s",
		r.way.Kind, r.way.Store, ready, place.Namespace, name).
		WithHint("most often the identity of the SecretStore may not read what it should, or a variable has no such key; then deploy again")
}

// Collect implements variables.Referrer. The Secrets go with their ExternalSecrets. A cluster that has no operator holds none.
func (r *Referrer) Collect(ctx context.Context, place variables.Place, digests []string) ([]string, error) {
	selector := metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: place.Labels(kind)})
	list, err := r.secrets(place.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, r.failed(ctx, place, "list ExternalSecrets", "list", plural, err)
	}
	var removed []string
	for _, there := range list.Items {
		if variables.Needed(there.GetAnnotations(), digests) {
			continue
		}
		// Whoever needs it since it was listed has changed it; the operator's own changes are taken up by the next run.
		at := there.GetResourceVersion()
		err := r.secrets(place.Namespace).Delete(ctx, there.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &at}})
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return removed, r.failed(ctx, place, "delete ExternalSecret "+there.GetName(), "delete", plural, err)
		}
		removed = append(removed, there.GetName())
	}
	return removed, nil
}
