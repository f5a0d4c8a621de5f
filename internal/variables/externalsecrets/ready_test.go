package externalsecrets_test

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"github.com/sluice-dev/sluice/internal/fault"
)

// storeOf is a SecretStore that leads to Vault as the tests want it, and that the operator has found good.
func storeOf(change func(u *unstructured.Unstructured)) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": map[string]any{"name": "vault", "namespace": "shop"},
		"spec":   map[string]any{"provider": map[string]any{"vault": map[string]any{"server": "https://v", "path": "secret/", "version": "v2"}}},
		"status": conditions("True", "Valid", "store validated"),
	}}
	if change != nil {
		change(u)
	}
	return u
}

func provider(u *unstructured.Unstructured) map[string]any {
	return u.Object["spec"].(map[string]any)["provider"].(map[string]any)
}

func TestReady(t *testing.T) {
	forbidden := func(resource string) clienttesting.ReactionFunc {
		return func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Group: "external-secrets.io", Resource: resource}, "vault", errors.New("no"))
		}
	}
	for about, c := range map[string]struct {
		store  *unstructured.Unstructured
		change func(b *bed)
		kind   fault.Kind
		says   string
		cure   string
	}{
		"all is well":                {store: storeOf(nil)},
		"settings that are left out": {store: storeOf(func(u *unstructured.Unstructured) { provider(u)["vault"] = map[string]any{"server": "https://v"} })},
		"no operator": {storeOf(nil), func(b *bed) { b.client.Resources = nil }, fault.Refused,
			"the cluster knows no external-secrets.io/v1: the External Secrets operator is not installed, or is older than 0.16", "helm install external-secrets"},
		"no store":         {nil, nil, fault.Refused, "there is no SecretStore vault in namespace shop", "environments.prod.references"},
		"no store for all": {storeOf(nil), func(b *bed) { b.way.Kind = "ClusterSecretStore" }, fault.Refused, "there is no ClusterSecretStore vault", "kubectl"},
		"another kind of store": {storeOf(func(u *unstructured.Unstructured) {
			u.Object["spec"] = map[string]any{"provider": map[string]any{"azurekv": map[string]any{}}}
		}), nil, fault.Refused, "SecretStore shop/vault leads to a store of the kind azurekv, and this environment's is vault", "`variables` of the environment"},
		"another store": {storeOf(func(u *unstructured.Unstructured) { provider(u)["vault"].(map[string]any)["path"] = "other" }), nil, fault.Refused,
			`has the path "other", and this environment's store has "secret": the cluster would read another store`, "correct it"},
		"nobody has looked": {storeOf(func(u *unstructured.Unstructured) { delete(u.Object, "status") }), nil, fault.Refused,
			"nothing in the cluster has looked at SecretStore shop/vault", "spec.controller"},
		"a store that is not good": {storeOf(func(u *unstructured.Unstructured) {
			u.Object["status"] = conditions("False", "InvalidProviderConfig", "unable to validate store")
		}), nil, fault.Refused, "SecretStore shop/vault cannot be used: unable to validate store (InvalidProviderConfig)", "kubectl --namespace shop describe secretstore vault"},
		"no right to write": {storeOf(nil), func(b *bed) { b.denied = "patch,delete" }, fault.Unreachable,
			"we may not patch, delete ExternalSecrets in namespace shop: forbidden", "--verb=patch,delete --resource=externalsecrets.external-secrets.io"},
		"no right to look": {storeOf(nil), func(b *bed) { b.objects.PrependReactor("get", "secretstores", forbidden("secretstores")) }, fault.Unreachable,
			"read SecretStore vault in namespace shop: forbidden", "--verb=get --resource=secretstores.external-secrets.io"},
		"no right to look in the cluster": {storeOf(nil), func(b *bed) {
			b.way.Kind = "ClusterSecretStore"
			b.objects.PrependReactor("get", "clustersecretstores", forbidden("clustersecretstores"))
		}, fault.Unreachable, "read ClusterSecretStore vault: forbidden", "create clusterrole sluice-references --verb=get --resource=clustersecretstores.external-secrets.io --resource-name=vault"},
		"no answer": {storeOf(nil), func(b *bed) {
			b.objects.PrependReactor("get", "secretstores", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, errors.New("connection refused")
			})
		}, fault.Transient, "connection refused", ""},
	} {
		t.Run(about, func(t *testing.T) {
			var objects []runtime.Object
			if c.store != nil {
				objects = append(objects, c.store)
			}
			b := newBed(t, objects...)
			if c.change != nil {
				c.change(b)
			}
			err := b.referrer().Ready(t.Context(), prod)
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || !strings.Contains(fault.HintOf(err), c.cure) {
				t.Errorf("it gives %v; %s", err, fault.HintOf(err))
			}
		})
	}
}
