package helm

import (
	"errors"
	"fmt"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	"helm.sh/helm/v4/pkg/storage/driver"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// deploy brings a release into a slot.
func (s *session) deploy(req deploy.Request) error {
	name := req.Slot.HelmRelease(req.Service)
	if err := s.locked(name); err != nil {
		return err
	}
	b, err := s.design(req)
	if err != nil {
		return err
	}
	if err := s.rehearse(b); err != nil {
		return err
	}
	if err := s.prepare(b, name); err != nil {
		return err
	}
	if err := s.apply(b, name); err != nil {
		return err
	}
	if b.shape == whole {
		if err := s.settleDirect(b); err != nil {
			return err
		}
		if b.fresh {
			return nil
		}
	}
	if !leavesReplicas(b.own) {
		return nil
	}
	return s.restoreReplicas(name, b.wants)
}

// prepare makes room for the slot's release: nothing of it is applied yet, and every step may be repeated.
func (s *session) prepare(b *blueprint, name string) error {
	live := b.req.Live.HelmRelease(b.req.Service)
	if b.shape == slotted && b.req.Live == v1alpha1.SlotDirect {
		if err := s.takeOver(b); err != nil {
			return err
		}
	}
	if err := s.applyShared(b); err != nil {
		return err
	}
	done, err := s.finishHooks(b, name)
	if err != nil {
		return err
	}
	b.done = done
	if err := s.clear(name); err != nil {
		return err
	}
	if b.shape == whole {
		return s.keepDirectServices(b)
	}
	if b.fresh || !leavesReplicas(b.own) {
		return nil
	}
	return s.pinLive(live)
}

// apply installs or upgrades the slot's Helm release and runs the chart's hooks.
func (s *session) apply(b *blueprint, name string) error {
	labels, err := s.releaseLabels(b.req.Slot, b.req.Rollout, b.req.DeployDigest)
	if err != nil {
		return err
	}
	if b.shape == taken {
		labels[labelTaken] = "true"
	}
	cfg, err := s.actions(labels)
	if err != nil {
		return err
	}
	logs := newHookLogs(s.Hide)
	cfg.HookOutputFunc = logs.writer
	s.created = false
	v, err := values(b.req, b.req.Slot)
	if err != nil {
		return err
	}
	c, err := loadChart(b.req)
	if err != nil {
		return err
	}
	description := fmt.Sprintf("Sluice rollout %d: %s", b.req.Rollout, b.req.Ref.Version)
	if b.upgrade {
		_, err = s.newUpgrade(cfg, b, description).RunWithContext(s.ctx, name, c, v)
	} else {
		_, err = s.newInstall(cfg, b, name, description).RunWithContext(s.ctx, c, v)
	}
	if err != nil && !s.created && s.ctx.Err() == nil && unclassified(err) {
		// Helm gave up before its first write: the chart is wrong, and will be wrong again.
		return fault.New(fault.Fatal, "chart", "%w", err).WithHint("nothing was applied; correct the chart and release again")
	}
	return logs.explain(err)
}

func (s *session) newInstall(cfg *action.Configuration, b *blueprint, name, description string) *action.Install {
	a := action.NewInstall(cfg)
	a.ReleaseName, a.Namespace = name, s.scope.Namespace
	a.ServerSideApply, a.ForceConflicts = true, true
	a.WaitStrategy, a.WaitOptions = kube.HookOnlyStrategy, s.waitOptions()
	a.Timeout = timeout(b.req.Plan)
	a.Description = description
	a.PostRenderer, a.PostRenderStrategy = b, action.PostRenderStrategyCombined
	a.DisableOpenAPIValidation = true // rehearsed
	last, ok := s.history.last(name)
	a.Replace = ok && last.status == common.StatusUninstalled
	return a
}

func (s *session) newUpgrade(cfg *action.Configuration, b *blueprint, description string) *action.Upgrade {
	a := action.NewUpgrade(cfg)
	a.Namespace = s.scope.Namespace
	a.ServerSideApply, a.ForceConflicts = "true", true
	a.WaitStrategy, a.WaitOptions = kube.HookOnlyStrategy, s.waitOptions()
	a.Timeout = timeout(b.req.Plan)
	a.Description = description
	a.ResetValues = true
	a.DisableOpenAPIValidation = true // rehearsed
	a.MaxHistory = maxHistory
	a.PostRenderer, a.PostRenderStrategy = b, action.PostRenderStrategyCombined
	// A direct slot takes back what lived outside while other slots were there.
	last, _ := s.history.effective(s.scope.Service)
	a.TakeOwnership = b.shape == whole && last.taken()
	return a
}

func (s *session) waitOptions() []kube.WaitOption {
	return []kube.WaitOption{kube.WithWaitContext(s.ctx)}
}

func timeout(p v1alpha1.Plan) time.Duration { return p.Timeout.Or(defaultTimeout) }

// restore brings a slot back to a stored revision, and its pods.
func (s *session) restore(req deploy.Request) error {
	name := req.Slot.HelmRelease(req.Service)
	if err := s.clear(name); err != nil {
		return err
	}
	target, err := s.target(name, req.Restore)
	if err != nil {
		return err
	}
	labels, err := s.releaseLabels(req.Slot, req.Rollout, target.digest())
	if err != nil {
		return err
	}
	if target.taken() {
		labels[labelTaken] = "true"
		if err := s.freeAgain(name, target, req.Plan.Spec.Shared); err != nil {
			return err
		}
	}
	cfg, err := s.actions(labels)
	if err != nil {
		return err
	}
	logs := newHookLogs(s.Hide)
	cfg.HookOutputFunc = logs.writer
	a := action.NewRollback(cfg)
	a.Version = target.version
	a.ServerSideApply, a.ForceConflicts = "true", true
	a.WaitStrategy, a.WaitOptions = kube.HookOnlyStrategy, s.waitOptions()
	a.Timeout = timeout(req.Plan)
	a.MaxHistory = maxHistory
	a.Description = fmt.Sprintf("Sluice rollout %d: back to revision %d", req.Rollout, target.version)
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if err := logs.explain(a.Run(name)); err != nil {
		return err
	}
	return s.restoreReplicas(name, nil)
}

// target finds the revision to go back to: the newest that carries the wanted digest as a whole, else the one that is named.
func (s *session) target(name string, t *v1alpha1.ReturnTarget) (revision, error) {
	revisions := s.history[name]
	for i := len(revisions) - 1; i >= 0; i-- {
		r := revisions[i]
		whole := r.status == common.StatusDeployed || r.status == common.StatusSuperseded
		if whole && r.digest() == t.DeployDigest && (t.DeployDigest != "" || t.Foreign) {
			return r, nil
		}
	}
	for _, r := range revisions {
		if r.version == t.HelmRevision {
			return r, nil
		}
	}
	return revision{}, fault.New(fault.Fatal, "restore", "Helm release %s has neither a revision %d nor one with digest %q in namespace %s",
		name, t.HelmRevision, t.DeployDigest, s.scope.Namespace).
		WithHint("deploy an earlier release again: sluice deploy --release VERSION")
}

// absent says whether an error means that a Helm release does not exist.
func absent(err error) bool {
	return errors.Is(err, driver.ErrReleaseNotFound) || errors.Is(err, driver.ErrNoDeployedReleases)
}
