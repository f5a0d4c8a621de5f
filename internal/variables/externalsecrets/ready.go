package externalsecrets

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

const op = "let the cluster read variables"

// Ready implements variables.Referrer.
func (r *Referrer) Ready(ctx context.Context, place variables.Place) error {
	if err := r.served(ctx, place); err != nil {
		return err
	}
	store, err := r.store(ctx, place)
	if err != nil {
		return err
	}
	if err := r.same(store); err != nil {
		return err
	}
	switch ready := readiness(store); ready.status {
	case "True":
	case "":
		return fault.New(fault.Refused, op, "nothing in the cluster has looked at %s: the External Secrets operator does not run, or does not serve it", r.named(store)).
			WithHint("kubectl get deployments --all-namespaces -l app.kubernetes.io/name=external-secrets; and compare spec.controller of the %s", r.way.Kind)
	default:
		return fault.New(fault.Refused, op, "%s cannot be used: %s", r.named(store), ready).
			WithHint("%s", r.describe(place))
	}
	return r.allowed(ctx, place)
}

// served asks whether the cluster knows what is to be written.
func (r *Referrer) served(ctx context.Context, place variables.Place) error {
	_, err := r.client.Discovery().ServerResourcesForGroupVersion(group + "/" + version)
	if apierrors.IsNotFound(err) {
		return fault.New(fault.Refused, op, "the cluster knows no %s/%s: the External Secrets operator is not installed, or is older than 0.16", group, version).
			WithHint("let who runs the cluster install it: helm install external-secrets external-secrets/external-secrets --namespace external-secrets --create-namespace; or take the variables as secret")
	}
	return r.failed(ctx, place, "ask for "+group+"/"+version, "get", plural, err)
}

// store reads the operator's way to the store.
func (r *Referrer) store(ctx context.Context, place variables.Place) (*unstructured.Unstructured, error) {
	stores := r.objects.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: r.resource()})
	var store *unstructured.Unstructured
	var err error
	if r.everywhere() {
		store, err = stores.Get(ctx, r.way.Store, metav1.GetOptions{})
	} else {
		store, err = stores.Namespace(place.Namespace).Get(ctx, r.way.Store, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) {
		where := ""
		if !r.everywhere() {
			where = " in namespace " + place.Namespace
		}
		return nil, fault.New(fault.Refused, op, "there is no %s %s%s", r.way.Kind, r.way.Store, where).
			WithHint("make it, so that it leads to the store of this environment, or name another in environments.%s.references; kubectl --namespace %s get secretstores,clustersecretstores lists them",
				place.Environment, place.Namespace)
	}
	return store, r.failed(ctx, place, "read "+r.way.Kind+" "+r.way.Store, "get", r.resource(), err)
}

// same makes sure that the way leads to the store whose versions we list.
func (r *Referrer) same(store *unstructured.Unstructured) error {
	provider, _, _ := unstructured.NestedMap(store.Object, "spec", "provider")
	settings, ok := provider[r.target.Provider].(map[string]any)
	if !ok {
		return fault.New(fault.Refused, op, "%s leads to a store of the kind %s, and this environment's is %s", r.named(store),
			strings.Join(slices.Sorted(maps.Keys(provider)), ", "), r.target.Provider).
			WithHint("let it lead to the store that `variables` of the environment names, or name another %s", r.way.Kind)
	}
	for _, key := range slices.Sorted(maps.Keys(r.target.Settings)) {
		want := r.target.Settings[key]
		have, there := settings[key].(string)
		if there && have != "" && plain(have) != plain(want) {
			return fault.New(fault.Refused, op, "%s has the %s %q, and this environment's store has %q: the cluster would read another store", r.named(store), key, have, want).
				WithHint("correct it, or name another %s", r.way.Kind)
		}
	}
	return nil
}

// plain takes away in what a setting may differ and mean the same.
func plain(setting string) string {
	setting = strings.Trim(setting, "/")
	if strings.Contains(setting, "://") {
		return strings.ToLower(setting)
	}
	return setting
}

// allowed asks whether who deploys may write what is to be written.
func (r *Referrer) allowed(ctx context.Context, place variables.Place) error {
	var missing []string
	for _, verb := range []string{"create", "get", "list", "patch", "delete"} {
		answer, err := r.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: place.Namespace, Group: group, Resource: plural, Verb: verb,
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			return r.failed(ctx, place, "ask for our rights on ExternalSecrets", "create", plural, err)
		}
		if !answer.Status.Allowed {
			missing = append(missing, verb)
		}
	}
	if len(missing) > 0 {
		return r.forbidden(place, strings.Join(missing, ","), plural, "we may not "+strings.Join(missing, ", ")+" ExternalSecrets")
	}
	return nil
}

func (r *Referrer) forbidden(place variables.Place, verbs, resource, what string) error {
	if r.everywhere() && resource == r.resource() {
		return fault.New(fault.Unreachable, op, "%s: forbidden", what).
			WithHint("grant it: kubectl create clusterrole sluice-references --verb=%s --resource=%s.%s --resource-name=%s, and a clusterrolebinding of it", verbs, resource, group, r.way.Store)
	}
	return fault.New(fault.Unreachable, op, "%s in namespace %s: forbidden", what, place.Namespace).
		WithHint("grant it: kubectl --namespace %s create role sluice-references --verb=%s --resource=%s.%s, and a rolebinding of it", place.Namespace, verbs, resource, group)
}

// failed is what the API server refused, and which right it wants; nil for no error.
func (r *Referrer) failed(ctx context.Context, place variables.Place, what, verb, resource string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.Wrap(fault.Interrupted, op, ctx.Err())
	case apierrors.IsForbidden(err):
		return r.forbidden(place, verb, resource, what)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return fault.New(fault.Refused, op, "%s in namespace %s: the operator's API takes no such object: %w", what, place.Namespace, err).
			WithHint("the cluster's External Secrets may be older than 0.16; names of variables, or their key:, are letters, digits, dashes, dots and underscores")
	}
	return fault.New(fault.Transient, op, "%s in namespace %s: %w", what, place.Namespace, err)
}

// everywhere says that the way to the store is in no namespace.
func (r *Referrer) everywhere() bool { return r.way.Kind == v1alpha1.KindClusterSecretStore }

// resource is the way's, as the API server calls it.
func (r *Referrer) resource() string { return strings.ToLower(r.way.Kind) + "s" }

func (r *Referrer) named(store *unstructured.Unstructured) string {
	if store.GetNamespace() == "" {
		return r.way.Kind + " " + store.GetName()
	}
	return r.way.Kind + " " + store.GetNamespace() + "/" + store.GetName()
}

func (r *Referrer) describe(place variables.Place) string {
	if r.everywhere() {
		return "why: kubectl describe clustersecretstore " + r.way.Store
	}
	return "why: kubectl --namespace " + place.Namespace + " describe secretstore " + r.way.Store
}

// condition is what the operator says of an object.
type condition struct{ status, reason, message string }

func (c condition) String() string { return fmt.Sprintf("%s (%s)", c.message, c.reason) }

// readiness is the condition Ready; empty where the operator has said nothing yet.
func readiness(u *unstructured.Unstructured) condition {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, one := range conditions {
		c, _ := one.(map[string]any)
		text := func(key string) string { s, _ := c[key].(string); return s }
		if text("type") == "Ready" {
			message, _, _ := strings.Cut(text("message"), "\n")
			return condition{text("status"), text("reason"), message}
		}
	}
	return condition{}
}
