// Package seal puts beside images and releases what proves their origin and content, and checks it before a release is used; it must not know which registry, scanner or kind of key does the work.
package seal

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
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
	// Note takes one line for people per thing done; never called concurrently. Default: nowhere.
	Note func(line string)

	mu     sync.Mutex
	report Report
}

// atOnce is how many images are sealed at once: that is mostly waiting for the registry.
const atOnce = 8

// Making is a release in the making.
type Making struct {
	Release *v1alpha1.Release
	// Layouts of the images that were built, by name: folders in OCI image layout, "" where the builder pushed the image itself. Images
	// that are not among them were found in the registry.
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

// Report is what has been done so far, in the order of subjects.
func (s *Sealer) Report() Report {
	if s == nil {
		return Report{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	report := s.report
	report.Attachments = slices.Clone(report.Attachments)
	slices.SortStableFunc(report.Attachments, func(a, b Attachment) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Kind, b.Kind))
	})
	return report
}

// Vouches says whether an image that lies in the registry may be taken for one that was built here. Where builds are signed, it may by
// provenance that the run's own key signed: else whoever may push could have anything signed by leaving it where builds look.
func (s *Sealer) Vouches(ctx context.Context, ref, service, image string) (bool, error) {
	if s == nil || s.Signer == nil {
		return true, nil
	}
	there, err := s.found(ctx, ref, provenance.Parameters{Service: service, Image: image})
	return there.provenance != nil, err
}

// Images scans the images that the release names, and seals them and the chart. It comes after they were pushed and before the release
// is, whose summary of the scans it fills in. It fails with fault.Refused where a scan found what must not be, or could not be made.
func (s *Sealer) Images(ctx context.Context, m Making) error {
	if s == nil {
		return nil
	}
	if err := s.ScanImages(ctx, m); err != nil {
		return err
	}
	if err := s.introduce(); err != nil {
		return err
	}
	if err := s.images(ctx, m); err != nil {
		return err
	}
	return s.seal(ctx, m.Release.Chart, s.predicate(m, provenance.Parameters{Chart: m.Release.Spec.Chart}))
}

// images seals every image, a limited number at once; the first failure in the order of names is the one that is told.
func (s *Sealer) images(ctx context.Context, m Making) error {
	names := slices.Sorted(maps.Keys(m.Release.Images))
	errs := make([]error, len(names))
	places := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			errs[i] = s.image(ctx, m, name)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Note != nil {
		s.Note(line)
	}
}
