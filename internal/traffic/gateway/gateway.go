// Package gateway routes by the weights and header matches of Gateway API HTTPRoutes; it must not wait, and must not touch Gateways.
package gateway

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

var _ traffic.Router = (*Router)(nil)

const group = "gateway.networking.k8s.io"

// Router keeps one HTTPRoute per HTTPRoute of the chart: first the rules that the header leads by, then those by weight.
// Routes are handled as plain documents, so that fields of a newer Gateway API than this program knows survive.
type Router struct {
	client  dynamic.Interface
	callers traffic.Callers
	now     func() time.Time
}

// New returns a router in the cluster that the client talks to; callers moves the stable Services. A nil clock is the real one.
func New(client dynamic.Interface, callers traffic.Callers, now func() time.Time) *Router {
	if now == nil {
		now = time.Now
	}
	return &Router{client: client, callers: callers, now: now}
}

func (r *Router) routes(namespace string) dynamic.ResourceInterface {
	return r.client.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: "httproutes"}).Namespace(namespace)
}

// Split implements traffic.Router. It has converged when every Gateway has accepted the routes as written, and has had its time.
func (r *Router) Split(ctx context.Context, t traffic.Target) (traffic.State, error) {
	v, err := r.look(ctx, t)
	if err != nil {
		return traffic.State{}, failed("look at the HTTPRoutes", t.Namespace, err)
	}
	return v.state(r.now()), nil
}

// Shift implements traffic.Router: one write per HTTPRoute, then callers inside the cluster move.
func (r *Router) Shift(ctx context.Context, s traffic.Shift) error {
	if err := traffic.Expressible(s.Split); err != nil {
		return err
	}
	return failed("shift the HTTPRoutes", s.Namespace, r.shift(ctx, s))
}

func (r *Router) shift(ctx context.Context, s traffic.Shift) error {
	pass := traffic.Begin(s.Target, s.Generation, r.now)
	v, err := r.look(ctx, s.Target)
	if err != nil {
		return err
	}
	if err := v.fence(pass); err != nil {
		return err
	}
	want, err := newWanted(s.Target, s.Split)
	if err != nil {
		return err
	}
	for _, slot := range []v1alpha1.Slot{want.live, want.candidate} {
		if err := traffic.MayLead(ctx, r.callers, s.Target, v.state(r.now()).Split.Live(), slot); err != nil {
			return err
		}
	}
	for _, name := range want.names() {
		if err := r.write(ctx, pass, v, want, name); err != nil {
			return err
		}
	}
	for _, name := range v.stale(want.renders) {
		if err := r.remove(ctx, pass, v.routes[name]); err != nil {
			return err
		}
	}
	if len(s.Routes[want.live].Services) == 0 {
		return nil
	}
	return r.callers.Shift(ctx, traffic.Shift{Target: s.Target, Split: v1alpha1.Only(want.live), Generation: s.Generation})
}

// Remove implements traffic.Router.
func (r *Router) Remove(ctx context.Context, t traffic.Target, generation int64) error {
	pass := traffic.Begin(t, generation, r.now)
	v, err := r.look(ctx, t)
	if err == nil {
		err = v.fence(pass)
	}
	for _, name := range v.names() {
		if err == nil && object(v.routes[name]).Written(t) {
			err = r.remove(ctx, pass, v.routes[name])
		}
	}
	if err == nil {
		err = r.callers.Remove(ctx, t, generation)
	}
	return failed("remove the HTTPRoutes", t.Namespace, err)
}

// write updates a route on the condition that nobody else did since it was read, or creates it; nothing where nothing differs.
func (r *Router) write(ctx context.Context, pass traffic.Pass, v view, want wanted, name string) error {
	next, err := want.route(pass, name)
	if err != nil {
		return err
	}
	split := want.share(name).String()
	old := v.routes[name]
	if old == nil {
		labels, annotations := pass.Metadata(traffic.Object{}, object(next), split, true)
		next.SetLabels(labels)
		next.SetAnnotations(annotations)
		if err := pass.Awake(); err != nil {
			return err
		}
		_, err = r.routes(pass.Target.Namespace).Create(ctx, next, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
		return err
	}
	if err := pass.Target.Refuse(object(old)); err != nil {
		return err
	}
	next, differs := over(pass, old, next, split)
	if !differs {
		return nil
	}
	old = old.DeepCopy()
	return pass.Insist(func() (bool, error) {
		next.SetResourceVersion(old.GetResourceVersion())
		_, err := r.routes(pass.Target.Namespace).Update(ctx, next, metav1.UpdateOptions{FieldManager: v1alpha1.FieldManager})
		return apierrors.IsConflict(err), err
	}, func() (bool, error) { return r.unchanged(ctx, old) })
}

// unchanged reads a route again and says whether only its status was written since.
func (r *Router) unchanged(ctx context.Context, old *unstructured.Unstructured) (bool, error) {
	now, err := r.routes(old.GetNamespace()).Get(ctx, old.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	old.SetResourceVersion(now.GetResourceVersion())
	return now.GetUID() == old.GetUID() && reflect.DeepEqual(now.Object["spec"], old.Object["spec"]) &&
		maps.Equal(now.GetLabels(), old.GetLabels()) && maps.Equal(now.GetAnnotations(), old.GetAnnotations()), nil
}

func (r *Router) remove(ctx context.Context, pass traffic.Pass, old *unstructured.Unstructured) error {
	old = old.DeepCopy()
	return pass.Insist(func() (bool, error) {
		uid, version := old.GetUID(), old.GetResourceVersion()
		err := r.routes(old.GetNamespace()).Delete(ctx, old.GetName(), metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
		})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return apierrors.IsConflict(err), err
	}, func() (bool, error) { return r.unchanged(ctx, old) })
}

func (r *Router) look(ctx context.Context, t traffic.Target) (view, error) {
	v := view{target: t, routes: map[string]*unstructured.Unstructured{}, others: map[string]bool{}}
	list, err := r.routes(t.Namespace).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return v, fault.New(fault.Usage, "look at the HTTPRoutes", "the cluster does not know HTTPRoutes: %w", err).
			WithHint("install the Gateway API's CRDs and a controller, or choose another traffic router")
	}
	if err != nil {
		return v, err
	}
	names := map[string]bool{}
	for _, routes := range t.Routes {
		for _, o := range objects(routes) {
			names[o.Name] = true
			v.collectOthers(o)
		}
	}
	for i := range list.Items {
		route := &list.Items[i]
		if names[route.GetName()] || object(route).Written(t) {
			v.routes[route.GetName()] = route
		}
	}
	v.callers, err = r.callers.Split(ctx, t)
	return v, err
}

func failed(op, namespace string, err error) error {
	var status apierrors.APIStatus
	code := 0
	if errors.As(err, &status) {
		code = int(status.Status().Code)
	}
	return traffic.Answer(op+" in namespace "+namespace, code, err)
}
