package helm

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/check"
)

// Object is a kind of object that a chart brings along.
type Object struct {
	schema.GroupVersionKind
	// Namespace is what the chart says; "" where it says none.
	Namespace string
	// Awaited says that one of them is a hook or a test, whose end is waited for.
	Awaited bool
}

// Brought is a check.Layer that finds nothing wrong: it learns which kinds of objects charts bring along, so that one can ask for the
// rights to them before they are needed.
type Brought struct {
	mu    sync.Mutex
	found map[string][]Object
}

var _ check.Layer = (*Brought)(nil)

// Check implements check.Layer. Of a chart that does not render nothing is learnt; the Examiner says why it does not.
func (b *Brought) Check(ctx context.Context, subject check.Subject) (check.Report, error) {
	if len(subject.Missing) > 0 {
		return check.Report{}, nil
	}
	s, req := examining(ctx, subject)
	v, err := values(req, req.Slot)
	if err != nil {
		return check.Report{}, nil //nolint:nilerr // as the comment of Check says
	}
	s.anyValues = true
	c, rendered, err := s.ingredients(req, rendering{release: req.Slot.HelmRelease(req.Service), values: v, revision: 1})
	if err != nil {
		return check.Report{}, nil //nolint:nilerr // the same
	}
	files, err := s.engine().RenderWithContext(ctx, c, rendered)
	if err != nil {
		return check.Report{}, nil //nolint:nilerr // the same
	}
	objects, err := parseFiles(files)
	if err != nil {
		return check.Report{}, nil //nolint:nilerr // the same
	}
	tests := slices.ContainsFunc(subject.Release.Environments[subject.Environment].Gates, func(g v1alpha1.Gate) bool { return g.HelmTest != nil })
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.found == nil {
		b.found = map[string][]Object{}
	}
	found := []Object{}
	for _, o := range objects {
		one := Object{GroupVersionKind: o.GroupVersionKind(), Namespace: o.GetNamespace(), Awaited: o.hook()}
		if (tests || !one.Awaited || !onlyTest(o)) && !slices.Contains(found, one) {
			found = append(found, one)
		}
	}
	b.found[subject.Environment] = found
	return check.Report{}, nil
}

// Objects are those that were learnt of an environment, and whether its chart has rendered at all.
func (b *Brought) Objects(environment string) ([]Object, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, ok := b.found[environment]
	return found, ok
}
