package registrytest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

// Memory is a fake registry that keeps artifacts in memory, and of images only their digests. It keeps the contract.
// It is safe for concurrent use; its zero value is empty.
type Memory struct {
	// Fail is asked before every call, with the method's name and the repository or reference; what it returns fails the call. Default: nothing.
	Fail func(method, target string) error

	mu        sync.Mutex
	tags      map[string]string // repository:tag → digest
	artifacts map[string]registry.Artifact
	referrers map[string][]string // reference by digest → digests of what refers to it
	pushed    []string
}

var _ Port = (*Memory)(nil)

// Pushed lists what was pushed, as repository:tag, in order; what was there already is not listed again.
func (m *Memory) Pushed() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.pushed)
}

// Put changes what a digest holds, as a registry with damaged content would.
func (m *Memory) Put(reference string, artifact registry.Artifact) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.artifacts[reference] = artifact
}

// Delete forgets what a reference by digest names.
func (m *Memory) Delete(reference string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.artifacts, reference)
}

// PushLayout remembers the digest of a layout's only entry.
func (m *Memory) PushLayout(ctx context.Context, path, repository, tag string) (string, error) {
	if err := m.enter(ctx, "PushLayout", repository, tag); err != nil {
		return "", err
	}
	digest, err := layoutDigest(path)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "push to "+repository, err)
	}
	return m.put(repository, tag, digest, registry.Artifact{})
}

// Push remembers an artifact.
func (m *Memory) Push(ctx context.Context, artifact registry.Artifact, repository, tag string) (string, error) {
	if err := m.enter(ctx, "Push", repository, tag); err != nil {
		return "", err
	}
	data, err := json.Marshal(artifact)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "push to "+repository, err)
	}
	return m.put(repository, tag, fmt.Sprintf("sha256:%x", sha256.Sum256(data)), artifact)
}

func (m *Memory) put(repository, tag, digest string, artifact registry.Artifact) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.putLocked(repository, tag, digest, artifact)
}

func (m *Memory) putLocked(repository, tag, digest string, artifact registry.Artifact) (string, error) {
	if m.tags == nil {
		m.tags, m.artifacts, m.referrers = map[string]string{}, map[string]registry.Artifact{}, map[string][]string{}
	}
	pinned := repository + "@" + digest
	if tag != "" {
		switch m.tags[repository+":"+tag] {
		case digest:
			return pinned, nil
		case "":
		default:
			return "", fault.New(fault.Usage, "push to "+repository, "tag %s is taken", tag)
		}
		m.tags[repository+":"+tag] = digest
	}
	m.artifacts[pinned] = artifact
	m.pushed = append(m.pushed, repository+":"+tag)
	return pinned, nil
}

// Pull returns what was pushed.
func (m *Memory) Pull(ctx context.Context, reference string) (registry.Artifact, string, error) {
	repository, _, isPinned := strings.Cut(reference, "@")
	tag := ""
	if i := strings.LastIndex(repository, ":"); !isPinned && i > strings.LastIndex(repository, "/") {
		repository, tag = repository[:i], repository[i+1:]
	}
	if tag == "" && !isDigest(reference[strings.Index(reference, "@")+1:]) {
		return registry.Artifact{}, "", fault.New(fault.Usage, "pull "+reference, "neither tag nor digest")
	}
	if err := m.enter(ctx, "Pull", repository, tag); err != nil {
		return registry.Artifact{}, "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	pinned := reference
	if tag != "" {
		pinned = repository + "@" + m.tags[reference]
	}
	artifact, ok := m.artifacts[pinned]
	if !ok {
		return registry.Artifact{}, "", fault.New(fault.NotFound, "pull "+reference, "it does not exist")
	}
	return artifact, pinned, nil
}

func isDigest(s string) bool { return regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(s) }

// Check always lets push.
func (m *Memory) Check(ctx context.Context, repository string) error {
	return m.enter(ctx, "Check", repository, "")
}

// Tags lists the tags of a repository.
func (m *Memory) Tags(ctx context.Context, repository string) ([]string, error) {
	if err := m.enter(ctx, "Tags", repository, ""); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var tags []string
	for name := range m.tags {
		if tag, ok := strings.CutPrefix(name, repository+":"); ok {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags, nil
}

func (m *Memory) enter(ctx context.Context, method, repository, tag string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !regexp.MustCompile(`^[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+$`).MatchString(repository) || strings.ContainsAny(tag, " /") {
		return fault.New(fault.Usage, method+" "+repository, "no repository or tag")
	}
	if m.Fail == nil {
		return nil
	}
	return m.Fail(method, repository)
}
