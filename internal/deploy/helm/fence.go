package helm

import (
	"context"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// fence refuses what comes from an older driver, by something other than Helm's history.
type fence func(ctx context.Context, scope deploy.Scope, generation int64) error

// routesFence refuses where a newer driver has written the service's routes: it may have brought traffic back to
// the slot that is to be freed, and no Helm release tells so.
func (r *Releaser) routesFence(ctx context.Context, scope deploy.Scope, generation int64) error {
	for _, resource := range []schema.GroupVersionResource{
		{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
		{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"},
		{Version: "v1", Resource: "services"},
	} {
		list, err := r.meta.Resource(resource).Namespace(scope.Namespace).List(ctx, metav1.ListOptions{
			LabelSelector: v1alpha1.LabelService + "=" + scope.Service,
		})
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) && r.unknown(resource) {
			continue // a cluster without this kind
		}
		if err != nil {
			return fmt.Errorf("list %s in namespace %s: %w", resource.Resource, scope.Namespace, err)
		}
		for _, item := range list.Items {
			written, ok := item.Annotations[v1alpha1.AnnotationGeneration]
			if !ok {
				continue
			}
			g, err := strconv.ParseInt(written, 10, 64)
			if err == nil && g > generation {
				return fault.New(fault.Conflict, "fence", "%s %s was written under lease generation %d, this run holds %d",
					resource.Resource, item.Name, g, generation).WithHint("another run has taken over; look at `sluice status`")
			}
		}
	}
	return nil
}

// unknown says that the cluster does not serve a kind; whoever has no right to it is told that it is forbidden.
func (r *Releaser) unknown(kind schema.GroupVersionResource) bool {
	_, err := r.kube.Discovery().ServerResourcesForGroupVersion(kind.GroupVersion().String())
	return apierrors.IsNotFound(err)
}
