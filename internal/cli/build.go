package cli

import (
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
	var registry, version string
	var rebuild bool
	cmd := &cobra.Command{
		Use: "build [SERVICE]", Short: "Build a service's images and make the release", GroupID: groupShip, Args: oneArg("SERVICE", false),
		Long: describe(`Build a service's images, package its chart and push both with the release artifact that names them by digest.
Bills of materials and provenance are attached to them, and signatures where sluice.yaml has "signing". Where it has "scan", a
scanner looks into the images first, and what it finds may end the build.

Images with a test stage are tested first: failing tests are exit code 3, a failing build is 2, and in both cases nothing was pushed.
The result files are kept in .sluice/tests/SERVICE/IMAGE.

An image whose inputs (sources, base, toolchain, settings) are those of one that the registry has already is not built again, where
the builder can tell them; --rebuild builds it all the same and says whether the digest is the same.

SERVICE may be left out where sluice.yaml has only one. Images from Go sources need no Docker; images from Dockerfiles need a BuildKit:
the one of --buildkit, of buildkit: in sluice.yaml or of $BUILDKIT_HOST, else Docker's own, else the local cluster's.`, 0, 1, 2, 3, 8, 130),
		Example: `  sluice build
  sluice build --buildkit tcp://builder:1234
  sluice build calculator --version 1.4.0 -o json`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			file, service, err := inv.service(first(args))
			if err != nil {
				return err
			}
			p := inv.progress()
			defer p.Stop()
			b := inv.backend(file.Dir, orDefault(registry, file.Project.Registry), p, func(o *app.Options) { o.Rebuild = rebuild })
			defer inv.close(b)
			release, ref, err := b.Build(cmd.Context(), file, service, version)
			p.Stop()
			if err != nil {
				return err
			}
			doc := inv.describeRelease(release, ref)
			return inv.emit(doc, doc.summary)
		}),
	}
	registryFlag(cmd, &registry)
	versionFlag(cmd, &version)
	cmd.Flags().BoolVar(&rebuild, "rebuild", false, "build also images that the registry has, and compare")
	inv.building.register(cmd)
	return cmd
}

func versionFlag(cmd *cobra.Command, target *string) {
	cmd.Flags().StringVar(target, "version", "", "semantic `version` of images, chart and release (default: derived from Git)")
}

func (inv *invocation) describeRelease(release *v1alpha1.Release, ref v1alpha1.ReleaseRef) *releaseDocument {
	return &releaseDocument{
		document: head("ReleaseResult"), Service: release.Service, Version: release.Version, Digest: ref.Digest, Ref: ref.Ref,
		Name: release.Service + "@" + ref.Digest, Images: release.Images, Unchanged: release.Unchanged, Chart: release.Chart, Source: release.Source,
		Tests: release.Tests, Seal: inv.sealed,
	}
}

func (d *releaseDocument) summary(w io.Writer) {
	for _, name := range slices.Sorted(maps.Keys(d.Images)) {
		fmt.Fprintf(w, "image    %s  %s", name, d.Images[name])
		if since := d.Unchanged[name]; since != "" {
			fmt.Fprintf(w, "  unchanged since %s", since)
		}
		fmt.Fprintln(w)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Tests)) {
		fmt.Fprintf(w, "tests    %s  %s\n", name, tested(d.Tests[name]))
	}
	fmt.Fprintf(w, "chart    %s\n", d.Chart)
	sealSummary(w, d.Seal)
	fmt.Fprintf(w, "release  %s %s  %s\n", d.Service, d.Version, strings.TrimSpace(d.Ref))
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
