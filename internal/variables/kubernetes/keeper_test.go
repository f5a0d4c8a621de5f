package kubernetes_test

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/kubernetes"
)

var prod = variables.Place{Namespace: "shop", Service: "web", Environment: "prod"}

func contents(password string) map[string]variables.Value {
	return map[string]variables.Value{"DB_PASSWORD": variables.NewValue(password), "TOKEN": variables.NewValue("t0ken")}
}

func digestOf(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

func needs(digests ...string) variables.Needs {
	return func(context.Context) ([]string, error) { return digests, nil }
}

func keep(t *testing.T, k *kubernetes.Keeper, digest, password string) string {
	t.Helper()
	name, err := k.Keep(t.Context(), prod, digest, contents(password))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestKeptSecretsAreNamedByTheirContents(t *testing.T) {
	client := fake.NewClientset()
	k := kubernetes.NewKeeper(client)
	first, same, other := keep(t, k, digestOf("1"), "hunter2"), keep(t, k, digestOf("2"), "hunter2"), keep(t, k, digestOf("3"), "hunter3")
	if first != same || first == other {
		t.Errorf("the names are %s, %s and %s", first, same, other)
	}
	secret, err := client.CoreV1().Secrets("shop").Get(t.Context(), first, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if string(secret.Data["DB_PASSWORD"]) != "hunter2" || secret.Immutable == nil || !*secret.Immutable {
		t.Errorf("the Secret holds %d keys, immutable %v", len(secret.Data), secret.Immutable)
	}
	if len(secret.Annotations) != 2 {
		t.Errorf("it is needed by %v", secret.Annotations)
	}
	// In another namespace, with another key, nobody can tell that the contents are the same.
	away := prod
	away.Namespace = "other"
	elsewhere, err := k.Keep(t.Context(), away, digestOf("1"), contents("hunter2"))
	if err != nil || elsewhere == first {
		t.Errorf("elsewhere it is %s as well, %v", elsewhere, err)
	}
}

func TestKeysAndContentsAreNotMixedUp(t *testing.T) {
	k := kubernetes.NewKeeper(fake.NewClientset())
	names := map[string]bool{}
	for _, c := range []map[string]string{{"ab": "c"}, {"a": "bc"}, {"a": "b", "c": ""}, {"a": "", "bc": ""}, {"abc": ""}} {
		values := map[string]variables.Value{}
		for name, text := range c {
			values[name] = variables.NewValue(text)
		}
		name, err := k.Keep(t.Context(), prod, digestOf("1"), values)
		if err != nil || names[name] {
			t.Errorf("%v is named %s, %v", c, name, err)
		}
		names[name] = true
	}
}

func TestWhatNothingNeedsIsCollected(t *testing.T) {
	client := fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "foreign"}})
	k := kubernetes.NewKeeper(client)
	kept, gone := keep(t, k, digestOf("1"), "one"), keep(t, k, digestOf("2"), "two")
	away := prod
	away.Service = "other"
	if _, err := k.Keep(t.Context(), away, digestOf("3"), contents("three")); err != nil {
		t.Fatal(err)
	}
	removed, err := k.Collect(t.Context(), prod, needs(digestOf("1"), ""))
	if err != nil || !slices.Equal(removed, []string{gone}) {
		t.Errorf("%v was removed, %v; want %s", removed, err, gone)
	}
	list, err := client.CoreV1().Secrets("shop").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 4 {
		t.Errorf("there are %d Secrets left, %v; want the key, a foreign one, %s and another service's", len(list.Items), err, kept)
	}
	if err := k.Forget(t.Context(), "shop"); err != nil {
		t.Error(err)
	}
	if err := k.Forget(t.Context(), "shop"); err != nil {
		t.Errorf("a key that is gone: %v", err)
	}
}

// Another run records a digest, and then keeps something for it. Whenever it does, that stays.
func TestWhatIsKeptMeanwhileStays(t *testing.T) {
	client := fake.NewClientset()
	k := kubernetes.NewKeeper(client)
	name := keep(t, k, digestOf("1"), "one")
	stamp := func() string {
		secret, err := client.CoreV1().Secrets("shop").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return secret.Annotations[variables.NeededBy(digestOf("1"))]
	}
	removed, err := k.Collect(t.Context(), prod, func(context.Context) ([]string, error) {
		keep(t, k, digestOf("2"), "two")
		return []string{digestOf("1"), digestOf("2")}, nil
	})
	if err != nil || len(removed) != 0 {
		t.Errorf("%v was removed, %v", removed, err)
	}
	// What the same digest needs again changes, so the version that was listed before is not the one that is there.
	before := stamp()
	if keep(t, k, digestOf("1"), "one"); stamp() == before || before == "" {
		t.Errorf("the Secret has not changed: %s", before)
	}
	var listed string
	client.PrependReactor("list", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		list := &corev1.SecretList{Items: []corev1.Secret{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, ResourceVersion: "7", Labels: prod.Labels("true")}}}}
		return true, list, nil
	})
	client.PrependReactor("delete", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		listed = *action.(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions.ResourceVersion
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, name, nil)
	})
	if removed, err := k.Collect(t.Context(), prod, needs()); err != nil || len(removed) != 0 || listed != "7" {
		t.Errorf("%v was removed at version %q, %v", removed, listed, err)
	}
}

