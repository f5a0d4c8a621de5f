// Package release turns sources into a Release, an immutable OCI artifact, and back; it must not know which registry, builder or chart library does the work.
package release

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/seal"
)

// Maker makes releases. It is safe for concurrent use where its ports are.
type Maker struct {
	// Builders by the key that chooses them in sluice.yaml: "ko", "dockerfile", "script". Those that are a build.Tester run tests too.
	Builders map[string]build.Builder
	Charts   build.Packer
	Sources  build.Sources
	Registry registry.Registry
	// Shelf is the same registry, asked for images that were built from the same inputs. Default: every image is built.
	Shelf Shelf
	// Seal scans, describes and signs what was made. Nil: nothing does.
	Seal *seal.Sealer
	// Places bound how many things are done at once: each takes one while it is done. Makers that share them share the bound. Default: as
	// many as there are processors.
	Places chan struct{}
}

// MakeRequest asks for a release of one service.
type MakeRequest struct {
	Project v1alpha1.Project
	Service string
	// Dir is the folder of sluice.yaml.
	Dir string
	// Version is semver. Default: derived from source control, see Maker.Version.
	Version string
	// Source is what the release says it was built from. Default: what source control says.
	Source v1alpha1.Source
	// Rebuild builds also what was built from the same inputs before, and says how it differs.
	Rebuild bool
	// Progress takes one line for people per thing begun or done; never called concurrently. Default: nowhere.
	Progress func(string)
}

// Make builds the images, pushes them and the chart, and then, as the last write, the release that names them by digest.
// What cannot be built is found out before anything is pushed. The same sources under the same version give the same digest.
//
// It fails with fault.Usage where sources, configuration or version are wrong or the version is taken by something else,
// and with fault.Unreachable where the registry cannot be reached.
func (m *Maker) Make(ctx context.Context, req MakeRequest) (v1alpha1.Release, v1alpha1.ReleaseRef, error) {
	req.Progress = serial(req.Progress)
	rel, ref, err := m.make(ctx, req)
	if err != nil {
		return v1alpha1.Release{}, v1alpha1.ReleaseRef{}, err
	}
	return rel, ref, nil
}

func (m *Maker) make(ctx context.Context, req MakeRequest) (rel v1alpha1.Release, ref v1alpha1.ReleaseRef, err error) {
	rel, err = draft(req)
	if err != nil {
		return rel, ref, err
	}
	rel.Version, rel.Source, err = m.version(ctx, req)
	if err != nil {
		return rel, ref, err
	}
	names, err := m.name(ctx, req, rel)
	if err != nil {
		return rel, ref, err
	}
	if err := m.Registry.Check(ctx, names.release); err != nil {
		return rel, ref, err
	}
	known, err := m.lookUp(ctx, req, rel, names)
	if err != nil {
		return rel, ref, err
	}
	work, err := os.MkdirTemp("", "sluice-build-")
	if err != nil {
		return rel, ref, fault.Wrap(fault.Internal, "make a folder for the images", err)
	}
	defer os.RemoveAll(work)

	images, err := m.buildImages(ctx, req, &rel, known, work, false)
	if err != nil {
		return rel, ref, err
	}
	if err := m.pushParts(ctx, req, names, images, known, &rel); err != nil {
		return rel, ref, err
	}
	making, err := m.seal(ctx, req, names.release, images, work, &rel)
	if err != nil {
		return rel, ref, err
	}
	artifact, err := encode(rel)
	if err != nil {
		return rel, ref, err
	}
	pushed, err := m.Registry.Push(ctx, artifact, names.release, Tag(rel.Version))
	if err != nil {
		return rel, ref, err
	}
	if err := m.Seal.Release(ctx, making, pushed); err != nil {
		return rel, ref, err
	}
	req.Progress("released " + pushed)
	ref = v1alpha1.ReleaseRef{Ref: pushed, Digest: digestOf(pushed), Version: rel.Version}
	return rel, ref, nil
}

// prepared is everything that is known before the first image is built.
type prepared struct {
	release string
	images  map[string]string
	charts  string
	chart   build.Chart
}

// name packs the chart and settles the repositories: what is cheap to find out comes before what takes long.
func (m *Maker) name(ctx context.Context, req MakeRequest, rel v1alpha1.Release) (prepared, error) {
	chart, err := m.Charts.Pack(ctx, within(req.Dir, rel.Spec.Chart), rel.Version)
	if err != nil {
		return prepared{}, err
	}
	req.Progress("packed chart " + chart.Name + " " + rel.Version)
	p := prepared{
		release: releaseRepository(req.Project.Registry, rel.Service),
		images:  map[string]string{},
		charts:  chartRepository(req.Project.Registry, rel.Service, chart.Name),
		chart:   chart,
	}
	for name := range rel.Spec.Images {
		p.images[name] = imageRepository(req.Project.Registry, rel.Service, name)
	}
	return p, nil
}

