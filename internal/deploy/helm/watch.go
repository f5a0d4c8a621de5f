package helm

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/sluice-dev/sluice/internal/deploy"
)

// rewatch is the rest after a watch that ended or was refused.
const rewatch = 5 * time.Second

// watched are the kinds whose changes make a slot ready, or tell that it will not be.
func watched() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{
		{Version: "v1", Resource: "pods"},
		{Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
	}
}

// Watch tells until ctx ends that something of what Observe sees may have changed; changes that come together are told once. It only
// spares those who wait from asking all the time: where it is not allowed or breaks it keeps silent, and they ask at their leisure.
func (r *Releaser) Watch(ctx context.Context, scope deploy.Scope) <-chan struct{} {
	changed := make(chan struct{}, 1)
	for _, kind := range watched() {
		go wait.UntilWithContext(ctx, func(ctx context.Context) { r.follow(ctx, kind, scope.Namespace, changed) }, rewatch)
	}
	return changed
}

// follow tells of changes until the watch ends. Only the objects' metadata is asked for: that something changed is enough.
func (r *Releaser) follow(ctx context.Context, kind schema.GroupVersionResource, namespace string, changed chan<- struct{}) {
	watch, err := r.meta.Resource(kind).Namespace(namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	defer watch.Stop()
	for range watch.ResultChan() {
		select {
		case changed <- struct{}{}:
		default: // told already, and not looked yet
		}
	}
}
