package sigstore

import (
	"context"
	"crypto/x509"
	"regexp"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/sign"
)

// wanted is whom a policy takes, for people.
func wanted(s v1alpha1.KeylessSigner) string {
	if s.Identity != "" {
		return s.Identity
	}
	return "/" + s.IdentityRegExp + "/"
}

// leaf is the certificate of a bundle, nil where a key without one signed.
func leaf(b *bundle.Bundle) *x509.Certificate {
	content, err := b.VerificationContent()
	if err != nil {
		return nil
	}
	return content.Certificate()
}

// presented is who a certificate is for, by its own word.
func presented(c *x509.Certificate) (sign.Identity, error) {
	summary, err := certificate.SummarizeCertificate(c)
	if err != nil {
		return sign.Identity{}, fault.New(fault.Refused, "", "its certificate names nobody: %w", err)
	}
	return sign.Identity{Name: summary.SubjectAlternativeName, Issuer: summary.Issuer}, nil
}

// certified makes the check of an identity.
func (v Verifier) certified(s v1alpha1.KeylessSigner) (check, error) {
	const op = "read the identity of a signer"
	if s.Issuer == "" || (s.Identity == "") == (s.IdentityRegExp == "") {
		return nil, fault.New(fault.Usage, op, "it needs an issuer, and either an identity or an expression for it")
	}
	// The expression must fit the whole subject: what fits anywhere in it fits the subject of a repository that an attacker names so.
	expression := ""
	if s.IdentityRegExp != "" {
		expression = "^(?:" + s.IdentityRegExp + ")$"
		if _, err := regexp.Compile(s.IdentityRegExp); err != nil {
			return nil, fault.Wrap(fault.Usage, op, err)
		}
	}
	policy, err := verify.NewShortCertificateIdentity(s.Issuer, "", s.Identity, expression)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	if s.TrustedRoot != nil {
		if _, err := parseTrust(s.TrustedRoot); err != nil {
			return nil, err
		}
	}
	demanded := sign.Identity{Name: wanted(s), Issuer: s.Issuer}
	return func(ctx context.Context, b *bundle.Bundle, artifact verify.ArtifactPolicyOption) (sign.Identity, error) {
		c := leaf(b)
		if c == nil {
			return sign.Identity{}, fault.New(fault.Refused, "", "it presents a key without a certificate, and a certificate of %s is demanded", demanded)
		}
		who, err := presented(c)
		if err != nil {
			return sign.Identity{}, err
		}
		// Whoever does not even claim to be the right one needs no trusted root to be refused, which may have to be fetched.
		summary, err := certificate.SummarizeCertificate(c)
		if err != nil || policy.Verify(summary) != nil {
			return sign.Identity{}, fault.New(fault.Refused, "", "it presents a certificate of %s, and one of %s is demanded", who, demanded)
		}
		public := v.PublicGood
		if public == nil {
			public = &PublicGood{}
		}
		t, err := public.trust(ctx, s.TrustedRoot)
		if err != nil {
			return sign.Identity{}, err
		}
		return who, t.holds(b, c, artifact, policy)
	}, nil
}

// holds asks the library, and says in other words why it refuses: what was presented, and what the trusted root demands.
func (t trust) holds(b *bundle.Bundle, c *x509.Certificate, artifact verify.ArtifactPolicyOption, policy verify.CertificateIdentity) error {
	checker, err := verify.NewVerifier(t.material, t.demands()...)
	if err != nil {
		return fault.Wrap(fault.Usage, "", err)
	}
	if _, err = checker.Verify(b, verify.NewPolicy(artifact, verify.WithCertificateIdentity(policy))); err == nil {
		return nil
	}
	if _, ca := verify.VerifyLeafCertificate(c.NotBefore, c, t.material); ca != nil {
		return fault.New(fault.Refused, "", "it presents a certificate that was issued by %s, and %s takes those of %s", c.Issuer, t.name, t.authorities())
	}
	if missing := t.missing(b); missing != "" {
		return fault.New(fault.Refused, "", "it presents %s, and %s demands it", missing, t.name)
	}
	return fault.New(fault.Refused, "", "it does not hold by %s: %w (the certificate was valid from %s to %s)", t.name, err, instant(c.NotBefore), instant(c.NotAfter))
}

// missing is the kind of witness that a bundle lacks altogether.
func (t trust) missing(b *bundle.Bundle) string {
	material := b.GetVerificationMaterial()
	entries, stamps := len(material.GetTlogEntries()), len(material.GetTimestampVerificationData().GetRfc3161Timestamps())
	switch {
	case entries == 0 && len(t.material.RekorLogs()) > 0:
		return "no entry of a transparency log"
	case entries == 0 && stamps == 0:
		return "no signed timestamp"
	case len(t.material.CTLogs()) > 0 && verify.VerifySignedCertificateTimestamp(t.chains(b), 1, t.material) != nil:
		return "a certificate without a timestamp (SCT) of a certificate transparency log that is known"
	default:
		return ""
	}
}

// chains from the bundle's certificate to the authorities.
func (t trust) chains(b *bundle.Bundle) [][]*x509.Certificate {
	c := leaf(b)
	chains, err := verify.VerifyLeafCertificate(c.NotBefore, c, t.material)
	if err != nil {
		return nil
	}
	return chains
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }
