package kubernetes

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	// keySecret holds the key with which the names of a namespace's Secrets are made, under keyEntry.
	keySecret, keyEntry = "sluice-variables-key", "key"
	keyLength           = 32
	// kind tells kept Secrets from what others write for a place.
	kind = "true"
	// nameLength is how many hexadecimal digits of a name stand for the contents.
	nameLength = 20
)

// Keeper keeps variables in Secrets that cannot be changed.
type Keeper struct{ client kubernetes.Interface }

var _ variables.Keeper = (*Keeper)(nil)

// NewKeeper writes to the cluster that the client talks to.
func NewKeeper(client kubernetes.Interface) *Keeper { return &Keeper{client: client} }

// Keep implements variables.Keeper.
func (k *Keeper) Keep(ctx context.Context, place variables.Place, digest string, contents map[string]variables.Value) (string, error) {
	key, err := k.key(ctx, place.Namespace)
	if err != nil {
		return "", err
	}
	data := map[string][]byte{}
	for name, value := range contents {
		data[name] = []byte(value.Reveal())
	}
	always := true
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: nameOf(place.Service, key, data), Labels: place.Labels(kind),
			Annotations: map[string]string{variables.NeededBy(digest): "true"},
		},
		Type: corev1.SecretTypeOpaque, Data: data, Immutable: &always,
	}
	_, err = k.client.CoreV1().Secrets(place.Namespace).Create(ctx, secret, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
	if apierrors.IsAlreadyExists(err) {
		return secret.Name, k.again(ctx, place, secret)
	}
	return secret.Name, failed(ctx, place, "create Secret "+secret.Name, "create", err)
}

// again notes on a Secret that is there already that one more digest needs it.
func (k *Keeper) again(ctx context.Context, place variables.Place, want *corev1.Secret) error {
	secrets := k.client.CoreV1().Secrets(place.Namespace)
	there, err := secrets.Get(ctx, want.Name, metav1.GetOptions{})
	if err != nil {
		return failed(ctx, place, "read Secret "+want.Name, "get", err)
	}
	if there.Labels[v1alpha1.LabelService] != place.Service || !maps.EqualFunc(there.Data, want.Data, hmac.Equal) {
		return fault.New(fault.Refused, "keep variables", "Secret %s/%s holds something else than its name says: somebody changed it", place.Namespace, want.Name).
			WithHint("find out who did, delete it, and deploy again")
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": want.Annotations}})
	if err != nil {
		return fault.Wrap(fault.Internal, "keep variables", err)
	}
	_, err = secrets.Patch(ctx, want.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: v1alpha1.FieldManager})
	return failed(ctx, place, "annotate Secret "+want.Name, "patch", err)
}

// Kept implements variables.Keeper.
func (k *Keeper) Kept(ctx context.Context, place variables.Place) ([]variables.Value, error) {
	list, err := k.list(ctx, place)
	if err != nil {
		return nil, err
	}
	var out []variables.Value
	for _, secret := range list.Items {
		for _, content := range secret.Data {
			out = append(out, variables.NewValue(string(content)))
		}
	}
	return out, nil
}

func (k *Keeper) list(ctx context.Context, place variables.Place) (*corev1.SecretList, error) {
	list, err := k.client.CoreV1().Secrets(place.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: place.Labels(kind)}),
	})
	return list, failed(ctx, place, "list Secrets", "list", err)
}

// Collect implements variables.Keeper.
func (k *Keeper) Collect(ctx context.Context, place variables.Place, digests []string) ([]string, error) {
	secrets := k.client.CoreV1().Secrets(place.Namespace)
	list, err := k.list(ctx, place)
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, secret := range list.Items {
		if variables.Needed(secret.Annotations, digests) {
			continue
		}
		// Whoever needs it since it was listed has changed it.
		version := secret.ResourceVersion
		err := secrets.Delete(ctx, secret.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &version}})
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return removed, failed(ctx, place, "delete Secret "+secret.Name, "delete", err)
		}
		removed = append(removed, secret.Name)
	}
	return removed, nil
}

// Forget removes the key with which a namespace's Secrets were named; none of them may be needed any more.
func (k *Keeper) Forget(ctx context.Context, namespace string) error {
	err := k.client.CoreV1().Secrets(namespace).Delete(ctx, keySecret, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return failed(ctx, variables.Place{Namespace: namespace}, "delete Secret "+keySecret, "delete", err)
}

// key is the namespace's, made where there is none.
func (k *Keeper) key(ctx context.Context, namespace string) ([]byte, error) {
	place := variables.Place{Namespace: namespace}
	secrets := k.client.CoreV1().Secrets(namespace)
	for {
		there, err := secrets.Get(ctx, keySecret, metav1.GetOptions{})
		if err == nil && len(there.Data[keyEntry]) != keyLength {
			return nil, fault.New(fault.Refused, "keep variables", "Secret %s/%s holds no key of %d bytes", namespace, keySecret, keyLength).
				WithHint("delete it: the next deployment makes a new one, and the Secrets of variables get other names")
		}
		if err == nil {
			return there.Data[keyEntry], nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, failed(ctx, place, "read Secret "+keySecret, "get", err)
		}
		fresh := make([]byte, keyLength)
		// It never fails: the program ends where the system has no randomness.
		_, _ = rand.Read(fresh)
		always := true
		_, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: keySecret}, Data: map[string][]byte{keyEntry: fresh}, Immutable: &always,
		}, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
		if err == nil {
			return fresh, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, failed(ctx, place, "create Secret "+keySecret, "create", err)
		}
	}
}

// nameOf is made of the contents and of a key that only the namespace holds: short secrets cannot be guessed from it.
func nameOf(service string, key []byte, data map[string][]byte) string {
	mac := hmac.New(sha256.New, key)
	length := func(b []byte) { _ = binary.Write(mac, binary.BigEndian, uint64(len(b))); mac.Write(b) }
	length([]byte(service))
	for _, name := range slices.Sorted(maps.Keys(data)) {
		length([]byte(name))
		length(data[name])
	}
	return service + "-variables-" + hex.EncodeToString(mac.Sum(nil))[:nameLength]
}

// failed is what the API server refused, and which right it wants; nil for no error.
func failed(ctx context.Context, place variables.Place, what, verb string, err error) error {
	const op = "keep variables"
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.Wrap(fault.Interrupted, op, ctx.Err())
	case apierrors.IsForbidden(err):
		return fault.New(fault.Unreachable, op, "%s in namespace %s: forbidden", what, place.Namespace).
			WithHint("let whoever deploys %s Secrets in the namespace %s", verb, place.Namespace)
	case apierrors.IsInvalid(err), apierrors.IsRequestEntityTooLargeError(err):
		return fault.New(fault.Refused, op, "%s in namespace %s: %w", what, place.Namespace, errors.New("the API server takes no such Secret")).
			WithHint("names of variables, or their key:, are letters, digits, dashes, dots and underscores; all together may have 1 MiB")
	}
	return fault.New(fault.Transient, op, "%s in namespace %s: %w", what, place.Namespace, err)
}
