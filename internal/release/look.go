package release

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

// Entry is one release in a list.
type Entry struct {
	Version string `json:"version"`
	Ref     string `json:"ref"`
	Digest  string `json:"digest"`
	// Commit and Time are those of the source, where they are known.
	Commit string    `json:"commit,omitempty"`
	Time   time.Time `json:"time,omitzero"`
}

// Catalog is what listing needs of a registry.
type Catalog interface {
	registry.Lister
	registry.Describer
}

// List lists the releases of a service below a prefix, the highest version first; a service that was never built has none.
func List(ctx context.Context, c Catalog, prefix, service string) ([]Entry, error) {
	repository := releaseRepository(strings.TrimSuffix(prefix, "/"), service)
	versions, err := versionsIn(ctx, c, repository)
	if err != nil {
		return nil, err
	}
	entries := []Entry{}
	for _, v := range versions {
		e, err := v.entry(ctx, c, repository)
		if err != nil {
			return nil, err
		}
		if e != nil {
			entries = append(entries, *e)
		}
	}
	return entries, nil
}

// Predecessor is the release before a release in the repository that holds it: the highest lower version; for one that is no pre-release,
// the highest that is none either. It is nil for the first. What lies between the commits of the two is new.
func Predecessor(ctx context.Context, c Catalog, rel *v1alpha1.Release, ref v1alpha1.ReleaseRef) (*Entry, error) {
	this, err := semver.StrictNewVersion(rel.Version)
	if err != nil {
		return nil, fault.New(fault.Usage, "look for the release before "+rel.Version, "%w", err)
	}
	repository, _, _ := strings.Cut(ref.Ref, "@")
	versions, err := versionsIn(ctx, c, repository)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if !v.LessThan(this) || this.Prerelease() == "" && v.Prerelease() != "" {
			continue
		}
		if e, err := v.entry(ctx, c, repository); e != nil || err != nil {
			return e, err
		}
	}
	return nil, nil
}

// version is a tag that is one.
type version struct {
	*semver.Version
	tag string
}

// versionsIn are the versions that a repository has tags for, the highest first.
func versionsIn(ctx context.Context, c Catalog, repository string) ([]version, error) {
	tags, err := c.Tags(ctx, repository)
	if err != nil {
		return nil, err
	}
	var versions []version
	for _, tag := range tags {
		// Other tags are the registry's business: indexes of referrers, marks of clean-ups.
		if v, err := semver.StrictNewVersion(strings.ReplaceAll(tag, "_", "+")); err == nil {
			versions = append(versions, version{v, tag})
		}
	}
	slices.SortFunc(versions, func(a, b version) int { return b.Compare(a.Version) })
	return versions, nil
}

// entry is what lies under the tag; nil where that is no release, or was deleted since the tags were listed.
func (v version) entry(ctx context.Context, c Catalog, repository string) (*Entry, error) {
	d, err := c.Describe(ctx, repository+":"+v.tag)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if d.Type != ArtifactType {
		return nil, nil
	}
	e := &Entry{Version: v.String(), Ref: d.Ref, Digest: digestOf(d.Ref), Commit: d.Annotations[revisionAnnotation]}
	if at, err := time.Parse(time.RFC3339, d.Annotations[createdAnnotation]); err == nil {
		e.Time = at
	}
	return e, nil
}

// Part is the release artifact itself, its chart or one of its images.
type Part struct {
	// Name is release, chart, or image and its name.
	Name string `json:"name"`
	Ref  string `json:"ref"`
	// Referrers are the types of what refers to it, with how often each is there.
	Referrers map[string]int `json:"referrers,omitempty"`
	// Signers are who its signatures say that they are by, which nobody verified.
	Signers []string `json:"signers,omitempty"`
	// Manifests, Blobs and Bytes are what was read and found to be what its digest stands for; 0 where nothing was read.
	Manifests int   `json:"manifests,omitempty"`
	Blobs     int   `json:"blobs,omitempty"`
	Bytes     int64 `json:"bytes,omitempty"`
	// Error says what is missing or damaged.
	Error string `json:"error,omitempty"`
}

// parts lists what a release is made of.
func parts(rel *v1alpha1.Release, ref v1alpha1.ReleaseRef) []Part {
	list := []Part{{Name: "release", Ref: ref.Ref}, {Name: "chart", Ref: rel.Chart}}
	for _, name := range keys(rel.Images) {
		list = append(list, Part{Name: "image " + name, Ref: rel.Images[name]})
	}
	return list
}

// Parts lists what a release is made of, and what refers to it.
func Parts(ctx context.Context, a registry.Attacher, rel *v1alpha1.Release, ref v1alpha1.ReleaseRef) ([]Part, error) {
	list := parts(rel, ref)
	for i, part := range list {
		found, err := a.Referrers(ctx, part.Ref, "")
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			if list[i].Referrers == nil {
				list[i].Referrers = map[string]int{}
			}
			list[i].Referrers[r.Type]++
		}
	}
	return list, nil
}

// Verify reads everything that a release names and compares it with its digest. What is missing or damaged is said in its part; the
// error is what kept from looking.
func Verify(ctx context.Context, i registry.Inspector, rel *v1alpha1.Release, ref v1alpha1.ReleaseRef) ([]Part, error) {
	list := parts(rel, ref)
	for n, part := range list {
		contents, err := i.Verify(ctx, part.Ref)
		switch {
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.Fatal):
			list[n].Error = err.Error()
		case err != nil:
			return nil, err
		}
		list[n].Manifests, list[n].Blobs, list[n].Bytes = contents.Manifests, contents.Blobs, contents.Bytes
	}
	return list, nil
}
