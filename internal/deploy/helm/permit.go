package helm

import (
	"context"
	"slices"
	"strings"

	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Kind is a kind of object that a chart holds, as the API server serves it.
type Kind struct {
	// Namespace is "" for what belongs to the whole cluster.
	Namespace, Group, Resource string
	// Awaited says that one of them is a hook or a test, whose end is waited for.
	Awaited bool
}

// Permission says whether objects of some kinds may be made, changed and removed; its error names what is missing.
type Permission func(ctx context.Context, kinds []Kind) error

// refuseForbidden asks whether the credentials may do what the chart takes, before any of it is done: a deployment that stops half way for
// want of a right could not be taken back either.
func (s *session) refuseForbidden(b *blueprint) error {
	if s.Releaser == nil || s.Allowed == nil {
		return nil
	}
	objects, err := b.transform(b.own)
	if err != nil {
		return err
	}
	tests := slices.ContainsFunc(b.req.Plan.Gates, func(g v1alpha1.Gate) bool { return g.HelmTest != nil })
	var kinds []Kind
	for _, o := range append(objects, b.sharedObjects()...) {
		if o.hook() && !tests && onlyTest(o) {
			continue
		}
		kind, known, err := s.kind(o)
		if err != nil {
			return err
		}
		if !known {
			continue
		}
		kind.Awaited = o.hook()
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return s.Allowed(s.ctx, kinds)
}

// onlyTest says that an object is made by `helm test`, and by nothing else.
func onlyTest(o object) bool {
	return !slices.ContainsFunc(strings.Split(o.GetAnnotations()[releasev1.HookAnnotation], ","), func(event string) bool {
		return !strings.HasPrefix(strings.TrimSpace(event), "test")
	})
}

// kind is false for one that the cluster does not know, which is said elsewhere.
func (s *session) kind(o object) (Kind, bool, error) {
	mapper, err := s.getter.ToRESTMapper()
	if err != nil {
		return Kind{}, false, err
	}
	gvk := o.GroupVersionKind()
	mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		return Kind{}, false, nil
	}
	if err != nil {
		return Kind{}, false, err
	}
	kind := Kind{Group: mapping.Resource.Group, Resource: mapping.Resource.Resource}
	if mapping.Scope.Name() != meta.RESTScopeNameRoot {
		if kind.Namespace = o.GetNamespace(); kind.Namespace == "" {
			kind.Namespace = s.scope.Namespace
		}
	}
	return kind, true, nil
}
