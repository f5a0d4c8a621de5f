package fakesigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// fulcio issues certificates to whoever shows a token of the issuer.
type fulcio struct {
	o         Options
	issuer    string
	authority root.FulcioCertificateAuthority
	key       *ecdsa.PrivateKey
	// logKey is that of the certificate transparency log.
	logKey *ecdsa.PrivateKey
}

func newFulcio(issuer string, o Options, rootCert *x509.Certificate, rootKey *ecdsa.PrivateKey) (*fulcio, error) {
	intermediate, key, err := ca.GenerateFulcioIntermediate(rootCert, rootKey)
	if err != nil {
		return nil, fmt.Errorf("make Fulcio's authority: %w", err)
	}
	logKey, err := newKey()
	return &fulcio{o: o, issuer: issuer, key: key, logKey: logKey, authority: root.FulcioCertificateAuthority{Root: rootCert, Intermediates: []*x509.Certificate{intermediate}}}, err
}

// request is what clients send.
type request struct {
	PublicKeyRequest struct {
		PublicKey struct {
			Content string `json:"content"`
		} `json:"publicKey"`
		ProofOfPossession []byte `json:"proofOfPossession"`
	} `json:"publicKeyRequest"`
}

// identity is what a token says of who shows it.
type identity struct {
	Subject  string `json:"sub"`
	Email    string `json:"email"`
	Workflow string `json:"job_workflow_ref"`
	Issuer   string `json:"iss"`
}

func (f *fulcio) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/api/v2/signingCert" {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	who, err := f.verify(r)
	if err != nil {
		refuse(w, http.StatusUnauthorized, "There was an error processing the identity token: %v", err)
		return
	}
	var asked request
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	public, err := who.possesses(asked)
	if err != nil {
		refuse(w, http.StatusBadRequest, "The signature supplied in the request could not be verified: %v", err)
		return
	}
	leaf, err := f.issue(who, public)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "%v", err)
		return
	}
	chain := []string{encode(leaf), encode(f.authority.Intermediates[0].Raw), encode(f.authority.Root.Raw)}
	kind := "signedCertificateEmbeddedSct"
	answer(w, http.StatusOK, map[string]any{kind: map[string]any{"chain": map[string]any{"certificates": chain}}})
}

func encode(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// verify takes tokens of the issuer, whose keys it asks for as every relying party does.
func (f *fulcio) verify(r *http.Request) (identity, error) {
	var who identity
	provider, err := oidc.NewProvider(r.Context(), f.issuer)
	if err != nil {
		return who, err
	}
	checked := provider.Verifier(&oidc.Config{SkipClientIDCheck: true})
	token, err := checked.Verify(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil {
		return who, err
	}
	if len(token.Audience) != 1 || token.Audience[0] != "sigstore" && token.Audience[0] != AzureAudience {
		return who, fmt.Errorf("audience %q is not taken here", token.Audience)
	}
	return who, token.Claims(&who)
}

// possesses checks that whoever asks has the private key.
func (i identity) possesses(asked request) (crypto.PublicKey, error) {
	public, err := cryptoutils.UnmarshalPEMToPublicKey([]byte(asked.PublicKeyRequest.PublicKey.Content))
	if err != nil {
		return nil, err
	}
	key, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a %T is not taken here", public)
	}
	subject := i.Subject
	if i.Email != "" {
		subject = i.Email
	}
	sum := sha256.Sum256([]byte(subject))
	if !ecdsa.VerifyASN1(key, sum[:], asked.PublicKeyRequest.ProofOfPossession) {
		return nil, fmt.Errorf("it is not by the key that is to be certified")
	}
	return key, nil
}

// issue makes a certificate as Fulcio does: for a workflow, an address, or a subject that is a URI.
func (f *fulcio) issue(who identity, public crypto.PublicKey) ([]byte, error) {
	issuer, err := asn1.MarshalWithParams(who.Issuer, "utf8")
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, err
	}
	now := f.o.Now()
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: now.Add(-time.Second), NotAfter: now.Add(f.o.Lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(who.Issuer)},
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer},
		},
	}
	name := who.Subject
	switch {
	case who.Email != "":
		template.EmailAddresses, name = []string{who.Email}, ""
	case who.Workflow != "":
		name = "https://github.com/" + who.Workflow
	}
	if name != "" {
		uri, err := url.Parse(name)
		if err != nil || uri.Scheme == "" {
			return nil, fmt.Errorf("subject %q is no URI", name)
		}
		template.URIs = []*url.URL{uri}
	}
	parent := f.authority.Intermediates[0]
	leaf, err := x509.CreateCertificate(rand.Reader, template, parent, public, f.key)
	if err != nil || f.o.WithoutSCT {
		return leaf, err
	}
	extension, err := f.log(leaf, parent.Raw)
	if err != nil {
		return nil, err
	}
	template.ExtraExtensions = append(template.ExtraExtensions, extension)
	return x509.CreateCertificate(rand.Reader, template, parent, public, f.key)
}

// log is the promise of the certificate transparency log to take a certificate in, as an extension of it (RFC 6962).
func (f *fulcio) log(leaf, parent []byte) (pkix.Extension, error) {
	chain, err := ctx509.ParseCertificates(append(append([]byte{}, leaf...), parent...))
	if err != nil {
		return pkix.Extension{}, err
	}
	id, err := logID(f.logKey)
	if err != nil {
		return pkix.Extension{}, err
	}
	now := uint64(f.o.Now().UnixMilli())
	entry := ct.MerkleTreeLeaf{TimestampedEntry: &ct.TimestampedEntry{
		EntryType: ct.PrecertLogEntryType, Timestamp: now,
		PrecertEntry: &ct.PreCert{IssuerKeyHash: sha256.Sum256(chain[1].RawSubjectPublicKeyInfo), TBSCertificate: chain[0].RawTBSCertificate},
	}}
	sct := ct.SignedCertificateTimestamp{SCTVersion: ct.V1, LogID: ct.LogID{KeyID: [32]byte(id)}, Timestamp: now}
	input, err := ct.SerializeSCTSignatureInput(sct, ct.LogEntry{Leaf: entry})
	if err != nil {
		return pkix.Extension{}, err
	}
	signed, err := tls.CreateSignature(*f.logKey, tls.SHA256, input)
	if err != nil {
		return pkix.Extension{}, err
	}
	sct.Signature = ct.DigitallySigned(signed)
	one, err := tls.Marshal(sct)
	if err != nil {
		return pkix.Extension{}, err
	}
	list, err := tls.Marshal(ctx509.SignedCertificateTimestampList{SCTList: []ctx509.SerializedSCT{{Val: one}}})
	if err != nil {
		return pkix.Extension{}, err
	}
	value, err := asn1.Marshal(list)
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: value}, err
}
