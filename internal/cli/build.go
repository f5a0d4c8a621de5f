package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/seal"
)

// releaseDocument is the result of `sluice build`.
type releaseDocument struct {
	document
	Service string `json:"service"`
	Version string `json:"version"`
	// Digest and Ref name the release; Name is what `sluice deploy` takes.
	Digest string            `json:"digest"`
	Ref    string            `json:"ref"`
	Name   string            `json:"name"`
	Images map[string]string `json:"images"`
	// Unchanged are the images that were found and not built, with the version that they were built for.
	Unchanged map[string]string `json:"unchanged,omitempty"`
	Chart     string            `json:"chart"`
	// Tests are the results of the images' tests, by image; images that have none are left out.
	Tests  map[string]v1alpha1.Tests `json:"tests,omitempty"`
	Source v1alpha1.Source           `json:"source"`
	// Seal is what was scanned and attached.
	Seal seal.Report `json:"seal,omitzero"`
}

func newBuild(inv *invocation) *cobra.Command {
	var flags buildsFlags
	cmd := &cobra.Command{
		Use: "build [SERVICE...]", Short: "Build services' images and make their releases", GroupID: groupShip,
		Long: describe(`Build a service's images, package its chart and push both with the release artifact that names them by digest.
Bills of materials and provenance are attached to them, and signatures where sluice.yaml has "signing". Where it has "scan", a
scanner looks into the images first, and what it finds may end the build.

Without SERVICE all services of the file are built, side by side. One that fails does not stop the others; the exit code is that of the
first that failed. With --planned each is built as far as "sluice plan" says: not at all, tested, made and scanned without being pushed,
or released.

Images with a test stage are tested first: failing tests are exit code 3, a failing build is 2, and in both cases nothing was pushed.
The result files are kept in .sluice/tests/SERVICE/IMAGE.

An image whose inputs (sources, base, toolchain, settings) are those of one that the registry has already is not built again, where
the builder can tell them; --rebuild builds it all the same and says whether the digest is the same.

Images from Go sources need no Docker; images from Dockerfiles need a BuildKit: the one of --buildkit, of buildkit: in sluice.yaml or of
$BUILDKIT_HOST, else Docker's own, else the local cluster's.`, 0, 1, 2, 3, 8, 130),
		Example: `  sluice build
  sluice build calculator --version 1.4.0 -o json
  sluice build --planned --event pullRequest --base origin/main`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			file, err := inv.project()
			if err != nil {
				return err
			}
			services, err := servicesOf(file, args)
			if err != nil {
				return err
			}
			if err := inv.checkBuilds(cmd, services, flags); err != nil {
				return err
			}
			p := inv.progress()
			defer p.Stop()
			b := inv.backend(file.Dir, orDefault(flags.registry, file.Project.Registry), p, func(o *app.Options) { o.Rebuild = flags.rebuild })
			defer inv.close(b)
			if single := flags.single(services); single != "" {
				return inv.buildOne(cmd.Context(), b, p, app.BuildRequest{File: file, Service: single, Version: flags.version})
			}
			return inv.buildSeveral(cmd.Context(), b, p, file, services, flags)
		}),
	}
	registryFlag(cmd, &flags.registry)
	versionFlag(cmd, &flags.version)
	cmd.Flags().BoolVar(&flags.rebuild, "rebuild", false, "build also images that the registry has, and compare")
	cmd.Flags().BoolVar(&flags.planned, "planned", false, "do for each service what \"sluice plan\" says")
	flags.plan.register(cmd)
	inv.building.register(cmd)
	return cmd
}

// buildOne builds one service; the release is the result.
func (inv *invocation) buildOne(ctx context.Context, b Backend, p progress, req app.BuildRequest) error {
	built, err := b.Build(ctx, req)
	inv.scans = built.Seal.Scans
	p.Stop()
	if err != nil {
		return err
	}
	doc := describeRelease(built)
	return inv.emit(doc, doc.summary)
}

func versionFlag(cmd *cobra.Command, target *string) {
	cmd.Flags().StringVar(target, "version", "", "semantic `version` of images, chart and release (default: derived from Git)")
}

func describeRelease(built app.Built) *releaseDocument {
	release, ref := built.Release, built.Ref
	return &releaseDocument{
		document: head("ReleaseResult"), Service: release.Service, Version: release.Version, Digest: ref.Digest, Ref: ref.Ref,
		Name: release.Service + "@" + ref.Digest, Images: release.Images, Unchanged: release.Unchanged, Chart: release.Chart, Source: release.Source,
		Tests: release.Tests, Seal: built.Seal,
	}
}

func (d *releaseDocument) summary(w io.Writer) {
	for _, name := range slices.Sorted(maps.Keys(d.Images)) {
		fmt.Fprintf(w, "image    %s  %s\n", name, found(d.Images[name], d.Unchanged[name]))
	}
	testsSummary(w, d.Tests)
	fmt.Fprintf(w, "chart    %s\n", d.Chart)
	sealSummary(w, d.Seal)
	fmt.Fprintf(w, "release  %s %s  %s\n", d.Service, d.Version, strings.TrimSpace(d.Ref))
}

// found is an image, and since when it is the same.
func found(image, since string) string {
	if since != "" {
		return image + "  unchanged since " + since
	}
	return image
}

func testsSummary(w io.Writer, tests map[string]v1alpha1.Tests) {
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		fmt.Fprintf(w, "tests    %s  %s\n", name, tested(tests[name]))
	}
}

// tested are the results of an image's tests, for people.
func tested(t v1alpha1.Tests) string {
	switch {
	case t == v1alpha1.Tests{}:
		return "passed"
	case t.Skipped > 0:
		return fmt.Sprintf("%d passed, %d skipped", t.Passed, t.Skipped)
	default:
		return fmt.Sprintf("%d passed", t.Passed)
	}
}

// buildFlags say how images are built, for commands that build.
type buildFlags struct {
	buildkit string
	parallel uint
}

func (b *buildFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.buildkit, "buildkit", "", "`address` of the BuildKit that builds Dockerfiles, in place of that in sluice.yaml")
	cmd.Flags().UintVar(&b.parallel, "parallel", 0, "`number` of images built at once (default: the number of processors)")
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// close gives back what the backend opened; what fails there is worth a line, not an exit code.
func (inv *invocation) close(b Backend) {
	if err := b.Close(); err != nil {
		inv.log("warning: %v", err)
	}
}
