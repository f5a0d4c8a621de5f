package helm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"helm.sh/helm/v4/pkg/release"
	"helm.sh/helm/v4/pkg/release/common"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// labelled is Helm's Secrets driver, except that every revision created through it carries Sluice's labels, also where
// Helm's action has no way to give any, and that it is refused when a newer driver has been here meanwhile.
type labelled struct {
	driver.Driver
	session *session
	labels  map[string]string
}

// storage is Helm's history of the namespace; revisions created through it carry labels.
func (s *session) storage(labels map[string]string) *storage.Storage {
	secrets := driver.NewSecrets(s.kube.CoreV1().Secrets(s.scope.Namespace))
	secrets.SetLogger(s.log)
	store := storage.Init(&labelled{Driver: secrets, session: s, labels: labels})
	store.MaxHistory = maxHistory
	store.SetLogger(s.log)
	return store
}

// Create implements driver.Creator.
func (l *labelled) Create(key string, rls release.Releaser) error {
	rel, ok := rls.(*releasev1.Release)
	if !ok {
		return fmt.Errorf("create %s: unknown release type %T", key, rls)
	}
	fresh, err := l.session.readHistory(l.session.ctx, l.session.scope)
	if err != nil {
		return err
	}
	if err := fresh.fence(l.session.stamp.generation); err != nil {
		return err
	}
	labels := map[string]string{}
	for k, v := range rel.Labels {
		if !isSluices(k) && !isSystem(k) {
			labels[k] = v
		}
	}
	maps.Copy(labels, l.labels)
	rel.Labels = labels
	if err := l.Driver.Create(key, rel); err != nil {
		return err
	}
	l.session.created = true
	return nil
}

func isSluices(label string) bool { return strings.HasPrefix(label, "sluice.dev/") }

func isSystem(label string) bool {
	return driver.ContainsSystemLabels(map[string]string{label: ""})
}

// releaseLabels are those of a revision written by a rollout.
func (s *session) releaseLabels(slot v1alpha1.Slot, rollout int, digest string) (map[string]string, error) {
	labels := map[string]string{
		v1alpha1.LabelService:     s.scope.Service,
		v1alpha1.LabelEnvironment: s.scope.Environment,
		v1alpha1.LabelRollout:     strconv.Itoa(rollout),
		labelGeneration:           strconv.FormatInt(s.stamp.generation, 10),
	}
	if slot != v1alpha1.SlotNone {
		labels[v1alpha1.LabelSlot] = string(slot)
	}
	if digest != "" {
		encoded, err := encodeDigest(digest)
		if err != nil {
			return nil, err
		}
		labels[labelDigest] = encoded
	}
	return labels, nil
}

// locked refuses to touch a release that somebody else is working on.
func (s *session) locked(name string) error {
	last, ok := s.history.last(name)
	if !ok || !last.status.IsPending() || last.ours() {
		return nil
	}
	return fault.New(fault.Locked, "helm", "Helm release %s revision %d is %s, and Sluice did not begin it", name, last.version, last.status).
		WithHint("wait until it is done; if nobody works on it any more: helm rollback %s -n %s", name, s.scope.Namespace)
}

// clear marks a pending revision of ours as failed: whoever began it is gone, for the caller holds the lease.
func (s *session) clear(name string) error {
	if err := s.locked(name); err != nil {
		return err
	}
	last, ok := s.history.last(name)
	if !ok || !last.status.IsPending() {
		return nil
	}
	store := s.storage(nil)
	rel, err := getRevision(store, name, last.version)
	if err != nil {
		if errors.Is(err, driver.ErrReleaseNotFound) {
			return nil
		}
		return err
	}
	rel.SetStatus(common.StatusFailed, "interrupted; cleared by Sluice")
	rel.Labels = plain(rel.Labels)
	rel.Labels[labelGeneration] = strconv.FormatInt(s.stamp.generation, 10)
	if err := store.Update(rel); err != nil {
		return fmt.Errorf("clear the pending revision %d of Helm release %s: %w", last.version, name, err)
	}
	s.setStatus(name, last.version, common.StatusFailed)
	return nil
}

func (s *session) setStatus(name string, version int, status common.Status) {
	for i := range s.history[name] {
		if s.history[name][i].version == version {
			s.history[name][i].status = status
		}
	}
}

// plain leaves out the labels that the driver sets itself.
func plain(labels map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range labels {
		if !isSystem(k) {
			out[k] = v
		}
	}
	return out
}

func getRevision(store *storage.Storage, name string, version int) (*releasev1.Release, error) {
	found, err := store.Get(name, version)
	if err != nil {
		return nil, fmt.Errorf("read Helm release %s revision %d: %w", name, version, err)
	}
	rel, ok := found.(*releasev1.Release)
	if !ok {
		return nil, fmt.Errorf("read Helm release %s revision %d: unknown release type %T", name, version, found)
	}
	return rel, nil
}

// stored reads a revision from the cluster.
func (r *Releaser) stored(ctx context.Context, namespace string, rev revision) (*releasev1.Release, error) {
	store := storage.Init(driver.NewSecrets(bounded{r.kube.CoreV1().Secrets(namespace), ctx}))
	return getRevision(store, rev.release, rev.version)
}

// bounded reads Secrets within a context: Helm's driver has none of its own.
type bounded struct {
	typed.SecretInterface
	ctx context.Context
}

// Get implements typed.SecretInterface.
func (b bounded) Get(_ context.Context, name string, o metav1.GetOptions) (*corev1.Secret, error) {
	return b.SecretInterface.Get(b.ctx, name, o)
}

func mergePatch(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write a patch: %w", err)
	}
	return b, nil
}