// buildImages tests and builds every image that is not there yet, a limited number at once; with enough an image that has tests need not
// be built once they pass. The first failure stops the others.
func (m *Maker) buildImages(ctx context.Context, req MakeRequest, rel *v1alpha1.Release, known *known, work string, enough bool) (map[string]build.Image, error) {
	images := map[string]build.Image{}
	var mu sync.Mutex
	err := m.each(ctx, keys(rel.Spec.Images), func(ctx context.Context, name string) error {
		if known.reuse(req, name) {
			return nil
		}
		tests, image, err := m.buildImage(ctx, req, rel, name, work, enough)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if image != nil {
			images[name] = *image
		}
		keepTests(rel, name, tests)
		return nil
	})
	return images, err
}

// buildImage tests one image and builds it; what is not done is nil.
func (m *Maker) buildImage(ctx context.Context, req MakeRequest, rel *v1alpha1.Release, name, work string, enough bool) (*v1alpha1.Tests, *build.Image, error) {
	spec := rel.Spec.Images[name]
	kind, from := builderOf(spec)
	builder, ok := m.Builders[kind]
	if !ok {
		return nil, nil, fault.New(fault.Internal, "build image "+name, "there is no builder %q", kind)
	}
	wanted := build.Request{
		Dir: req.Dir, Service: rel.Service, Name: name, Image: spec, Version: rel.Version, Commit: rel.Source.Commit, Time: rel.Source.Time,
		Log: func(line string) { req.Progress(name + ": " + line) },
	}
	tests, err := runTests(ctx, builder, wanted, req.Progress)
	if err != nil || enough && tests != nil {
		return tests, nil, err
	}
	req.Progress("building image " + name + " from " + from)
	image, err := builder.Build(ctx, wanted, work)
	if err != nil {
		return nil, nil, wrap("build image "+name, err)
	}
	req.Progress("built image " + name + " " + image.Digest)
	return tests, &image, nil
}

// pushParts pushes everything that the release will name, and names it.
func (m *Maker) pushParts(ctx context.Context, req MakeRequest, p prepared, images map[string]build.Image, known *known, rel *v1alpha1.Release) error {
	var mu sync.Mutex
	rel.Images = map[string]string{}
	err := m.each(ctx, keys(images), func(ctx context.Context, name string) error {
		if err := m.explain(ctx, req, name, p.images[name], images[name], known); err != nil {
			return err
		}
		ref := images[name].Reference
		if ref == "" {
			var err error
			if ref, err = m.Registry.PushLayout(ctx, images[name].Layout, p.images[name], Tag(rel.Version)); err != nil {
				return err
			}
			req.Progress("pushed " + ref)
		}
		if got := digestOf(ref); got != images[name].Digest {
			return fault.New(fault.Internal, "push image "+name, "the registry holds %s, but %s was built", got, images[name].Digest)
		}
		mu.Lock()
		rel.Images[name] = ref
		mu.Unlock()
		return m.remember(ctx, name, p.images[name], ref, known, rel)
	})
	if err != nil {
		return err
	}
	if err := m.nameFound(ctx, req, p, known, rel); err != nil {
		return err
	}
	rel.ChartArchive = p.chart.Archive
	if rel.Chart, err = m.Registry.Push(ctx, chartArtifact(p.chart), p.charts, Tag(rel.Version)); err != nil {
		return err
	}
	req.Progress("pushed " + rel.Chart)
	return nil
}

// each runs do for every name, a limited number at once, and returns the first failure, which stops the others.
func (m *Maker) each(ctx context.Context, names []string, do func(context.Context, string) error) error {
	places := m.Places
	if places == nil {
		places = make(chan struct{}, runtime.GOMAXPROCS(0))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return
			}
			defer func() { <-places }()
			if ctx.Err() != nil {
				return
			}
			if err := do(ctx, name); err != nil {
				// Only the first cause is kept: what fails afterwards failed because of it.
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// serial makes a progress function that may be called concurrently.
func serial(progress func(string)) func(string) {
	if progress == nil {
		return func(string) {}
	}
	var mu sync.Mutex
	return func(line string) {
		mu.Lock()
		defer mu.Unlock()
		progress(line)
	}
}

func keys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// wrap adds the operation and keeps the kind of the error.
func wrap(op string, err error) error { return fault.Wrap(fault.KindOf(err), op, err) }

// digestOf is the digest at the end of a reference by digest.
func digestOf(ref string) string {
	_, digest, _ := strings.Cut(ref, "@")
	return digest
}
