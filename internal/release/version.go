package release

import (
	"context"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

// version is the request's own version and source, or what source control says.
func (m *Maker) version(ctx context.Context, req MakeRequest) (string, v1alpha1.Source, error) {
	if req.Version != "" {
		if err := CheckVersion(req.Version); err != nil {
			return "", v1alpha1.Source{}, err
		}
		if req.Source != (v1alpha1.Source{}) {
			return req.Version, req.Source, nil
		}
	}
	version, source, err := m.Version(ctx, req.Dir, req.Service)
	switch {
	case req.Version != "" && fault.Is(err, fault.Usage):
		// Told the version, it does not matter that none can be derived.
		return req.Version, source, nil
	case err != nil:
		return "", v1alpha1.Source{}, err
	case req.Version != "":
		version = req.Version
	}
	if req.Source != (v1alpha1.Source{}) {
		source = req.Source
	}
	return version, source, nil
}

// Version derives a service's version from source control, and says what is checked out there.
//
// The newest tag `<service>/v1.2.3`, or `v1.2.3` where the service has none of its own, that the commit is or descends from, counts.
// On the tag itself, with nothing changed, the version is 1.2.3. Elsewhere it is the next patch's pre-release, with the number of
// commits since and the commit: 1.2.4-dev.7.g0123456789; with changes, which are named by their hash: 1.2.4-dev.7.g0123456789.dirty.h89abcdef.
// Without a tag it is 0.1.0-dev.… . Pre-releases of later commits sort after those of earlier ones.
func (m *Maker) Version(ctx context.Context, dir, service string) (string, v1alpha1.Source, error) {
	const op = "derive the version"
	checkout, err := m.Sources.Describe(ctx, dirOr(dir))
	if err != nil {
		kind := fault.KindOf(err)
		if kind == fault.NotFound {
			// Nothing that was named is missing: what lacks is a version.
			kind = fault.Usage
		}
		return "", v1alpha1.Source{}, &fault.Error{Op: op, Kind: kind, Err: err, Hint: "give the version with --version"}
	}
	source := v1alpha1.Source{Commit: checkout.Commit, Dirty: checkout.Changed != "", Time: checkout.Time.UTC()}
	tag, version := newest(checkout.Tags, service)
	distance, err := m.Sources.Distance(ctx, dirOr(dir), tag)
	if err != nil {
		return "", source, wrap(op, err)
	}
	if checkout.Shallow && (version == nil || distance > 0) {
		return "", source, fault.New(fault.Usage, op, "the clone is shallow: tags and the number of commits cannot be told").
			WithHint("fetch all of it with `git fetch --unshallow --tags`, or give the version with --version")
	}
	return derived(version, distance, checkout), source, nil
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
