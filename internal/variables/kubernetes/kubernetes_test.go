package kubernetes_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	client "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/kubernetes"
	"github.com/sluice-dev/sluice/internal/variables/variablestest"
)

const uid = types.UID("7d0e7d4c-7c0a-4f0e-9d83-0d5a6e8c6a11")

// put writes a key of the Secret, which is made where there is none.
func put(t *testing.T, c client.Interface, namespace, name, key, content string) {
	t.Helper()
	secrets := c.CoreV1().Secrets(namespace)
	secret, err := secrets.Get(t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		made := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, UID: uid}, Data: map[string][]byte{key: []byte(content)}}
		_, err = secrets.Create(t.Context(), made, metav1.CreateOptions{})
	} else if err == nil {
		if secret.Data == nil {
			secret.Data = map[string][]byte{}
		}
		secret.Data[key] = []byte(content)
		_, err = secrets.Update(t.Context(), secret, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func refuse(c *fake.Clientset, err error) {
	c.PrependReactor("get", "secrets", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, err })
}

func TestContract(t *testing.T) {
	variablestest.Run(t, func(t *testing.T) variablestest.Subject {
		c := fake.NewClientset()
		return variablestest.Subject{
			Store:  kubernetes.New(c, "shop", "app"),
			Put:    func(t *testing.T, name, content string) { put(t, c, "shop", "app", name, content) },
			Refuse: func(*testing.T) { refuse(c, forbidden()) },
		}
	})
}

func forbidden() error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "app", errors.New(`User "ci" cannot get resource "secrets"`))
}

func TestEveryErrorSaysWhatItIs(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want fault.Kind
		says []string
	}{
		"forbidden":    {forbidden(), fault.Unreachable, []string{`User "ci" cannot get`, "--verb=get --resource=secrets --resource-name=app"}},
		"unauthorized": {apierrors.NewUnauthorized("expired"), fault.Unreachable, []string{"refuses the credentials", "log in"}},
		"throttled":    {apierrors.NewTooManyRequests("busy", 1), fault.Unreachable, []string{"overloaded", "later"}},
		"no answer":    {context.DeadlineExceeded, fault.Unreachable, []string{"did not answer within 15s"}},
		"no network":   {errors.New("connection refused"), fault.Unreachable, []string{"connection refused"}},
		"no Secret":    {apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, "app"), fault.NotFound, []string{"no such Secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset()
			refuse(client, c.err)
			got, err := kubernetes.New(client, "shop", "app").Resolve(t.Context(), []variables.Query{{Name: "a"}})
			if got != nil || !fault.Is(err, c.want) {
				t.Fatalf("%v, %v (%v)", got, err, fault.KindOf(err))
			}
			text := err.Error() + "\n" + fault.HintOf(err)
			for _, part := range append(c.says, "Secret shop/app") {
				if !strings.Contains(text, part) {
					t.Errorf("it does not say %q: %s", part, text)
				}
			}
		})
	}
}

func TestAMissingKeyTellsThoseThatAreThere(t *testing.T) {
	c := fake.NewClientset()
	put(t, c, "shop", "app", "DB_PASSWORD", "c0ntent")
	_, err := kubernetes.New(c, "shop", "app").Resolve(t.Context(), []variables.Query{{Name: "DB_PASWORD"}})
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "its keys are DB_PASSWORD") || strings.Contains(err.Error(), "c0ntent") {
		t.Errorf("it gave %v", err)
	}
}

// TestVersionsAreNotComparable: the same content has another version in another Secret, and under another key.
func TestVersionsAreNotComparable(t *testing.T) {
	c := fake.NewClientset()
	put(t, c, "shop", "app", "a", "same")
	put(t, c, "shop", "app", "b", "same")
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "shop", UID: "another"}, Data: map[string][]byte{"a": []byte("same")}}
	if _, err := c.CoreV1().Secrets("shop").Create(t.Context(), other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := kubernetes.New(c, "shop", "app").Resolve(t.Context(), []variables.Query{{Name: "a"}, {Name: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	beside, err := kubernetes.New(c, "shop", "other").Resolve(t.Context(), []variables.Query{{Name: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Version == got[1].Version || got[0].Version == beside[0].Version {
		t.Errorf("versions tell that contents are the same: %v, %v", got, beside)
	}
}
