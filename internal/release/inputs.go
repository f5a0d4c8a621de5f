package release

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

// What is built from the same inputs is built once: beside an image lies a record, under a tag that is made of the digest of all its
// inputs, which names the image by digest. Where the record of an image's inputs is found, the image is not built.
const (
	// RecordType is the artifact type of such a record. It has no content but its annotations, so that it is read in one request.
	RecordType         = "application/vnd.sluice.inputs.v1alpha1+json"
	imageAnnotation    = "dev.sluice.image"
	inputsAnnotation   = "dev.sluice.inputs"
	versionAnnotation  = "org.opencontainers.image.version"
	revisionAnnotation = "org.opencontainers.image.revision"
	createdAnnotation  = "org.opencontainers.image.created"
	testsAnnotation    = "dev.sluice.tests"
	recordTag          = "in-"
)

// Shelf is what a Maker needs of a registry to find images again.
type Shelf interface {
	registry.Describer
	registry.Inspector
	registry.Copier
}

// known is what is known of images before they are built.
type known struct {
	mu sync.Mutex
	// inputs by image, as canonical text; images whose inputs cannot be told have none.
	inputs map[string]string
	// found are the images that exist already.
	found map[string]found
}

// found is an image that exists, with what its tests said before it was recorded; nil where it has none.
type found struct {
	ref, version string
	tests        *v1alpha1.Tests
}

// key is the tag of the record for inputs.
func key(inputs string) string { return fmt.Sprintf("%s%x", recordTag, sha256.Sum256([]byte(inputs))) }

// lookUp asks builders for the inputs of their images, and the registry for images that were made from the same.
func (m *Maker) lookUp(ctx context.Context, req MakeRequest, rel v1alpha1.Release, p prepared) (*known, error) {
	k := &known{inputs: map[string]string{}, found: map[string]found{}}
	if m.Shelf == nil {
		return k, nil
	}
	err := m.each(ctx, keys(rel.Spec.Images), func(ctx context.Context, name string) error {
		image := rel.Spec.Images[name]
		kind, _ := builderOf(image)
		builder, ok := m.Builders[kind].(build.Fingerprinter)
		if !ok {
			return nil
		}
		inputs, err := builder.Inputs(ctx, build.Request{
			Dir: req.Dir, Service: rel.Service, Name: name, Image: image, Version: rel.Version, Commit: rel.Source.Commit,
			Log: func(line string) { req.Progress(name + ": " + line) },
		})
		if err != nil {
			return wrap("build image "+name, err)
		}
		if len(inputs) == 0 {
			return nil
		}
		text, err := json.Marshal(map[string]any{"builder": kind, "image": image, "inputs": inputs})
		if err != nil {
			return fault.Wrap(fault.Internal, "build image "+name, err)
		}
		there, err := m.find(ctx, req, name, p.images[name], string(text))
		k.mu.Lock()
		defer k.mu.Unlock()
		k.inputs[name] = string(text)
		if there != (found{}) {
			k.found[name] = there
		}
		return err
	})
	return k, err
}

// find looks for an image that was made from inputs. What is not all there is none.
func (m *Maker) find(ctx context.Context, req MakeRequest, name, repository, inputs string) (found, error) {
	record, err := m.Shelf.Describe(ctx, repository+":"+key(inputs))
	if fault.Is(err, fault.NotFound) {
		return found{}, nil
	}
	if err != nil {
		return found{}, err
	}
	ref := record.Annotations[imageAnnotation]
	if !strings.Contains(ref, "@") {
		ref = repository + "@" + ref
	}
	tests, ok := testsOf(record.Annotations[testsAnnotation])
	// The tag is only the way to the record; what counts is what it says.
	if record.Type != RecordType || record.Annotations[inputsAnnotation] != inputs || !isPinned(ref) || !ok {
		return found{}, nil
	}
	switch err := m.Shelf.Complete(ctx, ref); {
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.Fatal):
		req.Progress("image " + name + " was built before and is not all there any more, so it is built again: " + err.Error())
		return found{}, nil
	case err != nil:
		return found{}, err
	}
	vouched, err := m.Seal.Vouches(ctx, ref, req.Service, name)
	if err == nil && !vouched {
		req.Progress("image " + name + " lies in the registry, but no provenance by the signing key says that it was built here, so it is built again")
		return found{}, nil
	}
	return found{ref, record.Annotations[versionAnnotation], tests}, err
}

