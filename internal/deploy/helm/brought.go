package helm

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/internal/check"
)

// Brought is a check.Layer that finds nothing wrong: it learns which kinds of objects charts bring along, so that one can ask for the
// rights to them before they are needed.
type Brought struct {
	mu    sync.Mutex
	kinds map[string][]schema.GroupVersionKind
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
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kinds == nil {
		b.kinds = map[string][]schema.GroupVersionKind{}
	}
	// An entry without kinds says that the chart has rendered.
	found := b.kinds[subject.Environment]
	for _, o := range objects {
		if kind := o.GroupVersionKind(); !slices.Contains(found, kind) {
			found = append(found, kind)
		}
	}
	b.kinds[subject.Environment] = found
	return check.Report{}, nil
}

// Kinds are those that were learnt of an environment, and whether its charts have rendered at all.
func (b *Brought) Kinds(environment string) ([]schema.GroupVersionKind, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kinds, ok := b.kinds[environment]
	return kinds, ok
}
