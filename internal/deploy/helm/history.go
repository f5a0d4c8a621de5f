package helm

import (
	"context"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"helm.sh/helm/v4/pkg/release/common"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// Labels of Helm's own release Secrets, besides those that all objects carry.
const (
	labelDigest     = v1alpha1.AnnotationDigest
	labelGeneration = v1alpha1.AnnotationGeneration
	// labelRetired marks the newest revision of a slot whose pods were freed.
	labelRetired = "sluice.dev/retired"
	// labelTaken marks revisions of the direct slot whose routes and stable Services live outside the Helm release.
	labelTaken = "sluice.dev/routes-taken"
)

// revision is a Helm revision as its Secret's metadata tell it.
type revision struct {
	release string
	version int
	status  common.Status
	labels  map[string]string
}

// history holds the revisions of a service's releases, oldest first.
type history map[string][]revision

// sharedRelease is the Helm release that holds what both slots use.
func sharedRelease(service string) string { return service + "-shared" }

func (r *Releaser) readHistory(ctx context.Context, scope deploy.Scope) (history, error) {
	names := []string{sharedRelease(scope.Service)}
	for _, slot := range v1alpha1.Slots() {
		names = append(names, slot.HelmRelease(scope.Service))
	}
	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	list, err := r.meta.Resource(secrets).Namespace(scope.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: fmt.Sprintf("owner=helm,name in (%s)", strings.Join(names, ",")),
	})
	if err != nil {
		return nil, fmt.Errorf("list Helm releases in namespace %s: %w", scope.Namespace, err)
	}
	h := history{}
	for _, item := range list.Items {
		l := item.GetLabels()
		version, err := strconv.Atoi(l["version"])
		if err != nil {
			return nil, fmt.Errorf("secret %s/%s has no Helm revision in its label version: %w", scope.Namespace, item.GetName(), err)
		}
		h[l["name"]] = append(h[l["name"]], revision{release: l["name"], version: version, status: common.Status(l["status"]), labels: l})
	}
	for _, revisions := range h {
		sort.Slice(revisions, func(i, j int) bool { return revisions[i].version < revisions[j].version })
	}
	return h, nil
}

// fence refuses a generation older than any that wrote a revision.
func (h history) fence(generation int64) error {
	for _, revisions := range h {
		for _, rev := range revisions {
			if g := rev.generation(); g > generation {
				return fault.New(fault.Conflict, "fence", "Helm release %s revision %d was written under lease generation %d, this run holds %d",
					rev.release, rev.version, g, generation).WithHint("another run has taken over; look at `sluice status`")
			}
		}
	}
	return nil
}

// last returns the newest revision of a release.
func (h history) last(release string) (revision, bool) {
	revisions := h[release]
	if len(revisions) == 0 {
		return revision{}, false
	}
	return revisions[len(revisions)-1], true
}

// effective returns the newest revision that was applied as a whole.
func (h history) effective(release string) (revision, bool) {
	revisions := h[release]
	for i := len(revisions) - 1; i >= 0; i-- {
		if s := revisions[i].status; s == common.StatusDeployed || s == common.StatusSuperseded {
			return revisions[i], true
		}
	}
	return revision{}, false
}

// present says whether a release is installed, in whatever state.
func (h history) present(release string) bool {
	last, ok := h.last(release)
	return ok && last.status != common.StatusUninstalled
}

func (r revision) generation() int64 {
	g, err := strconv.ParseInt(r.labels[labelGeneration], 10, 64)
	if err != nil {
		return -1
	}
	return g
}

// ours says whether Sluice wrote the revision.
func (r revision) ours() bool { return r.labels[v1alpha1.LabelRollout] != "" }

func (r revision) digest() string { return decodeDigest(r.labels[labelDigest]) }

func (r revision) rollout() int {
	n, err := strconv.Atoi(r.labels[v1alpha1.LabelRollout])
	if err != nil {
		return 0
	}
	return n
}

func (r revision) taken() bool { return r.labels[labelTaken] == "true" }

func (r revision) retired() bool { return r.labels[labelRetired] == "true" }

// own returns the revision's labels without those that Helm sets itself.
func (r revision) own() map[string]string {
	out := map[string]string{}
	for k, v := range r.labels {
		if strings.HasPrefix(k, "sluice.dev/") {
			out[k] = v
		}
	}
	return out
}

const digestPrefix = "b32-"

// encodeDigest makes a label value of a digest: 64 hexadecimal characters are one too many, so a sha256 is written in base 32.
func encodeDigest(digest string) (string, error) {
	if rest, ok := strings.CutPrefix(digest, "sha256:"); ok {
		if raw, err := hex.DecodeString(rest); err == nil && len(raw) == 32 {
			return digestPrefix + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)), nil
		}
	}
	if problems := validation.IsValidLabelValue(digest); len(problems) > 0 {
		return "", fault.New(fault.Usage, "deploy digest", "%q is neither a sha256 nor a label value: %s", digest, strings.Join(problems, "; "))
	}
	return digest, nil
}

func decodeDigest(label string) string {
	if rest, ok := strings.CutPrefix(label, digestPrefix); ok {
		raw, err := base32.HexEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(rest))
		if err == nil && len(raw) == 32 {
			return "sha256:" + hex.EncodeToString(raw)
		}
	}
	return label
}

// labelRevision changes labels of a revision's Secret; a nil value takes one away. Helm's own data stay as they are.
func (s *session) labelRevision(rev revision, labels map[string]any) error {
	patch, err := mergePatch(map[string]any{"metadata": map[string]any{"labels": labels}})
	if err != nil {
		return err
	}
	_, err = s.kube.CoreV1().Secrets(s.scope.Namespace).Patch(s.ctx, secretName(rev.release, rev.version), types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: v1alpha1.FieldManager})
	if err != nil {
		return fmt.Errorf("mark Helm release %s revision %d: %w", rev.release, rev.version, err)
	}
	return nil
}

func secretName(release string, version int) string {
	return fmt.Sprintf("sh.helm.release.v1.%s.v%d", release, version)
}
