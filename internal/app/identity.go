package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	variablestore "github.com/sluice-dev/sluice/internal/variables/kubernetes"
)

// identityObject is the ConfigMap that pins a namespace to its cluster: a copy of it in another cluster does not fit there.
const identityObject = "sluice.identity"

// identity says which cluster this is.
type identity struct {
	// server is the URL of the API server, uid that of the kube-system namespace; uid is empty where it may not be read.
	server, uid string
}

// name is what to write into sluice.yaml to name this cluster.
func (i identity) name() string {
	if i.uid != "" {
		return i.uid
	}
	return i.server
}

// matches compares with what an environment wants: a URL or a UID.
func (i identity) matches(want string) bool {
	if strings.Contains(want, "://") {
		return normalURL(want) == i.server
	}
	return i.uid != "" && want == i.uid
}

// normalURL drops what does not distinguish servers: upper case, a default port, a trailing slash.
func normalURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return strings.TrimRight(strings.ToLower(s), "/")
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return strings.ToLower(u.Scheme) + "://" + host + strings.TrimRight(u.Path, "/")
}

// verify compares the cluster with the identity that the environment names.
func (i identity) verify(environment string, spec v1alpha1.Cluster) error {
	if spec.Identity == "" || i.matches(spec.Identity) {
		return nil
	}
	op := "identity of the cluster of environment " + environment
	if i.uid == "" && !strings.Contains(spec.Identity, "://") {
		return fault.New(fault.Unreachable, op, "sluice.yaml says UID %s, but these credentials may not read the namespace kube-system", spec.Identity).
			WithHint("allow `get` on that namespace, or name the API server's URL (here %s) as the identity", i.server)
	}
	found := i.server
	if !strings.Contains(spec.Identity, "://") {
		found = i.uid
	}
	return fault.New(fault.Usage, op, "sluice.yaml says %s, but %s leads to %s", spec.Identity, describeCluster(spec), found).
		WithHint("nothing was written; correct the context, or environments.%s.cluster.identity", environment)
}

// pinned compares the cluster with the pin in the namespace. It says whether there is one.
func (i identity) pinned(ctx context.Context, client kubernetes.Interface, environment, namespace string) (bool, error) {
	op := "identity of the cluster of environment " + environment
	pin, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, identityObject, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, apiError(op, fmt.Sprintf("read ConfigMap %s/%s", namespace, identityObject), err)
	}
	if want := pin.Data["identity"]; want != "" && !i.matches(want) {
		return true, fault.New(fault.Usage, op, "namespace %s was pinned to the cluster %s, but this is %s", namespace, want, i.name()).
			WithHint("nothing was written; if the namespace was moved here on purpose, delete its ConfigMap %s", identityObject)
	}
	return true, nil
}

// pin writes the identity into the namespace.
func (i identity) pin(ctx context.Context, client kubernetes.Interface, environment, namespace string) error {
	_, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: identityObject, Namespace: namespace, Labels: map[string]string{v1alpha1.LabelEnvironment: environment}},
		Data:       map[string]string{"identity": i.name(), "server": i.server},
	}, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return apiError("pin the cluster's identity", fmt.Sprintf("create ConfigMap %s/%s", namespace, identityObject), err)
}

// ensureNamespace creates the namespace where it is missing. Credentials that may not look are taken to be bound to an existing one.
func ensureNamespace(ctx context.Context, client kubernetes.Interface, environment, namespace string) (created bool, err error) {
	_, err = client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	switch {
	case err == nil, apierrors.IsForbidden(err):
		return false, nil
	case !apierrors.IsNotFound(err):
		return false, apiError("namespace "+namespace, "read", err)
	}
	_, err = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{v1alpha1.LabelEnvironment: environment}},
	}, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsAlreadyExists(err):
		return false, nil
	}
	return false, apiError("namespace "+namespace, "create", err)
}

// apiError classifies what the API server answered.
func apiError(op, what string, err error) error {
	if denied := deniedByAzure(err); denied != nil {
		return fault.New(fault.Unreachable, op, "%s: %w", what, denied).WithHint("grant it: %s; CLUSTER_ID is what az aks show --query id prints", denied.Command())
	}
	switch {
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fault.New(fault.Unreachable, op, "%s: %w", what, err).WithHint("these credentials lack a right; ask for it, or use others")
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return fault.New(fault.Usage, op, "%s: %w", what, err)
	}
	var answer apierrors.APIStatus
	switch {
	case errors.As(err, &answer):
		return fault.New(fault.Internal, op, "%s: %w", what, err)
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Interrupted, op, "%s: %w", what, err)
	}
	return fault.New(fault.Unreachable, op, "%s: %w", what, err)
}

// forget removes the pin, and the key that names Secrets of variables, where no service has records in the namespace any more.
func (c *cluster) forget(ctx context.Context, namespace string) error {
	const op = "forget the cluster's identity"
	maps := c.client.CoreV1().ConfigMaps(namespace)
	left, err := maps.List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelService, Limit: 1})
	if err != nil {
		return apiError(op, "list ConfigMaps of "+namespace, err)
	}
	if len(left.Items) > 0 {
		return nil
	}
	if err := maps.Delete(ctx, identityObject, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return apiError(op, "delete ConfigMap "+namespace+"/"+identityObject, err)
	}
	return variablestore.NewKeeper(c.client).Forget(ctx, namespace)
}
