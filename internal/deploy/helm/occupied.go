package helm

import (
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// canaryAnnotation marks an Ingress that only takes a part of what another one serves.
const canaryAnnotation = "nginx.ingress.kubernetes.io/canary"

// refuseOccupied refuses a first installation onto a host and path that somebody else's route in the namespace serves: users
// would meet a version that no gate has seen. It reads one list per kind of route, and only where the service lives nowhere yet.
func (s *session) refuseOccupied(b *blueprint) error {
	if b.req.Live != v1alpha1.SlotNone {
		return nil
	}
	var clashes []string
	var cure string
	listed := map[string][]object{}
	for _, ours := range b.stable {
		if ours.hook() || !isRoute(ours) || isCanary(ours) {
			continue
		}
		kind := ours.GroupVersionKind().String()
		if _, known := listed[kind]; !known {
			found, err := s.foreignRoutes(ours)
			if err != nil {
				return err
			}
			listed[kind] = found
		}
		for _, theirs := range listed[kind] {
			if at, ok := meeting(ours, theirs, s.scope.Namespace); ok {
				clashes = append(clashes, fmt.Sprintf("%s (%s) wants %s, which %s serves already", ours.id(), ours.template, at, whose(theirs)))
				if cure == "" {
					cure = evade(theirs)
				}
			}
		}
	}
	if len(clashes) == 0 {
		return nil
	}
	return fault.New(fault.Usage, "routes", "in namespace %s, %s", s.scope.Namespace, strings.Join(clashes, "; ")).
		WithHint("nothing was changed; %s", cure)
}

// foreignRoutes lists the namespace's routes of one kind that are not the service's own. Where that may not be asked, or the
// cluster does not know the kind, there is none that could be told of.
func (s *session) foreignRoutes(like object) ([]object, error) {
	probe := like.copy()
	probe.SetNamespace(s.scope.Namespace)
	at, err := s.resource(probe)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := at.List(s.ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list what is served in namespace %s: %w", s.scope.Namespace, err)
	}
	var out []object
	for i := range list.Items {
		o := object{Unstructured: &list.Items[i]}
		if !s.owns(o) && !isCanary(o) {
			out = append(out, o)
		}
	}
	return out, nil
}

// owns says whether an object of the namespace is the service's own: written by Sluice, or by a Helm release that is one of its slots.
func (s *session) owns(o object) bool {
	if o.GetLabels()[v1alpha1.LabelService] == s.scope.Service {
		return true
	}
	release := o.GetAnnotations()[releaseAnnotation]
	return release != "" && (release == sharedRelease(s.scope.Service) ||
		slices.ContainsFunc(v1alpha1.Slots(), func(slot v1alpha1.Slot) bool { return slot.HelmRelease(s.scope.Service) == release }))
}

func isCanary(o object) bool { return o.GetAnnotations()[canaryAnnotation] == "true" }

// whose names a route with whoever brought it.
func whose(o object) string {
	if service := o.GetLabels()[v1alpha1.LabelService]; service != "" {
		return fmt.Sprintf("%s of Sluice's service %s", o.id(), service)
	}
	if release := o.GetAnnotations()[releaseAnnotation]; release != "" {
		return fmt.Sprintf("%s of the Helm release %s", o.id(), release)
	}
	return o.id() + ", which no Helm release holds,"
}

func evade(o object) string {
	release := o.GetAnnotations()[releaseAnnotation]
	switch {
	case o.GetLabels()[v1alpha1.LabelService] != "":
		return "give one of the two services another host or path"
	case release != "":
		return fmt.Sprintf("name the service %s in sluice.yaml, as that release is called, so that it is taken over without a gap; or give one of the two another host or path", release)
	}
	return "give one of the two another host or path, or take the other one away"
}
