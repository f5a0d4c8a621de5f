package seal_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/provenance"
	"github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/sbom"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/seal"
	"github.com/sluice-dev/sluice/internal/sign"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
)

const (
	prefix = "memory.test:5000/shop"
	commit = "0123456789abcdef0123456789abcdef01234567"
	origin = "https://github.com/acme/shop"
)

// bills is a fake that describes an image by its reference.
type bills struct{}

func (bills) Make(_ context.Context, req sbom.Request) ([]sbom.Document, error) {
	_, digest, _ := strings.Cut(req.Reference, "@")
	return []sbom.Document{{Digest: digest, Platform: "linux/amd64", MediaType: "application/vnd.cyclonedx+json", Data: []byte(`{"of":"` + digest + `"}`), Components: 1}}, nil
}

// scanner is a fake that finds what it is told to.
type scanner struct {
	result scan.Result
	err    error
	seen   []scan.Target
}

func (s *scanner) Scan(_ context.Context, target scan.Target) (scan.Result, error) {
	s.seen = append(s.seen, target)
	return s.result, s.err
}

func (s *scanner) Dated() bool { return true }

// world is a registry with a release in the making.
type world struct {
	t        *testing.T
	registry *registrytest.Memory
	release  *v1alpha1.Release
	ref      v1alpha1.ReleaseRef
	layouts  map[string]string
	now      time.Time
	signer   sign.Signer
	run      provenance.Environment
	scanner  scan.Scanner
	rules    v1alpha1.Scan
	notes    []string
}

func newKey(t testing.TB) sign.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sigstore.NewSigner(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), func() (string, error) { return "", errors.New("nobody should ask") })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, registry: &registrytest.Memory{}, now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), layouts: map[string]string{},
		run: provenance.Environment{Builder: "https://ci.example/shop", Invocation: "https://ci.example/shop/1", Repository: origin},
	}
	w.release = w.make("cart", "1.0.0", "web")
	w.ref = w.push(w.release)
	return w
}

// make pushes images and a chart and returns a release that names them.
func (w *world) make(service, version string, images ...string) *v1alpha1.Release {
	w.t.Helper()
	rel := &v1alpha1.Release{
		Service: service, Version: version, Images: map[string]string{}, Source: v1alpha1.Source{Commit: commit, Time: w.now.Add(-time.Hour)},
		Spec: v1alpha1.Service{Chart: "chart", Images: map[string]v1alpha1.Image{}},
	}
	for _, name := range images {
		dir, _ := registrytest.WriteLayout(w.t, service+name+version)
		ref, err := w.registry.PushLayout(w.t.Context(), dir, prefix+"/"+service+"/"+name, version)
		if err != nil {
			w.t.Fatal(err)
		}
		rel.Images[name], rel.Spec.Images[name], w.layouts[name] = ref, v1alpha1.Image{Ko: "./" + name}, dir
	}
	rel.Chart = w.put(prefix+"/"+service+"/charts/"+service, version, "chart "+service+version)
	return rel
}

func (w *world) put(repository, tag, text string) string {
	w.t.Helper()
	ref, err := w.registry.Push(w.t.Context(), registry.Artifact{Type: "application/vnd.example", Config: registry.Blob{MediaType: "application/vnd.example", Data: []byte(text)}}, repository, tag)
	if err != nil {
		w.t.Fatal(err)
	}
	return ref
}

func (w *world) push(rel *v1alpha1.Release) v1alpha1.ReleaseRef {
	w.t.Helper()
	ref := w.put(prefix+"/"+rel.Service, rel.Version, "release "+rel.Service+rel.Version)
	return v1alpha1.ReleaseRef{Ref: ref, Digest: digestOf(ref), Version: rel.Version}
}

func digestOf(ref string) string {
	_, digest, _ := strings.Cut(ref, "@")
	return digest
}

func (w *world) sealer() *seal.Sealer {
	return &seal.Sealer{
		Registry: w.registry, Bills: bills{}, Verifier: sigstore.Verifier{}, Signer: w.signer, Scanner: w.scanner, Scan: w.rules, Run: w.run, Version: "v1",
		Now: func() time.Time { return w.now }, Note: func(line string) { w.notes = append(w.notes, line) },
	}
}

// seal seals a release and everything in it.
func (w *world) seal(rel *v1alpha1.Release, ref v1alpha1.ReleaseRef) seal.Report {
	w.t.Helper()
	s := w.sealer()
	making := seal.Making{Release: rel, Layouts: w.layouts, Work: filepath.Join(w.t.TempDir(), "work")}
	if err := s.Images(w.t.Context(), making); err != nil {
		w.t.Fatal(err)
	}
	if err := s.Release(w.t.Context(), making, ref.Ref); err != nil {
		w.t.Fatal(err)
	}
	return s.Report()
}

func (w *world) verify(policies ...seal.Policy) ([]seal.Proof, error) {
	return (&seal.Checker{Registry: w.registry, Verifier: sigstore.Verifier{}}).Verify(w.t.Context(), w.release, w.ref, policies...)
}

func policy(signers ...sign.Signer) seal.Policy {
	p := seal.Policy{From: "sluice.yaml"}
	for _, s := range signers {
		p.Verification.Signers = append(p.Verification.Signers, s.Public())
	}
	return p
}

func (w *world) attach(subject string, bundle []byte) {
	w.t.Helper()
	if _, err := w.registry.Attach(w.t.Context(), registry.Artifact{Type: sign.BundleType, Layers: []registry.Blob{{MediaType: sign.BundleType, Data: bundle}}}, subject); err != nil {
		w.t.Fatal(err)
	}
}

// beside counts what lies beside everything that the release names.
func (w *world) beside() int {
	w.t.Helper()
	count := 0
	for _, subject := range []string{w.ref.Ref, w.release.Chart, w.release.Images["web"]} {
		list, err := w.registry.Referrers(w.t.Context(), subject, "")
		if err != nil {
			w.t.Fatal(err)
		}
		count += len(list)
	}
	return count
}

// bundles that lie beside a subject.
func (w *world) bundles(subject string) [][]byte {
	w.t.Helper()
	list, err := w.registry.Referrers(w.t.Context(), subject, sign.BundleType)
	if err != nil {
		w.t.Fatal(err)
	}
	var all [][]byte
	for _, r := range list {
		artifact, _, err := w.registry.Pull(w.t.Context(), r.Ref)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, artifact.Layers[0].Data)
	}
	return all
}
