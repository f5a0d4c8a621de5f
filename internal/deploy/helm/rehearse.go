package helm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/internal/fault"
)

// rehearsals is how many objects are tried at a time.
const rehearsals = 8

// rehearse applies what the slot will hold as a dry run on the API server, so that a chart it refuses is known before
// anything is written. It costs less than Helm's own validation, which downloads the schema of the cluster, and sees more:
// fields that may not change, and admission.
func (s *session) rehearse(b *blueprint) error {
	objects, err := b.transform(b.own)
	if err != nil {
		return err
	}
	text, err := stream(objects)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(text.Bytes())
	if s.rehearsed.Load() == hash {
		return nil
	}
	refused := make([]error, len(objects))
	turn := make(chan struct{}, rehearsals)
	var wg sync.WaitGroup
	for i, o := range objects {
		if o.hook() {
			continue
		}
		wg.Go(func() {
			turn <- struct{}{}
			refused[i] = s.try(o)
			<-turn
		})
	}
	wg.Wait()
	if err := errors.Join(refused...); err != nil {
		return fault.New(fault.Fatal, "chart", "the API server refuses what the chart renders: %w", err).
			WithHint("nothing was applied; correct the chart or its values and release again")
	}
	s.rehearsed.Store(hash)
	return nil
}

// try returns an error only where the object itself is wrong; what else fails here may succeed when it counts, or fails again.
func (s *session) try(o object) error {
	body, err := o.MarshalJSON()
	if err != nil {
		return fmt.Errorf("%s (%s): %w", o.id(), o.template, err)
	}
	at, err := s.resource(o)
	if err != nil {
		if meta.IsNoMatchError(err) && !s.definitions {
			return fmt.Errorf("%s (%s): the cluster does not know this kind: %w", o.id(), o.template, err)
		}
		return nil
	}
	force := true
	_, err = at.Patch(s.ctx, o.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{
		FieldManager: helmManager, Force: &force, FieldValidation: metav1.FieldValidationStrict, DryRun: []string{metav1.DryRunAll},
	})
	if wrong(err) {
		return fmt.Errorf("%s (%s): %w", o.id(), o.template, err)
	}
	return nil
}

func wrong(err error) bool {
	if err == nil {
		return false
	}
	if apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "dry run") {
		return false // a webhook that cannot rehearse
	}
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || strings.Contains(err.Error(), "field not declared in schema") ||
		strings.Contains(err.Error(), "failed to create typed patch object")
}
