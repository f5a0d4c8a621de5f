package externalsecrets_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/externalsecrets"
)

var prod = variables.Place{Namespace: "shop", Service: "web", Environment: "prod"}

func resource(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "external-secrets.io", Version: "v1", Resource: plural}
}

// bed is a fake API server, without the operator: what that writes the tests write.
type bed struct {
	t       *testing.T
	objects *dynamicfake.FakeDynamicClient
	client  *fake.Clientset
	way     v1alpha1.ExternalSecrets
	// denied are the verbs that we may not use on ExternalSecrets.
	denied string
	// looked is called each time that somebody waits for the operator.
	looked func(name int)

	mu     sync.Mutex
	passed time.Duration
	waits  int
}

func newBed(t *testing.T, objects ...runtime.Object) *bed {
	b := &bed{t: t, client: fake.NewClientset(), way: v1alpha1.ExternalSecrets{Store: "vault", Kind: "SecretStore"}}
	b.objects = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		resource("externalsecrets"): "ExternalSecretList", resource("secretstores"): "SecretStoreList", resource("clustersecretstores"): "ClusterSecretStoreList",
	}, objects...)
	b.client.Resources = []*metav1.APIResourceList{{GroupVersion: "external-secrets.io/v1"}}
	b.client.PrependReactor("create", "selfsubjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
		review.Status.Allowed = !strings.Contains(b.denied, review.Spec.ResourceAttributes.Verb)
		return true, review, nil
	})
	return b
}

// Now and Wait make the bed a clock on which time passes only where somebody waits.
func (b *bed) Now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(b.passed)
}

func (b *bed) Wait(ctx context.Context, d time.Duration) error {
	b.mu.Lock()
	b.passed += d
	b.waits++
	n := b.waits
	b.mu.Unlock()
	if b.looked != nil {
		b.looked(n)
	}
	return ctx.Err()
}

func (b *bed) referrer() *externalsecrets.Referrer {
	return externalsecrets.New(b.objects, b.client, b.way, externalsecrets.Target{
		Provider: "vault", Settings: map[string]string{"path": "secret", "version": "v2", "namespace": ""},
		Remote: func(name string) (string, string) { return "secret/shop/" + name, "value" },
	}, b)
}

// answers lets the operator say something of every ExternalSecret as soon as somebody waits for it.
func (b *bed) answers(status, reason, message string) {
	b.looked = func(int) {
		all, err := b.objects.Resource(resource("externalsecrets")).Namespace("shop").List(context.Background(), metav1.ListOptions{})
		if err != nil {
			b.t.Error(err)
			return
		}
		for _, u := range all.Items {
			u.Object["status"] = conditions(status, reason, message)
			if _, err := b.objects.Resource(resource("externalsecrets")).Namespace("shop").Update(context.Background(), &u, metav1.UpdateOptions{}); err != nil {
				b.t.Error(err)
			}
		}
	}
}

func conditions(status, reason, message string) map[string]any {
	return map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": status, "reason": reason, "message": message}}}
}

