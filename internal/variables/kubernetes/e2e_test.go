//go:build e2e

package kubernetes_test

import (
	"context"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/kubernetes"
	"github.com/sluice-dev/sluice/internal/variables/variablestest"
)

const defaultKubeconfig = "/var/lib/sluice-local/kubeconfig"

func clusterConfig(t *testing.T) *rest.Config {
	t.Helper()
	kubeconfig := defaultKubeconfig
	if k := os.Getenv("SLUICE_E2E_KUBECONFIG"); k != "" {
		kubeconfig = k
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatalf("no local cluster: %v", err)
	}
	config.QPS = -1
	return config
}

// namespace makes one for the test and deletes it afterwards.
func namespace(t *testing.T, c client.Interface) string {
	t.Helper()
	created, err := c.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "variables-e2e-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.CoreV1().Namespaces().Delete(context.Background(), created.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return created.Name
}

// reader is a client that may get the named Secret and nothing else: the least right that reading variables needs.
func reader(t *testing.T, config *rest.Config, c client.Interface, namespace, secret string) client.Interface {
	t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{secret}, Verbs: []string{"get"}}}}
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "reader"}}}
	if _, err := c.RbacV1().Roles(namespace).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	as := rest.CopyConfig(config)
	as.Impersonate = rest.ImpersonationConfig{UserName: "reader"}
	restricted := client.NewForConfigOrDie(as)
	// The API server hears of a right a moment after it was given.
	for t.Context().Err() == nil {
		if _, err := restricted.CoreV1().Secrets(namespace).Get(t.Context(), secret, metav1.GetOptions{}); !apierrors.IsForbidden(err) {
			break
		}
	}
	return restricted
}

func TestClusterContract(t *testing.T) {
	config := clusterConfig(t)
	admin := client.NewForConfigOrDie(config)
	variablestest.Run(t, func(t *testing.T) variablestest.Subject {
		ns := namespace(t, admin)
		return variablestest.Subject{
			Store: kubernetes.New(reader(t, config, admin, ns, "app"), ns, "app"),
			Put:   func(t *testing.T, name, content string) { put(t, admin, ns, "app", name, content) },
			Refuse: func(t *testing.T) {
				if err := admin.RbacV1().RoleBindings(ns).Delete(t.Context(), "reader", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				waitForbidden(t, config, ns)
			},
		}
	})
}

// waitForbidden waits until the API server has heard of the right that was taken.
func waitForbidden(t *testing.T, config *rest.Config, ns string) {
	t.Helper()
	as := rest.CopyConfig(config)
	as.Impersonate = rest.ImpersonationConfig{UserName: "reader"}
	c := client.NewForConfigOrDie(as)
	for t.Context().Err() == nil {
		_, err := kubernetes.New(c, ns, "app").Resolve(t.Context(), []variables.Query{{Name: "a"}})
		if fault.Is(err, fault.Unreachable) {
			return
		}
	}
}

func TestClusterErrors(t *testing.T) {
	config := clusterConfig(t)
	admin := client.NewForConfigOrDie(config)
	ns := namespace(t, admin)
	if _, err := kubernetes.New(admin, ns, "none").Resolve(t.Context(), []variables.Query{{Name: "a"}}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a missing Secret: %v", err)
	}
	restricted := reader(t, config, admin, ns, "app")
	_, err := kubernetes.New(restricted, ns, "other").Resolve(t.Context(), []variables.Query{{Name: "a"}})
	if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), `User "reader"`) || !strings.Contains(fault.HintOf(err), "--resource-name=other") {
		t.Errorf("a forbidden Secret: %v (%s)", err, fault.HintOf(err))
	}
	away := rest.CopyConfig(config)
	away.Host = "https://127.0.0.1:1"
	if _, err := kubernetes.New(client.NewForConfigOrDie(away), ns, "app").Resolve(t.Context(), []variables.Query{{Name: "a"}}); !fault.Is(err, fault.Unreachable) {
		t.Errorf("no API server: %v", err)
	}
}
