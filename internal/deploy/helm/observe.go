package helm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"helm.sh/helm/v4/pkg/release/common"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
)

// Observe implements deploy.Releaser. It reads lists of one namespace, all at the same time.
func (r *Releaser) Observe(ctx context.Context, scope deploy.Scope) (deploy.Observation, error) {
	op := fmt.Sprintf("observe service %s in namespace %s", scope.Service, scope.Namespace)
	v, err := r.view(ctx, scope)
	if err != nil {
		return deploy.Observation{}, classify(ctx, op, err)
	}
	o := deploy.Observation{Slots: map[v1alpha1.Slot]deploy.Slot{}}
	for _, slot := range v1alpha1.Slots() {
		if !v.history.present(slot.HelmRelease(scope.Service)) {
			continue
		}
		seen, err := r.look(ctx, v, slot)
		if err != nil {
			return deploy.Observation{}, classify(ctx, op, err)
		}
		o.Slots[slot] = seen
	}
	return o, nil
}

// view is what one observation reads of a namespace.
type view struct {
	scope        deploy.Scope
	history      history
	configs      map[v1alpha1.Slot]corev1.ConfigMap
	deployments  []appsv1.Deployment
	statefulSets []appsv1.StatefulSet
	daemonSets   []appsv1.DaemonSet
	pods         []corev1.Pod
	services     []corev1.Service
	slices       []discoveryv1.EndpointSlice
}

func (r *Releaser) view(ctx context.Context, scope deploy.Scope) (*view, error) {
	v := &view{scope: scope, configs: map[v1alpha1.Slot]corev1.ConfigMap{}}
	ns := scope.Namespace
	reads := []func() error{
		func() (err error) { v.history, err = r.readHistory(ctx, scope); return err },
		func() error { return r.readConfigs(ctx, v) },
		func() error {
			list, err := r.kube.AppsV1().Deployments(ns).List(ctx, metav1.ListOptions{})
			v.deployments = items(list, err, func(l *appsv1.DeploymentList) []appsv1.Deployment { return l.Items })
			return named("Deployments", err)
		},
		func() error {
			list, err := r.kube.AppsV1().StatefulSets(ns).List(ctx, metav1.ListOptions{})
			v.statefulSets = items(list, err, func(l *appsv1.StatefulSetList) []appsv1.StatefulSet { return l.Items })
			return named("StatefulSets", err)
		},
		func() error {
			list, err := r.kube.AppsV1().DaemonSets(ns).List(ctx, metav1.ListOptions{})
			v.daemonSets = items(list, err, func(l *appsv1.DaemonSetList) []appsv1.DaemonSet { return l.Items })
			return named("DaemonSets", err)
		},
		func() error {
			list, err := r.kube.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
			v.pods = items(list, err, func(l *corev1.PodList) []corev1.Pod { return l.Items })
			return named("Pods", err)
		},
		func() error {
			list, err := r.kube.CoreV1().Services(ns).List(ctx, metav1.ListOptions{})
			v.services = items(list, err, func(l *corev1.ServiceList) []corev1.Service { return l.Items })
			return named("Services", err)
		},
		func() error {
			list, err := r.kube.DiscoveryV1().EndpointSlices(ns).List(ctx, metav1.ListOptions{})
			v.slices = items(list, err, func(l *discoveryv1.EndpointSliceList) []discoveryv1.EndpointSlice { return l.Items })
			return named("EndpointSlices", err)
		},
	}
	failures := make([]error, len(reads))
	var wg sync.WaitGroup
	for i, read := range reads {
		wg.Go(func() { failures[i] = read() })
	}
	wg.Wait()
	return v, errors.Join(failures...)
}

func items[L any, I any](list *L, err error, of func(*L) []I) []I {
	if err != nil {
		return nil
	}
	return of(list)
}

func named(what string, err error) error {
	if err != nil {
		return fmt.Errorf("list %s: %w", what, err)
	}
	return nil
}

