package chart

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/chart/v2/util"

	"github.com/sluice-dev/sluice/internal/fault"
)

const (
	localScheme = "file://"
	ociScheme   = "oci://"
	// lockFile pins what the ranges of Chart.yaml leave open.
	lockFile = "Chart.lock"
)

// complete gives a chart the dependencies that its Chart.yaml names. Folders are taken as they are now, whatever copy lies in
// charts/; others from charts/, else from a registry or repository in the version that Chart.lock says. trail holds the folders above.
func (p *packing) complete(ctx context.Context, c *chart.Chart, dir string, trail []string) error {
	place, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if slices.Contains(trail, place) {
		return fault.New(fault.Usage, "", "the charts depend on each other in a circle: %s", strings.Join(append(trail, place), " needs "))
	}
	trail = append(slices.Clone(trail), place)
	for _, d := range c.Metadata.Dependencies {
		if strings.HasPrefix(d.Repository, localScheme) {
			remove(c, d.Name)
		}
	}
	var errs []error
	for _, d := range c.Metadata.Dependencies {
		if err := p.resolve(ctx, c, d, dir, trail); err != nil {
			errs = append(errs, fault.Wrap(fault.KindOf(err), "dependency "+d.Name, err))
		}
	}
	// All that is wrong is told at once; the first says of which kind it is.
	return errors.Join(append(errs, unique(c))...)
}

// resolve makes sure that a chart has one of its dependencies.
func (p *packing) resolve(ctx context.Context, c *chart.Chart, d *chart.Dependency, dir string, trail []string) error {
	if have := find(c, d.Name); have != nil {
		return fits(have, d, lockedVersion(c.Lock, d))
	}
	var added *chart.Chart
	var err error
	switch {
	case strings.HasPrefix(d.Repository, localScheme):
		added, err = p.local(ctx, d, dir, trail)
	case strings.HasPrefix(d.Repository, ociScheme), isWeb(d.Repository):
		added, err = p.fetch(ctx, c, d, dir)
	case d.Repository == "":
		return fault.New(fault.Usage, "", "%s names no repository, and the chart's folder charts does not hold it", util.ChartfileName).
			WithHint("put the chart into %s, or say in %s where it is: repository: file://…, oci://… or https://…", filepath.Join(dir, util.ChartsDir), util.ChartfileName)
	default:
		return fault.New(fault.Usage, "", "it is to come from %s, which only this machine's Helm could know, and the chart's folder charts does not hold it", d.Repository).
			WithHint("write the repository's address: repository: https://…, oci://… or file://…, or fetch it before the build with `helm dependency build %s`", dir)
	}
	if err != nil {
		return err
	}
	if added == nil {
		return nil
	}
	if err := fits(added, d, ""); err != nil {
		return err
	}
	c.AddDependency(added)
	return nil
}

// local loads a dependency from a folder beside the chart, with its own dependencies.
func (p *packing) local(ctx context.Context, d *chart.Dependency, dir string, trail []string) (*chart.Chart, error) {
	name := filepath.FromSlash(strings.TrimPrefix(d.Repository, localScheme))
	if name == "" || filepath.IsAbs(name) {
		return nil, fault.New(fault.Usage, "", "%s is no path relative to the chart, so it leads elsewhere on another machine", d.Repository).
			WithHint("write it relative to the folder %s, for example file://../%s", dir, d.Name)
	}
	folder := filepath.Join(dir, name)
	if err := hasChart("load "+folder, folder); err != nil {
		return nil, fault.New(fault.KindOf(err), "", "%w", err).WithHint("correct the path in %s, which says repository: %s", util.ChartfileName, d.Repository)
	}
	c, err := loader.LoadDir(folder)
	if err != nil {
		return nil, fault.New(fault.Usage, "load "+folder, "%w", err).WithHint("see what `helm lint %s` says", folder)
	}
	return c, p.complete(ctx, c, folder, trail)
}

func isWeb(address string) bool {
	return strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
}

// fetch gets a dependency from an OCI registry or an http(s) repository, in the one version that Chart.lock says; nil where it is to be left out.
func (p *packing) fetch(ctx context.Context, c *chart.Chart, d *chart.Dependency, dir string) (*chart.Chart, error) {
	if isWeb(d.Repository) {
		if err := checkAddress(d.Repository); err != nil {
			return nil, err
		}
	}
	version, err := pinned(c, d, dir)
	if err != nil {
		return nil, err
	}
	if p.Offline {
		p.missing = append(p.missing, fmt.Sprintf("%s %s of %s", d.Name, version, d.Repository))
		return nil, nil //nolint:nilnil // what is left out is named in missing
	}
	archive, from, err := p.archive(ctx, d, version, dir)
	if err != nil {
		return nil, err
	}
	added, err := loader.LoadArchive(bytes.NewReader(archive))
	if err != nil {
		return nil, fault.New(fault.Fatal, "", "what %s holds is no chart: %w", from, err)
	}
	if got := added.Metadata.Version; got != version {
		return nil, fault.New(fault.Fatal, "", "%s holds version %s", from, got).WithHint("push the chart under its own version again")
	}
	return added, nil
}

