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
