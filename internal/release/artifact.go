package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

// Media types of what is pushed. Those of the chart are Helm's.
const (
	// ArtifactType is that of a release, and of its configuration: the Release as JSON.
	ArtifactType = "application/vnd.sluice.release.v1alpha1+json"
	// ValuesType is that of a values file, whose path is the layer's title.
	ValuesType = "application/vnd.sluice.values.v1alpha1+yaml"
	// FileType is that of another file that an environment needs, such as its encrypted variables.
	FileType     = "application/vnd.sluice.file.v1alpha1"
	chartConfig  = "application/vnd.cncf.helm.config.v1+json"
	chartContent = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
)

// encode turns a release into the artifact that holds it; the same release gives the same bytes.
func encode(rel v1alpha1.Release) (registry.Artifact, error) {
	// Struct fields come in their order and map keys sorted, so this is canonical.
	config, err := json.Marshal(rel)
	if err != nil {
		return registry.Artifact{}, fault.Wrap(fault.Internal, "encode the release", err)
	}
	if _, err := decode(config); err != nil {
		return registry.Artifact{}, fault.Wrap(fault.Internal, "read back the encoded release", err)
	}
	a := registry.Artifact{
		Type:   ArtifactType,
		Config: registry.Blob{MediaType: ArtifactType, Data: config},
		Annotations: map[string]string{
			"org.opencontainers.image.title": rel.Service,
			versionAnnotation:                rel.Version,
		},
	}
	if rel.Source.Commit != "" {
		a.Annotations[revisionAnnotation] = rel.Source.Commit
	}
	if !rel.Source.Time.IsZero() {
		// The commit's time, not today's: the digest must not depend on when it was built.
		a.Annotations[createdAnnotation] = rel.Source.Time.UTC().Format(time.RFC3339)
	}
	values := map[string]bool{}
	for _, environment := range rel.Environments {
		for _, name := range environment.Values {
			values[name] = true
		}
	}
	for _, name := range keys(rel.Files) {
		kind := FileType
		if values[name] {
			kind = ValuesType
		}
		a.Layers = append(a.Layers, registry.Blob{MediaType: kind, Title: name, Data: rel.Files[name]})
	}
	return a, nil
}

// chartArtifact is a chart as `helm push` would write it, but for the time of the push.
func chartArtifact(c build.Chart) registry.Artifact {
	return registry.Artifact{
		Config: registry.Blob{MediaType: chartConfig, Data: c.Metadata},
		Layers: []registry.Blob{{MediaType: chartContent, Data: c.Archive}},
	}
}

// Load pulls a release with its values files and its chart. A release that was copied names its parts where they lie beside it. It fails with fault.NotFound where the release does not exist, with
// fault.Usage where the reference names something else, and with fault.Fatal where the release is incomplete, altered, or written by a version of sluice that this one does not understand.
func Load(ctx context.Context, reg registry.Registry, ref string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error) {
	op := "load release " + ref
	artifact, pinned, err := pull(ctx, reg, op, ref)
	if fault.Is(err, fault.NotFound) {
		return nil, v1alpha1.ReleaseRef{}, fault.New(fault.NotFound, op, "it does not exist").
			WithHint("`sluice build` makes one and prints its reference")
	}
	if err != nil {
		return nil, v1alpha1.ReleaseRef{}, err
	}
	rel, err := assemble(artifact)
	if err != nil {
		return nil, v1alpha1.ReleaseRef{}, wrap(op, err)
	}
	home, _, _ := strings.Cut(pinned, "@")
	relocate(rel, home)
	chart, _, err := pull(ctx, reg, "load the chart of release "+ref, rel.Chart)
	if fault.Is(err, fault.NotFound) {
		// The release exists, so this is not "no such release": it is a release that was taken apart.
		e := &fault.Error{Op: op, Kind: fault.Fatal, Err: err}
		return nil, v1alpha1.ReleaseRef{}, e.WithHint("somebody deleted the chart from the registry: build the release again")
	}
	if err != nil {
		return nil, v1alpha1.ReleaseRef{}, err
	}
	if rel.ChartArchive, err = archiveOf(chart); err != nil {
		return nil, v1alpha1.ReleaseRef{}, fault.New(fault.Fatal, op, "%s is %w", rel.Chart, err)
	}
	return rel, v1alpha1.ReleaseRef{Ref: pinned, Digest: digestOf(pinned), Version: rel.Version}, nil
}