// archive gets one version of a dependency from where its repository says, and names the place.
func (p *packing) archive(ctx context.Context, d *chart.Dependency, version, dir string) (data []byte, from string, err error) {
	if isWeb(d.Repository) {
		from = d.Name + " " + version + " of " + d.Repository
		opened := p.opened[d.Repository]
		if opened == nil {
			if opened, err = p.Repositories.open(ctx, d.Repository); err != nil {
				return nil, from, err
			}
			p.opened[d.Repository] = opened
		}
		data, err = opened.archive(ctx, d.Name, version, p.Fetch)
		return data, from, err
	}
	if p.Fetch == nil {
		return nil, from, fault.New(fault.Internal, "", "nothing is wired that could fetch %s", d.Repository)
	}
	// A tag must not hold "+", for which "_" stands.
	from = strings.TrimSuffix(strings.TrimPrefix(d.Repository, ociScheme), "/") + "/" + d.Name + ":" + strings.ReplaceAll(version, "+", "_")
	data, err = p.Fetch(ctx, from)
	if fault.Is(err, fault.NotFound) {
		return nil, from, fault.New(fault.Usage, "", "%w", err).WithHint("push it there, or take another version with `helm dependency update %s`", dir)
	}
	return data, from, err
}

// pinned is the version of a dependency in a Chart.lock that belongs to this Chart.yaml.
func pinned(c *chart.Chart, d *chart.Dependency, dir string) (string, error) {
	const cure = "write it with `helm dependency update %s`, and commit it"
	if c.Lock == nil {
		return "", fault.New(fault.Usage, "", "there is no %s that says which version to take", lockFile).WithHint(cure, dir)
	}
	sum, err := lockDigest(c.Metadata.Dependencies, c.Lock.Dependencies)
	if err != nil {
		return "", err
	}
	version := lockedVersion(c.Lock, d)
	if sum != c.Lock.Digest || version == "" {
		return "", fault.New(fault.Usage, "", "%s is out of date: %s was changed since it was written", lockFile, util.ChartfileName).WithHint(cure, dir)
	}
	return version, nil
}

// lockDigest is what Helm writes into Chart.lock: a digest of what is asked for and what was found.
func lockDigest(asked, found []*chart.Dependency) (string, error) {
	data, err := json.Marshal([2][]*chart.Dependency{asked, found})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

func lockedVersion(lock *chart.Lock, d *chart.Dependency) string {
	if lock == nil || strings.HasPrefix(d.Repository, localScheme) {
		return ""
	}
	for _, l := range lock.Dependencies {
		if l.Name == d.Name && l.Repository == d.Repository {
			return l.Version
		}
	}
	return ""
}

// fits says whether a chart is what a dependency asks for: its name, a version in its range, and the locked one where there is one.
func fits(c *chart.Chart, d *chart.Dependency, locked string) error {
	if c.Name() != d.Name {
		return fault.New(fault.Usage, "", "the chart that was found is called %s", c.Name()).WithHint("correct the name in %s", util.ChartfileName)
	}
	if locked != "" && c.Metadata.Version != locked {
		return fault.New(fault.Usage, "", "the chart's folder charts holds version %s, %s says %s", c.Metadata.Version, lockFile, locked).
			WithHint("bring it up to date with `helm dependency build`")
	}
	if d.Version == "" {
		return nil
	}
	wanted, err := semver.NewConstraint(d.Version)
	if err != nil {
		return fault.New(fault.Usage, "", "%q is neither a version nor a range: %w", d.Version, err)
	}
	version, err := semver.NewVersion(c.Metadata.Version)
	if err != nil {
		return fault.New(fault.Usage, "", "its version %q is no semantic version: %w", c.Metadata.Version, err)
	}
	if !wanted.Check(version) {
		return fault.New(fault.Usage, "", "the chart that was found has version %s, %s asks for %s", version, util.ChartfileName, d.Version).
			WithHint("correct one of the two")
	}
	return nil
}

func find(c *chart.Chart, name string) *chart.Chart {
	for _, d := range c.Dependencies() {
		if d.Name() == name {
			return d
		}
	}
	return nil
}

func remove(c *chart.Chart, name string) {
	c.SetDependencies(slices.DeleteFunc(slices.Clone(c.Dependencies()), func(d *chart.Chart) bool { return d.Name() == name })...)
}

// unique refuses two charts of one name, which would be written over each other: an archive has one folder per name.
func unique(c *chart.Chart) error {
	seen := map[string]string{}
	for _, d := range c.Dependencies() {
		if other, twice := seen[d.Name()]; twice {
			return fault.New(fault.Usage, "dependency "+d.Name(), "the chart would hold both %s and %s of it", other, d.Metadata.Version).
				WithHint("keep one of the two in the folder charts; `alias:` in %s uses one chart several times", util.ChartfileName)
		}
		seen[d.Name()] = d.Metadata.Version
	}
	return nil
}
