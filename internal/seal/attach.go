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
	ref, spec, layout := m.Release.Images[name], m.Release.Spec.Images[name], m.Layouts[name]
	predicate := s.predicate(m, provenance.Parameters{Image: name})
	var err error
	if predicate.Definition.Parameters.Spec, err = json.Marshal(spec); err != nil {
		return fault.Wrap(fault.Internal, "describe image "+name, err)
	}
	if spec.Base != "" {
		predicate.Definition.Dependencies = append(predicate.Definition.Dependencies, pinned("base image", spec.Base))
	}
	if layout == "" {
		// It was found in the registry instead of built. It keeps what the build that made it said of it, as that is the truth, and
		// need not be fetched to be described again.
		there, err := s.beside(ctx, ref, func(have provenance.Predicate) bool { return alike(have, predicate) })
		if err != nil {
			return fault.Wrap(fault.KindOf(err), "seal "+ref, err)
		}
		if there.provenance != nil {
			return s.complete(ctx, ref, predicate, there)
		}
	}
	if predicate.Run.Byproducts, err = s.describe(ctx, name, sbom.Request{Layout: layout, Reference: ref, Base: spec.Base, Time: m.Release.Source.Time}); err != nil {
		return err
	}
	return s.seal(ctx, ref, predicate)
}

// describe attaches the bills of materials of an image, and names them for its provenance.
func (s *Sealer) describe(ctx context.Context, name string, req sbom.Request) ([]provenance.Descriptor, error) {
	op := "describe image " + name
	documents, err := s.Bills.Make(ctx, req)
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), op, err)
	}
	repository, _, _ := strings.Cut(req.Reference, "@")
	var named []provenance.Descriptor
	for _, d := range documents {
		// A bill is about the image of one platform, so it lies beside that and not beside the index.
		subject := repository + "@" + d.Digest
		before, err := s.Registry.Referrers(ctx, subject, d.MediaType)
		if err != nil {
			return nil, fault.Wrap(fault.KindOf(err), op, err)
		}
		ref, err := s.Registry.Attach(ctx, registry.Artifact{
			Type: d.MediaType, Layers: []registry.Blob{{MediaType: d.MediaType, Title: "sbom.cdx.json", Data: d.Data}},
		}, subject)
		if err != nil {
			return nil, fault.Wrap(fault.KindOf(err), op, err)
		}
		// The signed statement names the document by its hash: a signature of its own would say no more.
		named = append(named, provenance.Descriptor{Name: strings.TrimSpace("sbom " + d.Platform), MediaType: d.MediaType, Digest: sha256Of(d.Data)})
		kept := slices.ContainsFunc(before, func(r registry.Referrer) bool { return r.Ref == ref })
		s.attached(Attachment{Subject: subject, Kind: KindSBOM, Ref: ref, Signed: s.Signer != nil, Kept: kept})
	}
	return named, nil
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

// seal attaches provenance and signature to a subject, unless they are there: a build that is repeated adds nothing.
func (s *Sealer) seal(ctx context.Context, subject string, predicate provenance.Predicate) error {
	there, err := s.beside(ctx, subject, func(have provenance.Predicate) bool { return equal(have, predicate) })
	if err != nil {
		return fault.Wrap(fault.KindOf(err), "seal "+subject, err)
	}
	return s.complete(ctx, subject, predicate, there)
}

// sealed is what lies beside a subject already.
type sealed struct{ provenance, signature *Attachment }

// beside finds what this run would attach and need not: a signature by its own key, and provenance that is the same.
func (s *Sealer) beside(ctx context.Context, subject string, same func(provenance.Predicate) bool) (sealed, error) {
	var found sealed
	there, err := read(ctx, s.Registry, subject)
	if err != nil {
		return found, err
	}
	consider := func(b blob, st provenance.Statement, signed bool) {
		if st.PredicateType == provenance.SignatureType && signed {
			found.signature = &Attachment{Subject: subject, Kind: KindSignature, Ref: b.ref, Signed: true, Kept: true}
		}
		if have, err := st.Provenance(); err == nil && same(have) {
			found.provenance = &Attachment{Subject: subject, Kind: KindProvenance, Ref: b.ref, Signed: signed, Kept: true}
		}
	}
	if s.Signer == nil {
		for _, b := range there.statements {
			if st, err := provenance.Parse(b.data); err == nil && st.About(digestOf(subject)) {
				consider(b, st, false)
			}
		}
		return found, nil
	}
	for _, b := range there.bundles {
		v, err := s.Verifier.Verify(ctx, b.data, digestOf(subject), []v1alpha1.Signer{s.Signer.Public()})
		if err != nil {
			// Signed by others, or nonsense: neither stands for what this run signs.
			continue
		}
		if st, err := provenance.Parse(v.Statement); err == nil {
			consider(b, st, true)
		}
	}
	return found, nil
}

// complete attaches what is not there yet.
func (s *Sealer) complete(ctx context.Context, subject string, predicate provenance.Predicate, there sealed) error {
	op := "seal " + subject
	if there.provenance != nil {
		s.attached(*there.provenance)
	} else if err := s.state(ctx, subject, KindProvenance, provenance.PredicateType, predicate); err != nil {
		return fault.Wrap(fault.KindOf(err), op, err)
	}
	switch {
	case s.Signer == nil:
		return nil
	case there.signature != nil:
		s.attached(*there.signature)
		return nil
	}
	err := s.state(ctx, subject, KindSignature, provenance.SignatureType, struct{}{})
	return fault.Wrap(fault.KindOf(err), op, err)
}

// state attaches a statement: in a signed bundle where there is a signer, else as it is.
func (s *Sealer) state(ctx context.Context, subject, kind, predicateType string, predicate any) error {
	statement, err := provenance.New(subject, predicateType, predicate)
	if err != nil {
		return err
	}
	artifact := registry.Artifact{
		Type:        provenance.MediaType,
		Layers:      []registry.Blob{{MediaType: provenance.MediaType, Title: "provenance.intoto.json", Data: statement}},
		Annotations: map[string]string{"in-toto.io/predicate-type": predicateType},
	}
	if s.Signer != nil {
		bundle, err := s.Signer.Sign(ctx, statement)
		if err != nil {
			return err
		}
		artifact = registry.Artifact{
			Type:        sign.BundleType,
			Layers:      []registry.Blob{{MediaType: sign.BundleType, Data: bundle}},
			Annotations: map[string]string{contentAnnotation: dsse, predicateAnnotation: predicateType},
		}
	}
	ref, err := s.Registry.Attach(ctx, artifact, subject)
	if err != nil {
		return err
	}
	s.attached(Attachment{Subject: subject, Kind: kind, Ref: ref, Signed: s.Signer != nil})
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
