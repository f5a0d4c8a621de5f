// Package kube keeps records in ConfigMaps and the lock in a Lease of the environment's namespace; it must not read Secrets or interpret what it keeps.
package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
)

var _ store.Store = (*Store)(nil)

// payload is the key of the ConfigMap that holds the record.
const payload = "rollout.json"

// Store keeps one ConfigMap sluice.<service>.<number> per rollout, compared and swapped by its resourceVersion.
type Store struct {
	client kubernetes.Interface
}

// New returns a store in the cluster that the client talks to.
func New(client kubernetes.Interface) *Store { return &Store{client: client} }

// Get reads one record.
func (s *Store) Get(ctx context.Context, key store.Key, number int) (store.Record, error) {
	name := recordName(key.Service, number)
	object, err := s.client.CoreV1().ConfigMaps(key.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return store.Record{}, failed("read the rollout's record", "configmap", key.Namespace, name, err)
	}
	record, err := read(object)
	if err != nil {
		return store.Record{}, err
	}
	if record.Rollout.Environment != key.Environment {
		return store.Record{}, shared(key, record.Rollout)
	}
	return record, nil
}

// List reads the records of a service in an environment. One that cannot be read fails the whole list: a rollout that is
// overlooked would be driven over.
func (s *Store) List(ctx context.Context, key store.Key) ([]store.Record, error) {
	selector := labels.Set{v1alpha1.LabelService: key.Service, v1alpha1.LabelEnvironment: key.Environment}
	return s.list(ctx, key.Namespace, selector)
}

func (s *Store) list(ctx context.Context, namespace string, selector labels.Set) ([]store.Record, error) {
	const op = "list the rollouts' records"
	parsed, err := selector.AsValidatedSelector()
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	// Other objects of Sluice carry the service's label as well; only records have a phase.
	options := metav1.ListOptions{LabelSelector: parsed.String() + "," + v1alpha1.LabelPhase}
	objects, err := s.client.CoreV1().ConfigMaps(namespace).List(ctx, options)
	if err != nil {
		return nil, failed(op, "configmaps", namespace, options.LabelSelector, err)
	}
	records := make([]store.Record, 0, len(objects.Items))
	for i := range objects.Items {
		record, err := read(&objects.Items[i])
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	slices.SortFunc(records, func(a, b store.Record) int { return b.Rollout.Number - a.Rollout.Number })
	return records, nil
}

// Create writes a new record.
func (s *Store) Create(ctx context.Context, rollout v1alpha1.Rollout) (store.Record, error) {
	const op = "create the rollout's record"
	body, err := store.Encode(rollout)
	if err != nil {
		return store.Record{}, err
	}
	object := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name: recordName(rollout.Service, rollout.Number), Namespace: rollout.Namespace, Labels: labelsOf(rollout),
		},
		Data: map[string]string{payload: string(body)},
	}
	options := metav1.CreateOptions{FieldManager: v1alpha1.FieldManager}
	created, err := s.client.CoreV1().ConfigMaps(rollout.Namespace).Create(ctx, object, options)
	if err != nil {
		return store.Record{}, s.explain(ctx, rollout, failed(op, "configmap", rollout.Namespace, object.Name, err))
	}
	return read(created)
}

// explain tells a lost race from a namespace that another environment uses.
func (s *Store) explain(ctx context.Context, rollout v1alpha1.Rollout, err error) error {
	if !fault.Is(err, fault.Conflict) {
		return err
	}
	key := store.Key{Service: rollout.Service, Environment: rollout.Environment, Namespace: rollout.Namespace}
	if _, found := s.Get(ctx, key, rollout.Number); fault.Is(found, fault.Usage) {
		return found
	}
	return err
}

// Update replaces a record unless its ConfigMap has changed since it was read.
func (s *Store) Update(ctx context.Context, record store.Record) (store.Record, error) {
	const op = "update the rollout's record"
	rollout := record.Rollout
	name := recordName(rollout.Service, rollout.Number)
	if record.Version == "" {
		return store.Record{}, fault.New(fault.Internal, op, "configmap %s/%s is written without the version it was read under", rollout.Namespace, name)
	}
	body, err := store.Encode(rollout)
	if err != nil {
		return store.Record{}, err
	}
	// A merge patch keeps what others annotated; the resourceVersion in it makes the API server refuse a stale one.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": record.Version, "labels": labelsOf(rollout)},
		"data":     map[string]string{payload: string(body)},
	})
	if err != nil {
		return store.Record{}, fault.Wrap(fault.Internal, op, err)
	}
	options := metav1.PatchOptions{FieldManager: v1alpha1.FieldManager}
	updated, err := s.client.CoreV1().ConfigMaps(rollout.Namespace).Patch(ctx, name, types.MergePatchType, patch, options)
	if err != nil {
		return store.Record{}, failed(op, "configmap", rollout.Namespace, name, err)
	}
	return read(updated)
}

// Delete removes a record; an absent one is no error.
func (s *Store) Delete(ctx context.Context, key store.Key, number int) error {
	name := recordName(key.Service, number)
	err := s.client.CoreV1().ConfigMaps(key.Namespace).Delete(ctx, name, metav1.DeleteOptions{})
	err = failed("delete the rollout's record", "configmap", key.Namespace, name, err)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// read decodes a ConfigMap, and refuses one that says to be another rollout than its name does.
func read(object *corev1.ConfigMap) (store.Record, error) {
	op := "read configmap " + object.Namespace + "/" + object.Name
	body, ok := object.Data[payload]
	if !ok {
		return store.Record{}, damaged(op, object, fmt.Errorf("it has no %s", payload))
	}
	rollout, err := store.Decode([]byte(body))
	if err != nil {
		return store.Record{}, damaged(op, object, err)
	}
	if want := recordName(rollout.Service, rollout.Number); object.Name != want || object.Namespace != rollout.Namespace {
		return store.Record{}, damaged(op, object, fmt.Errorf("its content is that of %s/%s", rollout.Namespace, want))
	}
	return store.Record{Rollout: rollout, Version: object.ResourceVersion}, nil
}

func damaged(op string, object *corev1.ConfigMap, err error) error {
	e := &fault.Error{Op: op, Kind: fault.Fatal, Err: err}
	if fault.HintOf(err) == "" {
		return e.WithHint("look at it with: kubectl --namespace %s get configmap %s --output yaml; if it is damaged, delete it", object.Namespace, object.Name)
	}
	return e
}

func shared(key store.Key, found v1alpha1.Rollout) error {
	return fault.New(fault.Usage, "read the rollout's record", "namespace %s holds rollouts of %s in environment %s, not %s",
		key.Namespace, key.Service, found.Environment, key.Environment).
		WithHint("give every environment a namespace of its own")
}

func recordName(service string, number int) string {
	return fmt.Sprintf("sluice.%s.%d", service, number)
}

func labelsOf(r v1alpha1.Rollout) map[string]string {
	return map[string]string{
		"app.kubernetes.io/managed-by": v1alpha1.FieldManager,
		v1alpha1.LabelService:          r.Service,
		v1alpha1.LabelEnvironment:      r.Environment,
		v1alpha1.LabelRollout:          fmt.Sprint(r.Number),
		v1alpha1.LabelPhase:            string(r.Phase),
		v1alpha1.LabelRelease:          releaseLabel(r.Release.Digest),
	}
}

// releaseLabel shortens a digest to what a label may hold: 40 hexadecimal digits of its sum.
func releaseLabel(digest string) string {
	_, sum, _ := strings.Cut(digest, ":")
	return sum[:min(len(sum), 40)]
}
