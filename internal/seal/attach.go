package seal

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/provenance"
	"github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/sbom"
	"github.com/sluice-dev/sluice/internal/sign"
)

// Annotations of a bundle, as cosign writes them.
const (
	contentAnnotation   = "dev.sigstore.bundle.content"
	predicateAnnotation = "dev.sigstore.bundle.predicateType"
	dsse                = "dsse-envelope"
)

// image attaches the bills of materials of an image, and seals it.
func (s *Sealer) image(ctx context.Context, m Making, name string) error {
	ref := m.Release.Images[name]
	spec := m.Release.Spec.Images[name]
	repository, _, _ := strings.Cut(ref, "@")
	documents, err := s.Bills.Make(ctx, sbom.Request{Layout: m.Layouts[name], Reference: ref, Base: spec.Base, Time: m.Release.Source.Time})
	if err != nil {
		return fault.Wrap(fault.KindOf(err), "describe image "+name, err)
	}
	predicate := s.predicate(m, provenance.Parameters{Image: name})
	if predicate.Definition.Parameters.Spec, err = json.Marshal(spec); err != nil {
		return fault.Wrap(fault.Internal, "describe image "+name, err)
	}
	if spec.Base != "" {
		predicate.Definition.Dependencies = append(predicate.Definition.Dependencies, pinned("base image", spec.Base))
	}
	for _, d := range documents {
		// A bill is about the image of one platform, so it lies beside that and not beside the index.
		subject := repository + "@" + d.Digest
		pushed, err := s.Registry.Attach(ctx, registry.Artifact{
			Type: d.MediaType, Layers: []registry.Blob{{MediaType: d.MediaType, Title: "sbom.cdx.json", Data: d.Data}},
		}, subject)
		if err != nil {
			return fault.Wrap(fault.KindOf(err), "attach the bill of materials of image "+name, err)
		}
		// The signed statement names the document by its hash: a signature of its own would say no more.
		predicate.Run.Byproducts = append(predicate.Run.Byproducts, provenance.Descriptor{
			Name: strings.TrimSpace("sbom " + d.Platform), MediaType: d.MediaType, Digest: sha256Of(d.Data),
		})
		s.attached(Attachment{Subject: subject, Kind: KindSBOM, Ref: pushed, Signed: s.Signer != nil})
	}
	return s.seal(ctx, ref, predicate, m.Layouts[name] == "")
}

// predicate is what is the same for everything that is made in a run.
func (s *Sealer) predicate(m Making, what provenance.Parameters) provenance.Predicate {
	rel := m.Release
	what.Service, what.Version = rel.Service, rel.Version
	source := provenance.Source{
		Repository: cmp.Or(s.Run.Repository, provenance.Repository(m.Repository)), Commit: rel.Source.Commit, Dirty: rel.Source.Dirty,
	}
	p := provenance.Predicate{
		Definition: provenance.Definition{BuildType: provenance.BuildType, Parameters: what},
		Run: provenance.Run{
			Builder:  provenance.Builder{ID: s.Run.Builder},
			Metadata: provenance.Metadata{InvocationID: s.Run.Invocation, FinishedOn: s.Now().UTC().Truncate(1e9)},
		},
	}
	if s.Version != "" {
		p.Run.Builder.Version = map[string]string{"sluice": s.Version}
	}
	if source.Commit != "" || source.Repository != "" {
		p.Definition.Dependencies = append(p.Definition.Dependencies, source.Descriptor())
	}
	return p
}

// pinned is a reference as a dependency; one by tag has no digest, and says so by that.
func pinned(name, ref string) provenance.Descriptor {
	d := provenance.Descriptor{Name: name, URI: "oci://" + ref}
	if _, digest, ok := strings.Cut(ref, "@sha256:"); ok {
		d.Digest = map[string]string{"sha256": digest}
	}
	return d
}

// seal attaches provenance and signature to a subject, unless they are there: a build that is repeated adds nothing. What was found in
// the registry instead of built keeps the provenance of the build that made it, as that is the truth.
func (s *Sealer) seal(ctx context.Context, subject string, predicate provenance.Predicate, found bool) error {
	op := "seal " + subject
	there, err := read(ctx, s.Registry, subject)
	if err != nil {
		return fault.Wrap(fault.KindOf(err), op, err)
	}
	if err := s.provenance(ctx, subject, predicate, there, found); err != nil {
		return fault.Wrap(fault.KindOf(err), op, err)
	}
	if s.Signer == nil {
		return nil
	}
	for _, b := range there.bundles {
		if st, err := s.mine(ctx, b, subject); err == nil && st.PredicateType == provenance.SignatureType {
			s.attached(Attachment{Subject: subject, Kind: KindSignature, Ref: b.ref, Signed: true, Kept: true})
			return nil
		}
	}
	statement, err := provenance.New(subject, provenance.SignatureType, struct{}{})
	if err != nil {
		return err
	}
	return s.sign(ctx, subject, KindSignature, provenance.SignatureType, statement)
}