// Each deployment notes its digest; the notes of those that are over go, and no other.
func TestNotesThatAreOverAreTakenOff(t *testing.T) {
	client := fake.NewClientset()
	k := kubernetes.NewKeeper(client)
	name := keep(t, k, digestOf("1"), "one")
	for _, digit := range []string{"2", "3", "4"} {
		keep(t, k, digestOf(digit), "one")
	}
	if removed, err := k.Collect(t.Context(), prod, needs(digestOf("2"), digestOf("4"), digestOf("5"), "")); err != nil || len(removed) != 0 {
		t.Errorf("%v was removed, %v", removed, err)
	}
	secret, err := client.CoreV1().Secrets("shop").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{variables.NeededBy(digestOf("2")), variables.NeededBy(digestOf("4"))}
	if got := slices.Sorted(maps.Keys(secret.Annotations)); !slices.Equal(got, want) || string(secret.Data["TOKEN"]) != "t0ken" {
		t.Errorf("it is needed by %v", got)
	}
	// Who changes it at the same time goes first.
	client.PrependReactor("patch", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, name, nil)
	})
	if _, err := k.Collect(t.Context(), prod, needs(digestOf("2"))); err != nil {
		t.Errorf("a conflict gives %v", err)
	}
}

// Where it is not known what is needed, nothing is removed.
func TestNothingIsCollectedBlindly(t *testing.T) {
	client := fake.NewClientset()
	k := kubernetes.NewKeeper(client)
	unknown := func(context.Context) ([]string, error) { return nil, fault.New(fault.Unreachable, "", "down") }
	if _, err := k.Collect(t.Context(), prod, unknown); err != nil {
		t.Errorf("it asks although there is nothing to remove: %v", err)
	}
	name := keep(t, k, digestOf("1"), "one")
	if removed, err := k.Collect(t.Context(), prod, unknown); !fault.Is(err, fault.Unreachable) || len(removed) != 0 {
		t.Errorf("%v was removed, %v", removed, err)
	}
	if _, err := client.CoreV1().Secrets("shop").Get(t.Context(), name, metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestAChangedSecretIsRefused(t *testing.T) {
	client := fake.NewClientset()
	k := kubernetes.NewKeeper(client)
	name := keep(t, k, digestOf("1"), "hunter2")
	secret, err := client.CoreV1().Secrets("shop").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secret.Data["DB_PASSWORD"] = []byte("canary-of-somebody-else")
	if _, err := client.CoreV1().Secrets("shop").Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = k.Keep(t.Context(), prod, digestOf("1"), contents("hunter2"))
	if !fault.Is(err, fault.Refused) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("it gives %v", err)
	}
}

func TestAKeyThatIsNoneIsRefused(t *testing.T) {
	k := kubernetes.NewKeeper(fake.NewClientset(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "sluice-variables-key"}, Data: map[string][]byte{"key": []byte("short")},
	}))
	if _, err := k.Keep(t.Context(), prod, digestOf("1"), contents("x")); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "sluice-variables-key") {
		t.Errorf("it gives %v", err)
	}
}

func TestARightThatIsMissingIsNamed(t *testing.T) {
	for verb, ask := range map[string]func(context.Context, *kubernetes.Keeper) error{
		"create": func(ctx context.Context, k *kubernetes.Keeper) error {
			_, err := k.Keep(ctx, prod, digestOf("1"), contents("canary"))
			return err
		},
		"list": func(ctx context.Context, k *kubernetes.Keeper) error {
			_, err := k.Collect(ctx, prod, needs())
			return err
		},
	} {
		client := fake.NewClientset()
		client.PrependReactor(verb, "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", nil)
		})
		err := ask(t.Context(), kubernetes.NewKeeper(client))
		if !fault.Is(err, fault.Unreachable) || !strings.Contains(fault.HintOf(err), verb+" Secrets") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v (%s)", verb, err, fault.HintOf(err))
		}
	}
}

func TestAClusterThatIsNotReachedIsTold(t *testing.T) {
	for about, c := range map[string]struct {
		answer error
		kind   fault.Kind
		cure   string
	}{
		"refused":        {&url.Error{Op: "Get", URL: "https://c", Err: errors.New("connection refused")}, fault.Unreachable, "is the cluster up"},
		"no credentials": {apierrors.NewUnauthorized("no"), fault.Unreachable, "log in again"},
		"busy":           {apierrors.NewTooManyRequests("busy", 1), fault.Transient, ""},
	} {
		client := fake.NewClientset()
		client.PrependReactor("list", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, c.answer })
		_, err := kubernetes.NewKeeper(client).Collect(t.Context(), prod, needs())
		if !fault.Is(err, c.kind) || !strings.Contains(fault.HintOf(err), c.cure) {
			t.Errorf("%s gives %v (%s)", about, err, fault.HintOf(err))
		}
	}
}
