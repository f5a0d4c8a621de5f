package registrytest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

// Resolve tells the digest that a reference stands for.
func (m *Memory) Resolve(ctx context.Context, reference string) (string, error) {
	_, pinned, err := m.Pull(ctx, reference)
	return pinned, err
}

// Attach remembers an artifact and what it refers to.
func (m *Memory) Attach(ctx context.Context, artifact registry.Artifact, subject string) (string, error) {
	repository, err := m.subject(ctx, "Attach", subject)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.artifacts[subject]; !ok {
		return "", fault.New(fault.NotFound, "attach to "+subject, "it does not exist")
	}
	data, err := json.Marshal(artifact)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "attach to "+subject, err)
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(append(data, subject[len(repository):]...)))
	if !slices.Contains(m.referrers[subject], digest) {
		m.referrers[subject] = append(m.referrers[subject], digest)
	}
	return m.putLocked(repository, "", digest, artifact)
}

// Referrers lists what refers to a subject.
func (m *Memory) Referrers(ctx context.Context, subject, artifactType string) ([]registry.Referrer, error) {
	repository, err := m.subject(ctx, "Referrers", subject)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []registry.Referrer
	for _, digest := range slices.Sorted(slices.Values(m.referrers[subject])) {
		artifact := m.artifacts[repository+"@"+digest]
		kind := cmp.Or(artifact.Type, artifact.Config.MediaType)
		if artifactType == "" || kind == artifactType {
			found = append(found, registry.Referrer{Ref: repository + "@" + digest, Type: kind, Annotations: artifact.Annotations})
		}
	}
	return found, nil
}

// subject splits a reference by digest.
func (m *Memory) subject(ctx context.Context, method, reference string) (repository string, err error) {
	repository, digest, pinned := strings.Cut(reference, "@")
	if !pinned || !isDigest(digest) {
		return "", fault.New(fault.Usage, method+" "+reference, "it is no reference by digest")
	}
	return repository, m.enter(ctx, method, repository, "")
}

// Copy copies an artifact with what refers to it. What it counts as moved is the size of its blobs where the registries differ.
func (m *Memory) Copy(ctx context.Context, from, repository, tag string) (registry.Copied, error) {
	if _, err := m.subject(ctx, "Copy", from); err != nil {
		return registry.Copied{}, err
	}
	if err := m.enter(ctx, "Copy", repository, tag); err != nil {
		return registry.Copied{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	artifact, ok := m.artifacts[from]
	if !ok {
		return registry.Copied{}, fault.New(fault.NotFound, "copy "+from, "it does not exist")
	}
	_, digest, _ := strings.Cut(from, "@")
	pinned, err := m.putLocked(repository, tag, digest, artifact)
	if err != nil {
		return registry.Copied{}, err
	}
	return registry.Copied{Ref: pinned, Moved: m.copyReferrers(from, repository) + weight(artifact, from, repository)}, nil
}

func (m *Memory) copyReferrers(from, repository string) (moved int64) {
	old, digest, _ := strings.Cut(from, "@")
	for _, referrer := range slices.Clone(m.referrers[from]) {
		artifact, to := m.artifacts[old+"@"+referrer], repository+"@"+referrer
		m.artifacts[to] = artifact
		if subject := repository + "@" + digest; !slices.Contains(m.referrers[subject], referrer) {
			m.referrers[subject] = append(m.referrers[subject], referrer)
		}
		moved += weight(artifact, from, repository) + m.copyReferrers(old+"@"+referrer, repository)
	}
	return moved
}

// weight is the size of an artifact's blobs, nothing within one registry.
func weight(a registry.Artifact, from, to string) int64 {
	if strings.Split(from, "/")[0] == strings.Split(to, "/")[0] {
		return 0
	}
	size := len(a.Config.Data)
	for _, layer := range a.Layers {
		size += len(layer.Data)
	}
	return int64(size)
}

// Describe tells type and annotations of an artifact.
func (m *Memory) Describe(ctx context.Context, reference string) (registry.Description, error) {
	artifact, pinned, err := m.Pull(ctx, reference)
	return registry.Description{Ref: pinned, Type: cmp.Or(artifact.Type, artifact.Config.MediaType), Annotations: artifact.Annotations}, err
}

// Complete says that an artifact that exists is complete.
func (m *Memory) Complete(ctx context.Context, reference string) error {
	_, err := m.Verify(ctx, reference)
	return err
}

// Verify counts the blobs of an artifact; nothing in memory is ever missing or damaged.
func (m *Memory) Verify(ctx context.Context, reference string) (registry.Contents, error) {
	if _, err := m.subject(ctx, "Verify", reference); err != nil {
		return registry.Contents{}, err
	}
	artifact, _, err := m.Pull(ctx, reference)
	if err != nil {
		return registry.Contents{}, err
	}
	blobs := map[string]bool{string(artifact.Config.Data): true}
	contents := registry.Contents{Manifests: 1, Bytes: int64(len(artifact.Config.Data))}
	for _, layer := range artifact.Layers {
		if !blobs[string(layer.Data)] {
			contents.Bytes += int64(len(layer.Data))
		}
		blobs[string(layer.Data)] = true
	}
	contents.Blobs = len(blobs)
	return contents, nil
}

// Compare tells that two digests differ, and nothing more: Memory knows of images only their digests.
func (m *Memory) Compare(ctx context.Context, one, other string) ([]string, error) {
	for _, reference := range []string{one, other} {
		if _, err := m.Verify(ctx, reference); err != nil {
			return nil, err
		}
	}
	if one[strings.Index(one, "@"):] == other[strings.Index(other, "@"):] {
		return nil, nil
	}
	return []string{"the digests differ"}, nil
}