func (s *Sealer) provenance(ctx context.Context, subject string, predicate provenance.Predicate, there beside, found bool) error {
	same := func(st provenance.Statement) bool {
		have, err := st.Provenance()
		return err == nil && (equal(have, predicate) || found && alike(have, predicate))
	}
	if s.Signer == nil {
		for _, b := range there.statements {
			if st, err := provenance.Parse(b.data); err == nil && st.About(digestOf(subject)) && same(st) {
				s.attached(Attachment{Subject: subject, Kind: KindProvenance, Ref: b.ref, Kept: true})
				return nil
			}
		}
	}
	for _, b := range there.bundles {
		if st, err := s.mine(ctx, b, subject); err == nil && same(st) {
			s.attached(Attachment{Subject: subject, Kind: KindProvenance, Ref: b.ref, Signed: true, Kept: true})
			return nil
		}
	}
	statement, err := provenance.New(subject, provenance.PredicateType, predicate)
	if err != nil {
		return err
	}
	if s.Signer != nil {
		return s.sign(ctx, subject, KindProvenance, provenance.PredicateType, statement)
	}
	ref, err := s.Registry.Attach(ctx, registry.Artifact{
		Type:        provenance.MediaType,
		Layers:      []registry.Blob{{MediaType: provenance.MediaType, Title: "provenance.intoto.json", Data: statement}},
		Annotations: map[string]string{"in-toto.io/predicate-type": provenance.PredicateType},
	}, subject)
	if err != nil {
		return err
	}
	s.attached(Attachment{Subject: subject, Kind: KindProvenance, Ref: ref})
	return nil
}

// equal compares what was built of what by whom; when and in which run does not make it another build.
func equal(a, b provenance.Predicate) bool {
	a.Run.Metadata, b.Run.Metadata = provenance.Metadata{}, provenance.Metadata{}
	return reflect.DeepEqual(canonical(a), canonical(b))
}

// alike says that both are builds of the same thing by the same builder, of whatever commit.
func alike(a, b provenance.Predicate) bool {
	x, y := a.Definition.Parameters, b.Definition.Parameters
	return a.Run.Builder.ID == b.Run.Builder.ID && a.Definition.BuildType == b.Definition.BuildType && x.Service == y.Service && x.Image == y.Image
}

// canonical is a predicate as JSON reads it, so that nil and empty are the same.
func canonical(p provenance.Predicate) any {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	return v
}

// mine is what a bundle states, where the run's own key signed it.
func (s *Sealer) mine(ctx context.Context, b blob, subject string) (provenance.Statement, error) {
	if s.Signer == nil {
		return provenance.Statement{}, fault.New(fault.Refused, "", "nobody signs")
	}
	v, err := s.Verifier.Verify(ctx, b.data, digestOf(subject), []v1alpha1.Signer{s.Signer.Public()})
	if err != nil {
		return provenance.Statement{}, err
	}
	return provenance.Parse(v.Statement)
}

func (s *Sealer) sign(ctx context.Context, subject, kind, predicateType string, statement []byte) error {
	bundle, err := s.Signer.Sign(ctx, statement)
	if err != nil {
		return err
	}
	ref, err := s.Registry.Attach(ctx, registry.Artifact{
		Type:        sign.BundleType,
		Layers:      []registry.Blob{{MediaType: sign.BundleType, Data: bundle}},
		Annotations: map[string]string{contentAnnotation: dsse, predicateAnnotation: predicateType},
	}, subject)
	if err != nil {
		return err
	}
	s.attached(Attachment{Subject: subject, Kind: kind, Ref: ref, Signed: true})
	return nil
}

func (s *Sealer) attached(a Attachment) {
	// An image that two names share is sealed once.
	if slices.ContainsFunc(s.report.Attachments, func(b Attachment) bool { return b.Ref == a.Ref }) {
		return
	}
	s.report.Attachments = append(s.report.Attachments, a)
	if !a.Kept {
		s.note(fmt.Sprintf("attached %s to %s", a.Kind, a.Subject))
	}
}
