// Package seal puts beside images and releases what proves their origin and content, and checks it before a release is used; it must not know which registry, scanner or kind of key does the work.
package seal

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/provenance"
	"github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/sbom"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/sign"
)

// Registry is where things are attached and read.
type Registry interface {
	registry.Attacher
	Pull(ctx context.Context, reference string) (registry.Artifact, string, error)
}

// Sealer seals what a build makes. Nil is one that does nothing. It is not safe for concurrent use.
type Sealer struct {
	Registry Registry
	Bills    sbom.Maker
	Verifier sign.Verifier
	// Signer signs. Nil: statements are attached unsigned.
	Signer sign.Signer
	// Scanner looks into images by the rules of Scan. Nil: nobody does.
	Scanner scan.Scanner
	Scan    v1alpha1.Scan
	// Run is who builds, Version that of the running sluice.
	Run     provenance.Environment
	Version string
	Now     func() time.Time
	// Note takes one line for people per thing done. Default: nowhere.
	Note func(line string)

	report Report
}

// Making is a release in the making.
type Making struct {
	Release *v1alpha1.Release
	// Layouts are folders in OCI image layout by the image's name; an image without one is only in the registry.
	Layouts map[string]string
	// Work is a folder for what is needed in between.
	Work string
	// Repository is where the sources come from, as source control has it; "" where it does not say.
	Repository string
}

// Kinds of what is attached.
const (
	KindSBOM       = "sbom"
	KindProvenance = "provenance"
	KindSignature  = "signature"
)

// Attachment is something that was put beside an image, a chart or a release.
type Attachment struct {
	// Subject is what it is about, Ref where it is; both references by digest.
	Subject string `json:"subject"`
	Kind    string `json:"kind"`
	Ref     string `json:"ref"`
	// Signed says whether a signature covers it.
	Signed bool `json:"signed"`
	// Kept says that it was there already.
	Kept bool `json:"kept,omitempty"`
}

// Report is what was done.
type Report struct {
	Attachments []Attachment `json:"attachments,omitempty"`
	// Signer is the fingerprint of the key, "" where nothing was signed.
	Signer string `json:"signer,omitempty"`
	// Scans by the image's name.
	Scans map[string]Scanned `json:"scans,omitempty"`
}

// Report is what has been done so far.
func (s *Sealer) Report() Report {
	if s == nil {
		return Report{}
	}
	return s.report
}

// Images scans the images that the release names, and seals them and the chart. It comes after they were pushed and before the release
// is, whose summary of the scans it fills in. It fails with fault.Refused where a scan found what must not be, or could not be made.
func (s *Sealer) Images(ctx context.Context, m Making) error {
	if s == nil {
		return nil
	}
	if err := s.scanImages(ctx, m); err != nil {
		return err
	}
	if err := s.introduce(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Release.Images)) {
		if err := s.image(ctx, m, name); err != nil {
			return err
		}
	}
	return s.seal(ctx, m.Release.Chart, s.predicate(m, provenance.Parameters{Chart: m.Release.Spec.Chart}))
}

// Release seals the release itself, which binds everything that it names by digest. It comes last.
func (s *Sealer) Release(ctx context.Context, m Making, ref string) error {
	if s == nil {
		return nil
	}
	p := s.predicate(m, provenance.Parameters{})
	for _, name := range slices.Sorted(maps.Keys(m.Release.Images)) {
		p.Definition.Dependencies = append(p.Definition.Dependencies, pinned("image "+name, m.Release.Images[name]))
	}
	p.Definition.Dependencies = append(p.Definition.Dependencies, pinned("chart", m.Release.Chart))
	return s.seal(ctx, ref, p)
}

// introduce says who signs, or that nobody does.
func (s *Sealer) introduce() error {
	if s.Signer == nil {
		return nil
	}
	print, err := s.Verifier.Fingerprint(s.Signer.Public())
	s.report.Signer = print
	return err
}

func (s *Sealer) note(line string) {
	if s.Note != nil {
		s.Note(line)
	}
}