// pull pulls an artifact and makes sure that a reference by digest brought what it names.
func pull(ctx context.Context, reg registry.Registry, op, ref string) (registry.Artifact, string, error) {
	artifact, pinned, err := reg.Pull(ctx, ref)
	if err != nil {
		return registry.Artifact{}, "", err
	}
	if want := digestOf(ref); want != "" && want != digestOf(pinned) {
		return registry.Artifact{}, "", fault.New(fault.Fatal, op, "the registry answered with %s", digestOf(pinned)).
			WithHint("do not use this registry until it is known why it returns something else than it is asked for")
	}
	return artifact, pinned, nil
}

// assemble reads the parts of a release artifact.
func assemble(a registry.Artifact) (*v1alpha1.Release, error) {
	if a.Type != ArtifactType && a.Config.MediaType != ArtifactType {
		return nil, fault.New(fault.Usage, "", "it is no release of this version of sluice, but %q", firstOf(a.Type, a.Config.MediaType)).
			WithHint("give the reference that `sluice build` printed")
	}
	rel, err := decode(a.Config.Data)
	if err != nil {
		return nil, err
	}
	rel.Files = map[string][]byte{}
	for _, layer := range a.Layers {
		if layer.MediaType != ValuesType && layer.MediaType != FileType {
			return nil, fault.New(fault.Fatal, "", "it has a layer of unknown type %q", layer.MediaType).WithHint("use a newer sluice")
		}
		// Titles are paths: none may lead out of the folder that somebody writes them to.
		if !filepath.IsLocal(layer.Title) || layer.Title != path.Clean(layer.Title) {
			return nil, fault.New(fault.Fatal, "", "it names a file %q", layer.Title)
		}
		if _, twice := rel.Files[layer.Title]; twice {
			return nil, fault.New(fault.Fatal, "", "it holds the file %s twice", layer.Title)
		}
		rel.Files[layer.Title] = layer.Data
	}
	for _, name := range keys(rel.Environments) {
		for _, file := range rel.Environments[name].Files() {
			if _, ok := rel.Files[file]; !ok {
				return nil, fault.New(fault.Fatal, "", "environment %s wants the file %q, which the release does not carry", name, file)
			}
		}
	}
	return rel, nil
}

// decode reads the JSON of a release strictly: what is unknown was written by another version, and is refused rather than dropped.
func decode(data []byte) (*v1alpha1.Release, error) {
	const op = "read the release's description"
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fault.Wrap(fault.Fatal, op, err)
	}
	if head.APIVersion != v1alpha1.APIVersion || head.Kind != v1alpha1.KindRelease {
		return nil, fault.New(fault.Fatal, op, "it is a %.60q of apiVersion %.60q; this sluice reads %s of %s",
			head.Kind, head.APIVersion, v1alpha1.KindRelease, v1alpha1.APIVersion).WithHint("use the version of sluice that made it")
	}
	rel := &v1alpha1.Release{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(rel); err != nil {
		return nil, fault.New(fault.Fatal, op, "%w", err).WithHint("a field that is unknown here was written by a newer sluice: use that version")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Fatal, op, "something follows it at byte %d", d.InputOffset())
	}
	return rel, fault.Wrap(fault.Fatal, op, complete(rel))
}

// complete refuses a release that does not pin what it names.
func complete(rel *v1alpha1.Release) error {
	if !isComponent(rel.Service) {
		return fmt.Errorf("service %q is no name", rel.Service)
	}
	if err := CheckVersion(rel.Version); err != nil {
		return err
	}
	for _, name := range keys(rel.Images) {
		if !isPinned(rel.Images[name]) {
			return fmt.Errorf("image %s is %q, which is no reference by digest", name, rel.Images[name])
		}
	}
	for _, name := range keys(rel.Spec.Images) {
		if _, ok := rel.Images[name]; !ok {
			return fmt.Errorf("image %s has no reference", name)
		}
	}
	if !isPinned(rel.Chart) {
		return fmt.Errorf("chart is %q, which is no reference by digest", rel.Chart)
	}
	return nil
}

func firstOf(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}
