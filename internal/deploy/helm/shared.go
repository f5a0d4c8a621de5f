package helm

import (
	"bytes"
	"fmt"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// fixed is a post-renderer that hands over what was decided before, whatever the chart renders.
type fixed []object

// Run implements postrenderer.PostRenderer.
func (f fixed) Run(*bytes.Buffer) (*bytes.Buffer, error) { return stream(f) }

// applyShared brings what both slots use into a Helm release of its own. It adopts what an earlier release of the service had.
func (s *session) applyShared(b *blueprint) error {
	if len(b.shared) == 0 {
		return nil
	}
	name := sharedRelease(s.scope.Service)
	if last, ok := s.history.effective(name); ok && last.digest() == b.req.DeployDigest && !s.pending(name) {
		return nil
	}
	if err := s.clear(name); err != nil {
		return err
	}
	labels, err := s.releaseLabels(v1alpha1.SlotNone, b.req.Rollout, b.req.DeployDigest)
	if err != nil {
		return err
	}
	cfg, err := s.actions(labels)
	if err != nil {
		return err
	}
	v, err := values(b.req, v1alpha1.SlotDirect)
	if err != nil {
		return err
	}
	c, err := loadChart(b.req)
	if err != nil {
		return err
	}
	description := fmt.Sprintf("Sluice rollout %d: %s", b.req.Rollout, b.req.Ref.Version)
	if s.history.present(name) {
		a := s.newUpgrade(cfg, b, description)
		a.PostRenderer, a.DisableHooks, a.TakeOwnership = b.sharedObjects(), true, true
		_, err = a.RunWithContext(s.ctx, name, c, v)
	} else {
		a := s.newInstall(cfg, b, name, description)
		a.PostRenderer, a.DisableHooks, a.TakeOwnership = b.sharedObjects(), true, true
		_, err = a.RunWithContext(s.ctx, c, v)
	}
	if err != nil {
		return fmt.Errorf("deploy the shared objects: %w", err)
	}
	return nil
}

func (s *session) pending(name string) bool {
	last, ok := s.history.last(name)
	return ok && last.status.IsPending()
}

func (b *blueprint) sharedObjects() fixed {
	var out fixed
	_, order := keys(b.stable)
	for i, o := range b.stable {
		if !b.shared[order[i]] {
			continue
		}
		o = o.copy()
		label(o, map[string]string{v1alpha1.LabelService: b.req.Service, v1alpha1.LabelEnvironment: b.req.Environment})
		b.explain(o)
		b.rewrite(o)
		out = append(out, o)
	}
	return out
}

// forgetShared takes away the history of the shared release after the direct release has adopted its objects.
func (s *session) forgetShared() error {
	name := sharedRelease(s.scope.Service)
	if len(s.history[name]) == 0 {
		return nil
	}
	store := s.storage(nil)
	for _, rev := range s.history[name] {
		if _, err := store.Delete(name, rev.version); err != nil && !absent(err) {
			return fmt.Errorf("forget Helm release %s revision %d: %w", name, rev.version, err)
		}
	}
	return nil
}

// removeShared uninstalls the shared release with the last slot.
func (s *session) removeShared() error {
	name := sharedRelease(s.scope.Service)
	if len(s.history[name]) == 0 {
		return nil
	}
	return s.uninstall(name, true)
}

// uninstall removes a Helm release and its history.
func (s *session) uninstall(name string, noHooks bool) error {
	cfg, err := s.actions(nil)
	if err != nil {
		return err
	}
	logs := newHookLogs(s.Hide)
	cfg.HookOutputFunc = logs.writer
	a := action.NewUninstall(cfg)
	a.IgnoreNotFound, a.DisableHooks = true, noHooks
	a.WaitStrategy, a.WaitOptions = kube.HookOnlyStrategy, s.waitOptions()
	a.Timeout = defaultTimeout
	a.DeletionPropagation = "background"
	if _, err := a.Run(name); err != nil && !absent(err) {
		return logs.explain(fmt.Errorf("uninstall Helm release %s: %w", name, err))
	}
	delete(s.history, name)
	return nil
}
