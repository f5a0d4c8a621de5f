// Package fakesigstore is a fake sigstore instance for tests, in process and over the real wire protocols; it must not be used for anything else.
//
// What it issues is real: an OpenID Connect issuer signs tokens, Fulcio verifies them and issues certificates with the timestamp of a
// certificate transparency log, Rekor verifies what it is given and proves its inclusion, and a timestamp authority signs the time. It
// is a fake because its keys live in memory, its logs forget, and nobody watches them.
package fakesigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
)

// Service is a part of an instance.
type Service string

// The parts.
const (
	Issuer    Service = "issuer"
	Fulcio    Service = "fulcio"
	Rekor     Service = "rekor"
	Timestamp Service = "timestamp"
)

// Options of an instance.
type Options struct {
	// Fault stands in front of every service and may answer in its place.
	Fault func(service Service, next http.Handler) http.Handler
	// Lifetime of certificates. Default: 10 minutes, as Fulcio's.
	Lifetime time.Duration
	// Now is the clock of Fulcio and of the witnesses. Default: time.Now.
	Now func() time.Time
	// WithoutSCT makes Fulcio issue certificates that no certificate transparency log has seen.
	WithoutSCT bool
}

// Instance is a running instance. Close it.
type Instance struct {
	// IssuerURL is who vouches for identities, and the others where the services are. The timestamp authority's is a whole URL.
	IssuerURL, FulcioURL, RekorURL, TimestampURL string

	o       Options
	servers []*httptest.Server
	issuer  *issuer
	fulcio  *fulcio
	rekor   *rekor
	stamps  *stamps
}

// Start starts an instance on loopback.
func Start(o Options) (*Instance, error) {
	if o.Lifetime == 0 {
		o.Lifetime = 10 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	i := &Instance{o: o}
	rootCert, rootKey, err := ca.GenerateRootCa()
	if err != nil {
		return nil, fmt.Errorf("make a root: %w", err)
	}
	if i.issuer, err = newIssuer(); err != nil {
		return nil, err
	}
	i.IssuerURL = i.serve(Issuer, i.issuer)
	i.issuer.url = i.IssuerURL
	if i.fulcio, err = newFulcio(i.IssuerURL, o, rootCert, rootKey); err != nil {
		return nil, err
	}
	i.FulcioURL = i.serve(Fulcio, i.fulcio)
	if i.rekor, err = newRekor(o.Now); err != nil {
		return nil, err
	}
	i.RekorURL = i.serve(Rekor, i.rekor)
	if i.stamps, err = newStamps(o.Now, rootCert, rootKey); err != nil {
		return nil, err
	}
	i.TimestampURL = i.serve(Timestamp, i.stamps) + "/api/v1/timestamp"
	return i, nil
}

func (i *Instance) serve(s Service, h http.Handler) string {
	if i.o.Fault != nil {
		h = i.o.Fault(s, h)
	}
	server := httptest.NewServer(h)
	i.servers = append(i.servers, server)
	return server.URL
}

// Close ends all services.
func (i *Instance) Close() {
	for _, s := range i.servers {
		s.CloseClientConnections()
		s.Close()
	}
}

// Witnesses says what a trusted root names beside the certificate authority.
type Witnesses struct {
	Certificates, Rekor, Timestamps bool
}

// TrustedRoot is what signatures of the instance are verified by, as trusted_root.json.
func (i *Instance) TrustedRoot(w Witnesses) (string, error) {
	from, to := time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	log := func(url string, key *ecdsa.PrivateKey) (map[string]*root.TransparencyLog, error) {
		id, err := logID(key)
		return map[string]*root.TransparencyLog{hex.EncodeToString(id): {
			BaseURL: url, ID: id, ValidityPeriodStart: from, ValidityPeriodEnd: to,
			HashFunc: crypto.SHA256, PublicKey: key.Public(), SignatureHashFunc: crypto.SHA256,
		}}, err
	}
	var certificates, entries map[string]*root.TransparencyLog
	var stamps []root.TimestampingAuthority
	var err error
	if w.Certificates {
		if certificates, err = log(i.FulcioURL+"/ct", i.fulcio.logKey); err != nil {
			return "", err
		}
	}
	if w.Rekor {
		if entries, err = log(i.RekorURL, i.rekor.key); err != nil {
			return "", err
		}
	}
	if w.Timestamps {
		a := i.stamps.authority
		a.URI, a.ValidityPeriodStart, a.ValidityPeriodEnd = i.TimestampURL, from, to
		stamps = append(stamps, &a)
	}
	authority := i.fulcio.authority
	authority.URI, authority.ValidityPeriodStart, authority.ValidityPeriodEnd = i.FulcioURL, from, to
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, []root.CertificateAuthority{&authority}, certificates, stamps, entries)
	if err != nil {
		return "", fmt.Errorf("make a trusted root: %w", err)
	}
	data, err := json.Marshal(trusted)
	return string(data), err
}

// logID is the identifier of a log: the hash of its public key.
func logID(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	sum := sha256.Sum256(der)
	return sum[:], err
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// refuse answers as the services do where they say no.
func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	answer(w, status, map[string]any{"code": status, "message": fmt.Sprintf(format, args...)})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
