package release

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

// version is the request's own version and source, or what source control says.
func (m *Maker) version(ctx context.Context, req MakeRequest) (string, v1alpha1.Source, error) {
	if req.Version == "" {
		version, source, err := m.Version(ctx, req.Dir, req.Service)
		if err == nil && req.Source != (v1alpha1.Source{}) {
			source = req.Source
		}
		return version, source, err
	}
	if err := CheckVersion(req.Version); err != nil {
		return "", v1alpha1.Source{}, err
	}
	if req.Source != (v1alpha1.Source{}) {
		return req.Version, req.Source, nil
	}
	checkout, err := m.describe(ctx, req.Dir)
	switch {
	case fault.Is(err, fault.Usage):
		// Told the version, it does not matter that none can be derived.
		return req.Version, v1alpha1.Source{}, nil
	case err != nil:
		return "", v1alpha1.Source{}, err
	}
	return req.Version, sourceOf(checkout), nil
}

// Version derives a service's version from source control, and says what is checked out there.
//
// A branch or tag whose name asks for a release, see NamingOf, says the version itself; then nothing may be uncommitted (fault.Refused).
//
// Else the newest tag `<service>/v1.2.3`, or `v1.2.3` where the service has none of its own, that the commit is or descends from, counts.
// On the tag itself, with nothing changed, the version is 1.2.3. Elsewhere it is the next patch's pre-release, with the number of
// commits since and the commit: 1.2.4-dev.7.g0123456789; with changes, which are named by their hash: 1.2.4-dev.7.g0123456789.dirty.h89abcdef.
// Without a tag it is 0.1.0-dev.… . Pre-releases of later commits sort after those of earlier ones.
func (m *Maker) Version(ctx context.Context, dir, service string) (string, v1alpha1.Source, error) {
	checkout, err := m.describe(ctx, dir)
	if err != nil {
		return "", v1alpha1.Source{}, err
	}
	versions, err := m.Versions(ctx, dir, checkout, []string{service})
	return versions[service], sourceOf(checkout), err
}

// Versions is Version of several services of one checkout. Commits and tags that a shallow clone lacks are fetched.
func (m *Maker) Versions(ctx context.Context, dir string, checkout build.Checkout, services []string) (map[string]string, error) {
	const cure = "fetch all of it with `git fetch --unshallow --tags`, or give the version with --version"
	checkout, err := WithTags(ctx, m.Sources, dir, checkout)
	if err != nil {
		return nil, &fault.Error{Op: "derive the version", Kind: fault.KindOf(err), Err: err, Hint: cure}
	}
	versions := map[string]string{}
	naming := NamingOf(checkout.Ref)
	var derive []string
	for _, service := range services {
		named, err := naming.Releases(service, checkout.Tags)
		switch {
		case !named || checkout.PullRequest:
			derive = append(derive, service)
		case err != nil:
			return nil, err
		case checkout.Changed != "":
			return nil, uncommitted(naming, checkout)
		default:
			versions[service] = naming.Version
		}
	}
	certain, err := m.derive(ctx, dir, checkout, derive, versions)
	if err != nil || certain {
		return versions, err
	}
	if checkout, err = completed(ctx, m.Sources, dir, checkout); err != nil {
		return nil, &fault.Error{Op: "derive the version", Kind: fault.KindOf(err), Err: err, Hint: cure}
	}
	_, err = m.derive(ctx, dir, checkout, derive, versions)
	return versions, err
}

// WithTags is the checkout with all its tags, which a shallow clone lacks, where it takes them to know what the branch or tag asks for:
// a release of the whole repository is not one of the services that have tags of their own.
func WithTags(ctx context.Context, sources build.Sources, dir string, checkout build.Checkout) (build.Checkout, error) {
	naming := NamingOf(checkout.Ref)
	if !checkout.Shallow || !naming.Release || naming.Service != "" || checkout.PullRequest {
		return checkout, nil
	}
	return completed(ctx, sources, dir, checkout)
}