func (b *bed) get(name string) *unstructured.Unstructured {
	b.t.Helper()
	u, err := b.objects.Resource(resource("externalsecrets")).Namespace("shop").Get(b.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

func digestOf(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

func references(version string) []variables.Reference {
	return []variables.Reference{{Key: "TOKEN", Name: "token", Version: version}, {Key: "DB_PASSWORD", Name: "db", Version: "3"}}
}

func (b *bed) refer(digest, version string) string {
	b.t.Helper()
	name, err := b.referrer().Refer(b.t.Context(), prod, digest, references(version))
	if err != nil {
		b.t.Fatal(err)
	}
	return name
}

func TestTheClusterIsToldWhichVersionsToRead(t *testing.T) {
	b := newBed(t)
	b.answers("True", "SecretSynced", "secret synced")
	name := b.refer(digestOf("1"), "7")
	u := b.get(name)
	want := map[string]any{
		"refreshPolicy":  "CreatedOnce",
		"secretStoreRef": map[string]any{"kind": "SecretStore", "name": "vault"},
		"target":         map[string]any{"name": name, "creationPolicy": "Owner", "deletionPolicy": "Retain", "immutable": true},
		"data": []any{
			map[string]any{"secretKey": "DB_PASSWORD", "remoteRef": map[string]any{"key": "secret/shop/db", "property": "value", "version": "3"}},
			map[string]any{"secretKey": "TOKEN", "remoteRef": map[string]any{"key": "secret/shop/token", "property": "value", "version": "7"}},
		},
	}
	if diff := cmp.Diff(want, u.Object["spec"]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	labels := map[string]string{"sluice.dev/service": "web", "sluice.dev/environment": "prod", "sluice.dev/variables": "reference"}
	if diff := cmp.Diff(labels, u.GetLabels()); diff != "" {
		t.Errorf("labels (-want +got)\n%s", diff)
	}
	if !strings.HasPrefix(name, "web-references-") || len(name) != len("web-references-")+20 {
		t.Errorf("its name is %s", name)
	}
}

func TestNamesFollowWhatIsReferredTo(t *testing.T) {
	b := newBed(t)
	b.answers("True", "SecretSynced", "")
	first, same, other := b.refer(digestOf("1"), "7"), b.refer(digestOf("2"), "7"), b.refer(digestOf("2"), "8")
	b.way.Store = "elsewhere"
	if elsewhere := b.refer(digestOf("2"), "7"); first != same || first == other || elsewhere == first {
		t.Errorf("the names are %s, %s, %s and, by another store, %s", first, same, other, elsewhere)
	}
	if a := b.get(first).GetAnnotations(); len(a) != 2 {
		t.Errorf("it is needed by %v", a)
	}
}

func TestWhatIsSomebodyElsesIsRefused(t *testing.T) {
	for about, change := range map[string]func(u *unstructured.Unstructured){
		"other labels": func(u *unstructured.Unstructured) { u.SetLabels(nil) },
		"other version": func(u *unstructured.Unstructured) {
			at(u, "data")[0].(map[string]any)["remoteRef"] = map[string]any{"key": "secret/shop/db", "property": "value", "version": "2"}
		},
		"fewer": func(u *unstructured.Unstructured) { u.Object["spec"].(map[string]any)["data"] = at(u, "data")[:1] },
	} {
		t.Run(about, func(t *testing.T) {
			b := newBed(t)
			b.answers("True", "SecretSynced", "")
			u := b.get(b.refer(digestOf("1"), "7"))
			change(u)
			if _, err := b.objects.Resource(resource("externalsecrets")).Namespace("shop").Update(t.Context(), u, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			_, err := b.referrer().Refer(t.Context(), prod, digestOf("2"), references("7"))
			if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "somebody changed it") {
				t.Errorf("it gives %v", err)
			}
		})
	}
}

func at(u *unstructured.Unstructured, key string) []any {
	return u.Object["spec"].(map[string]any)[key].([]any)
}

func TestTheOperatorIsWaitedFor(t *testing.T) {
	for about, c := range map[string]struct {
		answer func(b *bed)
		kind   fault.Kind
		says   string
	}{
		"filled at last": {func(b *bed) {
			b.answers("False", "SecretSyncedError", "could not get secret data from provider")
			failing := b.looked
			b.looked = func(n int) {
				if failing(n); n == 5 {
					b.answers("True", "SecretSynced", "")
				}
			}
		}, fault.Internal, ""},
		"it cannot": {func(b *bed) { b.answers("False", "SecretSyncedError", "could not get secret data from provider\nmore") }, fault.Refused,
			"the cluster cannot read the variables by SecretStore vault: could not get secret data from provider (SecretSyncedError); why: kubectl --namespace shop describe externalsecret web-references-"},
		"it says nothing": {func(*bed) {}, fault.Unreachable, "in 30s nothing in the cluster has answered ExternalSecret shop/web-references-"},
	} {
		t.Run(about, func(t *testing.T) {
			b := newBed(t)
			c.answer(b)
			_, err := b.referrer().Refer(t.Context(), prod, digestOf("1"), references("7"))
			switch {
			case c.kind == fault.Internal:
				if err != nil {
					t.Error(err)
				}
			case !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || fault.HintOf(err) == "" || b.passed != 30*time.Second:
				t.Errorf("after %s it gives %v; %s", b.passed, err, fault.HintOf(err))
			}
		})
	}
	b := newBed(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.looked = func(int) { cancel() }
	if _, err := b.referrer().Refer(ctx, prod, digestOf("1"), references("7")); !fault.Is(err, fault.Interrupted) {
		t.Errorf("interrupted it gives %v", err)
	}
}

func TestCollectLeavesWhatIsNeeded(t *testing.T) {
	b := newBed(t)
	b.answers("True", "SecretSynced", "")
	old, live := b.refer(digestOf("1"), "7"), b.refer(digestOf("2"), "8")
	stranger := b.get(old).DeepCopy()
	stranger.SetName("stranger")
	stranger.SetLabels(map[string]string{"sluice.dev/service": "other", "sluice.dev/environment": "prod", "sluice.dev/variables": "reference"})
	if _, err := b.objects.Resource(resource("externalsecrets")).Namespace("shop").Create(t.Context(), stranger, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	removed, err := b.referrer().Collect(t.Context(), prod, []string{digestOf("2"), ""})
	if err != nil || cmp.Diff([]string{old}, removed) != "" {
		t.Errorf("removed %v, %v", removed, err)
	}
	b.get(live)
	b.get("stranger")
}

func TestACollectWithoutAnOperatorFindsNothing(t *testing.T) {
	b := newBed(t)
	b.objects.PrependReactor("list", "externalsecrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewGenericServerResponse(404, "list", schema.GroupResource{}, "", "404 page not found", 0, true)
	})
	if removed, err := b.referrer().Collect(t.Context(), prod, nil); removed != nil || err != nil {
		t.Errorf("it gives %v, %v", removed, err)
	}
	b.objects.PrependReactor("list", "externalsecrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Group: "external-secrets.io", Resource: "externalsecrets"}, "", errors.New("no"))
	})
	if _, err := b.referrer().Collect(t.Context(), prod, nil); !fault.Is(err, fault.Unreachable) || !strings.Contains(fault.HintOf(err), "--verb=list --resource=externalsecrets.external-secrets.io") {
		t.Errorf("without a right it gives %v", err)
	}
}

// A reference without a version would follow the store, and change under pods that run.
func TestAReferenceNeedsAVersion(t *testing.T) {
	b := newBed(t)
	if _, err := b.referrer().Refer(t.Context(), prod, digestOf("1"), references("")); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("it gives %v", err)
	}
}