// testsOf reads what a record says of the image's tests; nil where it says nothing, and not ok where it cannot be read.
func testsOf(text string) (tests *v1alpha1.Tests, ok bool) {
	if text == "" {
		return nil, true
	}
	return tests, json.Unmarshal([]byte(text), &tests) == nil
}

// reuse says whether an image need not be built.
func (k *known) reuse(req MakeRequest, name string) bool {
	there, ok := k.found[name]
	if !ok || req.Rebuild {
		return false
	}
	req.Progress(fmt.Sprintf("image %s unchanged since %s: %s", name, there.version, digestOf(there.ref)))
	return true
}

// nameFound tags the images that were found with the release's version, and names them in the release.
func (m *Maker) nameFound(ctx context.Context, req MakeRequest, p prepared, k *known, rel *v1alpha1.Release) error {
	if req.Rebuild {
		return nil
	}
	var mu sync.Mutex
	return m.each(ctx, keys(k.found), func(ctx context.Context, name string) error {
		there := k.found[name]
		// What a script pushed elsewhere stays where it is, under the tags that it was given.
		if strings.HasPrefix(there.ref, p.images[name]+"@") {
			copied, err := m.Shelf.Copy(ctx, there.ref, p.images[name], Tag(rel.Version))
			if err != nil {
				return err
			}
			there.ref = copied.Ref
		}
		mu.Lock()
		defer mu.Unlock()
		rel.Images[name] = there.ref
		if rel.Unchanged == nil {
			rel.Unchanged = map[string]string{}
		}
		rel.Unchanged[name] = there.version
		return m.carryTests(req, rel, name, there)
	})
}

// carryTests gives the release what the tests of a found image said, and takes away the results of other runs: they are not this image's.
func (m *Maker) carryTests(req MakeRequest, rel *v1alpha1.Release, name string, there found) error {
	if there.tests == nil {
		return nil
	}
	keepTests(rel, name, there.tests)
	if err := emptyFolder(req.Dir, TestsDir(rel.Service, name)); err != nil {
		return fault.New(fault.Usage, "test image "+name, "empty the folder for the results: %w", err)
	}
	req.Progress(fmt.Sprintf("the tests of image %s passed when it was built for %s, and are not run again", name, there.version))
	return nil
}

// explain compares an image that was built again with the one that is known for the same inputs.
func (m *Maker) explain(ctx context.Context, req MakeRequest, name, repository string, built build.Image, k *known) error {
	there, ok := k.found[name]
	if !ok {
		return nil
	}
	if digestOf(there.ref) == built.Digest {
		req.Progress("image " + name + " was built again, with the digest that it has since " + there.version)
		return nil
	}
	// Under no tag: what is compared must lie in the registry, and must not be taken for released.
	ref, err := built.Reference, error(nil)
	if ref == "" {
		ref, err = m.Registry.PushLayout(ctx, built.Layout, repository, "")
	}
	if err != nil {
		return err
	}
	lines, err := m.Shelf.Compare(ctx, there.ref, ref)
	if err != nil {
		return err
	}
	req.Progress(fmt.Sprintf("image %s is not reproducible: from the same inputs %s was built for %s, and %s now; %s",
		name, digestOf(there.ref), there.version, built.Digest, strings.Join(lines, "; ")))
	return nil
}

// remember writes the record of an image that was built. Where somebody was faster with the same inputs theirs stays.
func (m *Maker) remember(ctx context.Context, name, repository, ref string, k *known, rel *v1alpha1.Release) error {
	inputs, ok := k.inputs[name]
	if _, there := k.found[name]; !ok || there {
		return nil
	}
	annotations := map[string]string{
		imageAnnotation: ref, inputsAnnotation: inputs, versionAnnotation: rel.Version, revisionAnnotation: rel.Source.Commit,
	}
	if digest, ours := strings.CutPrefix(ref, repository+"@"); ours {
		// So it stays true when the registry gets another name.
		annotations[imageAnnotation] = digest
	}
	if tests, ok := rel.Tests[name]; ok {
		text, err := json.Marshal(tests)
		if err != nil {
			return fault.Wrap(fault.Internal, "record the tests of image "+name, err)
		}
		annotations[testsAnnotation] = string(text)
	}
	_, err := m.Registry.Push(ctx, registry.Artifact{Type: RecordType, Annotations: annotations}, repository, key(inputs))
	if fault.Is(err, fault.Usage) {
		return nil
	}
	return err
}
