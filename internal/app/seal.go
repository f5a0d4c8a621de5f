package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/provenance"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/release"
	"github.com/sluice-dev/sluice/internal/sbom/cyclonedx"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/scan/grype"
	"github.com/sluice-dev/sluice/internal/scan/sarif"
	"github.com/sluice-dev/sluice/internal/scan/trivy"
	"github.com/sluice-dev/sluice/internal/seal"
	"github.com/sluice-dev/sluice/internal/sign"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
)

// maxKey bounds a key in bytes.
const maxKey = 1 << 16

// Verify checks what a release must prove before it may come to an environment; project is the file's where the command runs, nil
// where there is none. It asks the registry only where a policy requires anything.
func (a *App) Verify(ctx context.Context, project *v1alpha1.Project, release *v1alpha1.Release, ref v1alpha1.ReleaseRef, environment string) ([]seal.Proof, error) {
	return a.checker().Verify(ctx, release, ref, seal.Policies(project, release, environment)...)
}

func (a *App) checker() *seal.Checker {
	return &seal.Checker{Registry: a.registry(), Verifier: sigstore.Verifier{PublicGood: &a.public}}
}

// signers fills in who the signatures of parts say that they are by.
func (a *App) signers(ctx context.Context, parts []release.Part) (err error) {
	for i := range parts {
		if parts[i].Referrers[sign.BundleType] == 0 {
			continue
		}
		if parts[i].Signers, err = a.checker().Claims(ctx, parts[i].Ref); err != nil {
			return err
		}
	}
	return nil
}

// sealer is made before anything is built: a key that is not there is better known before minutes are spent. Where nothing is released,
// no key is needed.
func (a *App) sealer(ctx context.Context, req BuildRequest, registry *oci.Registry, releases bool) (*seal.Sealer, error) {
	file := req.File
	s := &seal.Sealer{
		Registry: registry, Bills: cyclonedx.New(cyclonedx.Options{Fetch: registry.Descriptor}), Verifier: sigstore.Verifier{PublicGood: &a.public},
		Run: provenance.FromCI(a.o.LookupEnv), Version: a.o.Version, Now: a.o.Now, Note: req.Log,
	}
	if signing := file.Project.Signing; signing != nil && releases {
		var err error
		if s.Signer, err = a.signs.signer(func() (sign.Signer, error) { return a.signer(ctx, *signing, file.Dir) }); err != nil {
			return nil, err
		}
	}
	if rules := file.Project.Scan; rules != nil {
		s.Scan, s.Scanner = *rules, scanner(*rules, file.Dir)
	}
	return s, nil
}

// onceSigner is who signs what a run makes: several releases are signed by one identity, whose certificate was asked for once.
type onceSigner struct {
	once sync.Once
	by   sign.Signer
	err  error
}

func (s *onceSigner) signer(prepare func() (sign.Signer, error)) (sign.Signer, error) {
	s.once.Do(func() { s.by, s.err = prepare() })
	return s.by, s.err
}

func (a *App) signer(ctx context.Context, signing v1alpha1.Signing, dir string) (sign.Signer, error) {
	switch {
	case signing.Keyless != nil:
		tokens := sigstore.Tokens{
			LookupEnv: a.o.LookupEnv, Env: signing.Keyless.TokenEnv, Audience: signing.Keyless.Audience, Pipeline: a.pipeline, Learn: a.o.Secrets.Add, Now: a.o.Now,
		}
		return sigstore.NewKeyless(ctx, sigstore.KeylessOptions{Signing: *signing.Keyless, Tokens: tokens, PublicGood: &a.public, Now: a.o.Now})
	case signing.Key == nil:
		return sigstore.NewKMS(ctx, signing.KMS, sigstore.AzureOptions{Credential: a.azure})
	}
	key, err := a.signingKey(*signing.Key, dir)
	if err != nil {
		return nil, err
	}
	a.o.Secrets.Add(string(key))
	return sigstore.NewSigner(key, func() (string, error) {
		name := signing.Key.PasswordEnv
		password, ok := a.o.LookupEnv(name)
		if !ok {
			return "", fault.New(fault.Usage, "", "it is encrypted, and the environment variable %s with its password is not set", name).
				WithHint("set it where sluice runs; in a pipeline from its secret store")
		}
		a.o.Secrets.Keep("the password of the signing key", password, a.o.Log)
		return password, nil
	})
}

func (a *App) signingKey(key v1alpha1.SigningKey, dir string) ([]byte, error) {
	const op = "read the signing key"
	if key.Env != "" {
		text, ok := a.o.LookupEnv(key.Env)
		if !ok || strings.TrimSpace(text) == "" {
			return nil, fault.New(fault.Usage, op, "the environment variable %s of signing.key.env is not set, or empty", key.Env).
				WithHint("set it where sluice runs; in a pipeline from its secret store")
		}
		return []byte(text), nil
	}
	path := key.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fault.New(fault.Usage, op, "signing.key.file: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxKey:
		return nil, fault.New(fault.Usage, op, "signing.key.file: %s is no key", path)
	}
	data, err := os.ReadFile(path)
	return data, fault.Wrap(fault.Usage, op, err)
}

// scanner is the one that the rules name.
func scanner(rules v1alpha1.Scan, dir string) scan.Scanner {
	switch {
	case rules.Grype != nil:
		return grype.New(grype.Options{Path: rules.Grype.Path})
	case rules.Trivy != nil:
		return trivy.New(trivy.Options{Path: rules.Trivy.Path})
	default:
		return sarif.New(sarif.Options{Command: rules.SARIF.Command, File: rules.SARIF.File, Dir: dir})
	}
}