func (r *Releaser) readConfigs(ctx context.Context, v *view) error {
	list, err := r.kube.CoreV1().ConfigMaps(v.scope.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: fmt.Sprintf("%s=%s,%s=true", v1alpha1.LabelService, v.scope.Service, v1alpha1.LabelRoutes),
	})
	if err != nil {
		return named("ConfigMaps", err)
	}
	for _, c := range list.Items {
		v.configs[v1alpha1.Slot(c.Labels[v1alpha1.LabelSlot])] = c
	}
	return nil
}

// look says what is in one slot.
func (r *Releaser) look(ctx context.Context, v *view, slot v1alpha1.Slot) (deploy.Slot, error) {
	name := slot.HelmRelease(v.scope.Service)
	last, _ := v.history.last(name)
	out := deploy.Slot{
		State: stateOf(last), DeployDigest: last.digest(), Rollout: last.rollout(), HelmRevision: last.version, Foreign: last.foreign(),
	}
	if err := r.readSlotConfig(ctx, v, slot, &out); err != nil {
		return out, err
	}
	if out.Foreign {
		out.Release = v1alpha1.ReleaseRef{}
	}
	out.Current = true
	w := v.workloads(name, out.DeployDigest)
	for _, l := range w {
		out.Desired += l.desired
		out.Current = out.Current && l.current
		out.Facts = append(out.Facts, l.facts...)
	}
	for _, pod := range v.podsOf(w) {
		if v.serves(pod, out.Routes) {
			out.Ready++
		}
		out.Facts = append(out.Facts, podFacts(pod)...)
	}
	if out.Ready < out.Desired {
		r.readLogs(ctx, v.scope.Namespace, out.Facts)
	}
	return out, nil
}

// foreign says that the revision carries no release of Sluice's.
func (r revision) foreign() bool { return r.labels[labelDigest] == "" }

func stateOf(rev revision) deploy.State {
	switch {
	case rev.retired():
		return deploy.Retired
	case rev.status.IsPending(), rev.status == common.StatusUninstalling:
		return deploy.Pending
	case rev.status == common.StatusFailed:
		return deploy.Broken
	default:
		return deploy.Deployed
	}
}

// readSlotConfig reads routes and release from the slot's ConfigMap, or the routes from the manifest of a foreign release.
func (r *Releaser) readSlotConfig(ctx context.Context, v *view, slot v1alpha1.Slot, out *deploy.Slot) error {
	config, ok := v.configs[slot]
	if !ok {
		if !out.Foreign {
			return nil
		}
		rev, ok := v.history.effective(slot.HelmRelease(v.scope.Service))
		if !ok {
			return nil
		}
		rel, err := r.stored(ctx, v.scope.Namespace, rev)
		if err != nil {
			return err
		}
		objects, err := parseDocuments("", rel.Manifest)
		if err != nil {
			return err
		}
		out.Routes, err = plainRoutes(v.scope, objects)
		return err
	}
	if err := json.Unmarshal([]byte(config.Data["routes.json"]), &out.Routes); err != nil {
		return fmt.Errorf("read the routes in ConfigMap %s/%s: %w", config.Namespace, config.Name, err)
	}
	if err := json.Unmarshal([]byte(config.Data["release.json"]), &out.Release); err != nil {
		return fmt.Errorf("read the release in ConfigMap %s/%s: %w", config.Namespace, config.Name, err)
	}
	return nil
}

// plainRoutes are those of a direct release that owns its routes and Services.
func plainRoutes(scope deploy.Scope, objects []object) (v1alpha1.Routes, error) {
	var routes v1alpha1.Routes
	for _, o := range objects {
		if !isRoute(o) && !hasSelector(o) {
			continue
		}
		m, err := outside(scope, o)
		if err != nil {
			return routes, err
		}
		if isRoute(o) {
			routes.Objects = append(routes.Objects, v1alpha1.RouteObject{Kind: o.GetKind(), Name: o.GetName(), Manifest: m})
			continue
		}
		routes.Services = append(routes.Services, v1alpha1.StableService{Name: o.GetName(), SlotService: o.GetName(), Manifest: m})
	}
	return routes, nil
}
