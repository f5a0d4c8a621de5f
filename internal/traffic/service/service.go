// Package service routes by the selectors of the Services whose names callers know: all or nothing; it must not touch Ingresses or HTTPRoutes.
package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

var _ traffic.Callers = (*Router)(nil)

// Router moves the stable Services of a service to one slot.
type Router struct {
	client kubernetes.Interface
	now    func() time.Time
}

// New returns a router in the cluster that the client talks to. A nil clock is the real one.
func New(client kubernetes.Interface, now func() time.Time) *Router {
	if now == nil {
		now = time.Now
	}
	return &Router{client: client, now: now}
}

// Split implements traffic.Router.
func (r *Router) Split(ctx context.Context, t traffic.Target) (traffic.State, error) {
	seen, err := r.look(ctx, t)
	if err != nil {
		return traffic.State{}, failed("look at the Services", t.Namespace, err)
	}
	return seen.state(t, r.now()), nil
}

// Shift implements traffic.Router: the Services that the slot renders select it, then those that it does not render are removed.
func (r *Router) Shift(ctx context.Context, s traffic.Shift) error {
	if err := traffic.Expressible(s.Split); err != nil {
		return err
	}
	slot, candidate, _ := traffic.Sides(s.Split)
	if candidate != v1alpha1.SlotNone {
		return fault.New(fault.Usage, "shift traffic", "the router service sends everything to one slot, it cannot do %s", s.Split).
			WithHint("choose traffic.gateway or traffic.nginx, or the steps 0 and 100")
	}
	return failed("shift the Services", s.Namespace, r.shift(ctx, s, slot))
}

func (r *Router) shift(ctx context.Context, s traffic.Shift, slot v1alpha1.Slot) error {
	routes := s.Routes[slot]
	if len(routes.Services) == 0 {
		return fault.New(fault.Fatal, "shift traffic", "no Service of slot %s of %s is known", slot, s.Service).
			WithHint("the chart must render a Service with a selector; if it does, deploy the slot again")
	}
	pass := traffic.Begin(s.Target, s.Generation, r.now)
	seen, err := r.look(ctx, s.Target)
	if err != nil {
		return err
	}
	if err := seen.fence(pass); err != nil {
		return err
	}
	for _, stable := range routes.Services {
		if err := r.point(ctx, pass, seen.services[stable.Name], slot, stable); err != nil {
			return err
		}
	}
	for _, name := range seen.stale(s.Target, slot) {
		if err := r.remove(ctx, pass, seen.services[name]); err != nil {
			return err
		}
	}
	return nil
}

// Remove implements traffic.Router.
func (r *Router) Remove(ctx context.Context, t traffic.Target, generation int64) error {
	pass := traffic.Begin(t, generation, r.now)
	seen, err := r.look(ctx, t)
	if err == nil {
		err = seen.fence(pass)
	}
	for _, name := range seen.names() {
		if err == nil && object(seen.services[name]).Written(t) {
			err = r.remove(ctx, pass, seen.services[name])
		}
	}
	return failed("remove the Services", t.Namespace, err)
}

// Ready implements traffic.Callers.
func (r *Router) Ready(ctx context.Context, namespace, name string) (bool, error) {
	slices, err := r.client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + name})
	if err != nil {
		return false, failed("look at the endpoints of Service "+name, namespace, err)
	}
	for _, slice := range slices.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				return true, nil
			}
		}
	}
	return false, nil
}