// completed fetches what a shallow clone lacks. The checkout keeps its names.
func completed(ctx context.Context, sources build.Sources, dir string, checkout build.Checkout) (build.Checkout, error) {
	if err := sources.Complete(ctx, dirOr(dir)); err != nil {
		return checkout, fault.Wrap(fault.KindOf(err), "the clone is shallow, so that tags and the number of commits cannot be told", err)
	}
	whole, err := sources.Describe(ctx, dirOr(dir))
	whole.Ref, whole.PullRequest, whole.Into, whole.Before = checkout.Ref, checkout.PullRequest, checkout.Into, checkout.Before
	return whole, err
}

// describe asks source control. That there is none is an error of usage: nothing that was named is missing, what lacks is a version.
func (m *Maker) describe(ctx context.Context, dir string) (build.Checkout, error) {
	checkout, err := m.Sources.Describe(ctx, dirOr(dir))
	if err == nil {
		return checkout, nil
	}
	kind := fault.KindOf(err)
	if kind == fault.NotFound {
		kind = fault.Usage
	}
	return checkout, &fault.Error{Op: "derive the version", Kind: kind, Err: err, Hint: "give the version with --version"}
}

func sourceOf(checkout build.Checkout) v1alpha1.Source {
	return v1alpha1.Source{Commit: checkout.Commit, Dirty: checkout.Changed != "", Time: checkout.Time.UTC()}
}

// uncommitted is the error of a release that would be built from more than its commit.
func uncommitted(naming Naming, checkout build.Checkout) error {
	names := make([]string, 0, 3)
	for _, c := range checkout.Uncommitted[:min(3, len(checkout.Uncommitted))] {
		names = append(names, c.Path)
	}
	if more := len(checkout.Uncommitted) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return fault.New(fault.Refused, naming.Kind()+" "+naming.Name, "not committed: %s. A release is built from what is committed", strings.Join(names, ", ")).
		WithHint("commit, stash or ignore it")
}

// derive adds the versions that follow from the tags. It is not certain of them where the clone is shallow and a tag may be hidden.
func (m *Maker) derive(ctx context.Context, dir string, checkout build.Checkout, services []string, versions map[string]string) (certain bool, err error) {
	tags, tagged := map[string]string{}, map[string]*semver.Version{}
	for _, service := range services {
		tags[service], tagged[service] = newest(checkout.Tags, service)
	}
	distances, err := m.Sources.Distances(ctx, dirOr(dir), slices.Compact(slices.Sorted(maps.Values(tags))))
	if err != nil {
		return false, wrap("derive the version", err)
	}
	certain = true
	for _, service := range services {
		version, distance := tagged[service], distances[tags[service]]
		certain = certain && (!checkout.Shallow || version != nil && distance == 0)
		versions[service] = derived(version, distance, checkout)
	}
	return certain, nil
}

// newest is the highest version among the tags of a service, or among those of the whole repository where it has none of its own.
func newest(tags []string, service string) (tag string, version *semver.Version) {
	for _, prefix := range []string{service + "/v", "v"} {
		for _, t := range tags {
			rest, ok := strings.CutPrefix(t, prefix)
			if !ok {
				continue
			}
			v, err := semver.StrictNewVersion(rest)
			if err == nil && (version == nil || v.GreaterThan(version)) {
				tag, version = t, v
			}
		}
		if version != nil {
			return tag, version
		}
	}
	return "", nil
}

// derived is the version of a checkout that is distance commits after the tagged version, nil for none.
func derived(tagged *semver.Version, distance int, checkout build.Checkout) string {
	if tagged != nil && distance == 0 && checkout.Changed == "" {
		return tagged.String()
	}
	base := "0.1.0-dev"
	switch {
	case tagged == nil:
	case tagged.Prerelease() != "":
		// After 1.2.3-rc.1 comes 1.2.3-rc.1.dev.…, which sorts before rc.2.
		base = fmt.Sprintf("%d.%d.%d-%s.dev", tagged.Major(), tagged.Minor(), tagged.Patch(), tagged.Prerelease())
	default:
		base = fmt.Sprintf("%d.%d.%d-dev", tagged.Major(), tagged.Minor(), tagged.Patch()+1)
	}
	version := fmt.Sprintf("%s.%d.g%.10s", base, distance, checkout.Commit)
	if checkout.Changed != "" {
		version += fmt.Sprintf(".dirty.h%.8s", checkout.Changed)
	}
	return version
}
