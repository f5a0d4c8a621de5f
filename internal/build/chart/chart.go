// Package chart is the build.Packer over Helm's SDK; it must not render or install anything.
package chart

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/chart/v2/util"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

var _ build.Packer = Packer{}

// Packer packs charts as `helm package --version V --app-version V` does, but the same bytes every time.
type Packer struct {
	// Fetch returns the archive of a chart by its OCI reference, host/path/name:tag. Nil fetches none.
	Fetch func(ctx context.Context, reference string) ([]byte, error)
	// Repositories are those that are spoken to by http(s).
	Repositories Repositories
	// Offline leaves out what would have to be fetched, and names it in the packed chart.
	Offline bool
}

// packing is one chart on its way into an archive.
type packing struct {
	Packer
	// missing are the dependencies that were left out.
	missing []string
	// opened are the repositories whose index was read, by their address.
	opened map[string]*repository
}

// Pack packs the chart in a folder with its dependencies: those in its charts folder, those in folders beside it
// (file://), and those in an OCI registry or an http(s) repository, in the version that Chart.lock says. The folder is left as it is.
func (p Packer) Pack(ctx context.Context, dir, version string) (build.Chart, error) {
	op := "pack chart " + dir
	if err := ctx.Err(); err != nil {
		return build.Chart{}, fault.Wrap(fault.Interrupted, op, err)
	}
	if err := hasChart(op, dir); err != nil {
		return build.Chart{}, err
	}
	c, err := loader.LoadDir(dir)
	if err != nil {
		return build.Chart{}, fault.New(fault.Usage, op, "%w", err).WithHint("see what `helm lint %s` says", dir)
	}
	c.Metadata.Version, c.Metadata.AppVersion = version, version
	if err := usable(c); err != nil {
		return build.Chart{}, fault.Wrap(fault.Usage, op, err)
	}
	pack := &packing{Packer: p, opened: map[string]*repository{}}
	if err := pack.complete(ctx, c, dir, nil); err != nil {
		return build.Chart{}, fault.Wrap(fault.KindOf(err), op, err)
	}
	settle(c)
	archive, err := save(c)
	if err != nil {
		return build.Chart{}, fault.Wrap(fault.Usage, op, err)
	}
	metadata, err := json.Marshal(c.Metadata)
	if err != nil {
		return build.Chart{}, fault.Wrap(fault.Internal, op, err)
	}
	return build.Chart{Name: c.Name(), Metadata: metadata, Archive: archive, Missing: pack.missing}, nil
}

// hasChart tells what is missing in more words than Helm.
func hasChart(op, dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Usage, op, "there is no such folder").WithHint("name the chart's folder in sluice.yaml under chart:, or make one with `helm create`")
	case err != nil:
		return fault.Wrap(fault.Usage, op, err)
	case !info.IsDir():
		return fault.New(fault.Usage, op, "it is no folder").WithHint("unpack the chart, and name its folder in sluice.yaml under chart:")
	}
	_, err = os.Stat(filepath.Join(dir, util.ChartfileName))
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Usage, op, "it holds no %s", util.ChartfileName).
			WithHint("name the folder that does in sluice.yaml under chart:, or make one with `helm create`")
	}
	return fault.Wrap(fault.Usage, op, err)
}

// usable refuses what Helm would refuse at the installation.
func usable(c *chart.Chart) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if c.Metadata.Type == "library" {
		return fault.New(fault.Usage, "", "%s is a library chart, which cannot be installed", c.Name()).
			WithHint("name a chart of type application that depends on it")
	}
	return nil
}

// settle takes out of a chart what differs between two readings of the same files: times, and the order of dependencies.
func settle(c *chart.Chart) {
	epoch := time.Unix(0, 0).UTC()
	c.ModTime, c.SchemaModTime = epoch, epoch
	for _, f := range slices.Concat(c.Raw, c.Templates, c.Files) {
		f.ModTime = epoch
	}
	if c.Lock != nil && c.Lock.Generated.IsZero() {
		// Helm would put the time of packing into the archive.
		c.Lock.Generated = epoch
	}
	dependencies := slices.Clone(c.Dependencies())
	slices.SortFunc(dependencies, func(a, b *chart.Chart) int {
		return cmp.Or(cmp.Compare(a.Name(), b.Name()), cmp.Compare(a.Metadata.Version, b.Metadata.Version))
	})
	for _, d := range dependencies {
		settle(d)
	}
	c.SetDependencies(dependencies...)
}

// save writes the archive where Helm insists on a folder, and reads it.
func save(c *chart.Chart) ([]byte, error) {
	work, err := os.MkdirTemp("", "sluice-chart-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the archive: %w", err)
	}
	defer os.RemoveAll(work)
	file, err := util.Save(c, work)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}