// point makes a stable Service select a slot, if it does not yet.
func (r *Router) point(ctx context.Context, pass traffic.Pass, live *corev1.Service, slot v1alpha1.Slot, stable v1alpha1.StableService) error {
	want, err := decode(stable, pass.Target.Namespace)
	if err != nil {
		return err
	}
	services := r.client.CoreV1().Services(pass.Target.Namespace)
	if live == nil {
		want.Labels, want.Annotations = pass.Metadata(traffic.Object{}, object(want), string(slot), true)
		if err := pass.Awake(); err != nil {
			return err
		}
		_, err := services.Create(ctx, want, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
		return err
	}
	if err := pass.Target.Refuse(object(live)); err != nil {
		return err
	}
	next := live.DeepCopy()
	next.Spec = inherit(want.Spec, live.Spec)
	moves := !maps.Equal(next.Spec.Selector, live.Spec.Selector)
	next.Labels, next.Annotations = pass.Metadata(object(live), object(want), string(slot), moves)
	if !moves && maps.Equal(next.Labels, live.Labels) && maps.Equal(next.Annotations, live.Annotations) && samePorts(next.Spec.Ports, live.Spec.Ports) {
		return nil
	}
	if moves {
		if err := r.mayMove(ctx, pass.Target, live.Name, stable.SlotService); err != nil {
			return err
		}
	}
	live = live.DeepCopy()
	return pass.Insist(func() (bool, error) {
		next.ResourceVersion = live.ResourceVersion
		_, err := services.Update(ctx, next, metav1.UpdateOptions{FieldManager: v1alpha1.FieldManager})
		return apierrors.IsConflict(err), err
	}, func() (bool, error) { return r.unchanged(ctx, live) })
}

// unchanged reads a Service again and says whether only its status was written since.
func (r *Router) unchanged(ctx context.Context, old *corev1.Service) (bool, error) {
	now, err := r.client.CoreV1().Services(old.Namespace).Get(ctx, old.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	old.ResourceVersion = now.ResourceVersion
	return now.UID == old.UID && reflect.DeepEqual(now.Spec, old.Spec) && maps.Equal(now.Labels, old.Labels) && maps.Equal(now.Annotations, old.Annotations), nil
}

// mayMove refuses to lead callers from where somebody answers to where nobody does.
func (r *Router) mayMove(ctx context.Context, t traffic.Target, stable, slotService string) error {
	ready, err := r.Ready(ctx, t.Namespace, slotService)
	if err != nil || ready {
		return err
	}
	if serving, err := r.Ready(ctx, t.Namespace, stable); err != nil || !serving {
		return err
	}
	return fault.New(fault.Transient, "shift traffic", "Service %s in namespace %s has no ready endpoint, so Service %s stays where it is", slotService, t.Namespace, stable)
}

func (r *Router) remove(ctx context.Context, pass traffic.Pass, live *corev1.Service) error {
	live = live.DeepCopy()
	return pass.Insist(func() (bool, error) {
		err := r.client.CoreV1().Services(live.Namespace).Delete(ctx, live.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &live.UID, ResourceVersion: &live.ResourceVersion},
		})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return apierrors.IsConflict(err), err
	}, func() (bool, error) { return r.unchanged(ctx, live) })
}

// look reads the Services that slots render under a stable name, and those that a router wrote.
func (r *Router) look(ctx context.Context, t traffic.Target) (view, error) {
	services := r.client.CoreV1().Services(t.Namespace)
	seen := view{services: map[string]*corev1.Service{}}
	owned, err := services.List(ctx, metav1.ListOptions{
		LabelSelector: fmt.Sprintf("%s=%s,%s=%s", v1alpha1.LabelService, t.Service, v1alpha1.LabelEnvironment, t.Environment),
	})
	if err != nil {
		return seen, err
	}
	stable := stableNames(t)
	for i, s := range owned.Items {
		if slices.Contains(stable, s.Name) || object(&s).Written(t) {
			seen.services[s.Name] = &owned.Items[i]
		}
	}
	for _, name := range stable {
		if seen.services[name] != nil {
			continue
		}
		s, err := services.Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return seen, err
		default:
			seen.services[name] = s
		}
	}
	return seen, nil
}

func stableNames(t traffic.Target) []string {
	var names []string
	for _, slot := range v1alpha1.Slots() {
		for _, s := range t.Routes[slot].Services {
			if !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

func failed(op, namespace string, err error) error {
	var status apierrors.APIStatus
	code := 0
	if errors.As(err, &status) {
		code = int(status.Status().Code)
	}
	return traffic.Answer(op+" in namespace "+namespace, code, err)
}

func object(s *corev1.Service) traffic.Object {
	o := traffic.Object{Kind: "Service", Name: s.Name, Labels: s.Labels, Annotations: s.Annotations, Created: s.CreationTimestamp.Time}
	for _, m := range s.ManagedFields {
		if m.FieldsV1 != nil && m.Time != nil {
			o.Hands = append(o.Hands, traffic.Hand{Manager: m.Manager, At: m.Time.Time, Fields: m.FieldsV1.GetRawBytes()})
		}
	}
	return o
}

// words lists a selector for people.
func words(selector map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(selector)) {
		parts = append(parts, k+"="+selector[k])
	}
	return strings.Join(parts, ",")
}
