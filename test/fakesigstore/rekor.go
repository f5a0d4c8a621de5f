package fakesigstore

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/digitorus/timestamp"
	"github.com/go-openapi/runtime"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1" // Rekor's own check of what it is given
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/rfc6962"
	merkle "github.com/transparency-dev/merkle/testonly"
)

// rekor is a transparency log with API version 1.
type rekor struct {
	clock  func() time.Time
	key    *ecdsa.PrivateKey
	signer signature.Signer

	mu   sync.Mutex
	tree *merkle.Tree
}

func newRekor(clock func() time.Time) (*rekor, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	signer, err := signature.LoadECDSASignerVerifier(key, crypto.SHA256)
	return &rekor{clock: clock, key: key, signer: signer, tree: merkle.New(rfc6962.DefaultHasher)}, err
}

func (l *rekor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/api/v1/log/entries" {
		refuse(w, http.StatusNotFound, "path %s was not found", r.URL.Path)
		return
	}
	body, err := canonical(r.Context(), http.MaxBytesReader(w, r.Body, 4<<20))
	if err != nil {
		refuse(w, http.StatusBadRequest, "error processing entry: %v", err)
		return
	}
	id, entry, err := l.add(r.Context(), body)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "%v", err)
		return
	}
	w.Header().Set("ETag", id)
	w.Header().Set("Location", "/api/v1/log/entries/"+id)
	answer(w, http.StatusCreated, map[string]any{id: entry})
}

// canonical is what goes into the log of a proposed entry; it checks the signature in it.
func canonical(ctx context.Context, r io.Reader) ([]byte, error) {
	proposed, err := models.UnmarshalProposedEntry(r, runtime.JSONConsumer())
	if err != nil {
		return nil, err
	}
	entry, err := types.CreateVersionedEntry(proposed)
	if err != nil {
		return nil, err
	}
	return types.CanonicalizeEntry(ctx, entry)
}

// add appends an entry and proves that it did.
func (l *rekor) add(ctx context.Context, body []byte) (string, models.LogEntryAnon, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	none := models.LogEntryAnon{}
	l.tree.AppendData(body)
	size, index := l.tree.Size(), int64(l.tree.Size()-1)
	path, err := l.tree.InclusionProof(uint64(index), size)
	if err != nil {
		return "", none, err
	}
	hashes := make([]string, len(path))
	for i, h := range path {
		hashes[i] = hex.EncodeToString(h)
	}
	checkpoint, err := util.CreateAndSignCheckpoint(ctx, "rekor.fake", 1, size, l.tree.Hash(), l.signer)
	if err != nil {
		return "", none, err
	}
	id, err := logID(l.key)
	if err != nil {
		return "", none, err
	}
	log, encoded, now := hex.EncodeToString(id), base64.StdEncoding.EncodeToString(body), l.clock().Unix()
	promise, err := l.promise(map[string]any{"body": encoded, "integratedTime": now, "logID": log, "logIndex": index})
	if err != nil {
		return "", none, err
	}
	top, length, note := hex.EncodeToString(l.tree.Hash()), int64(size), string(checkpoint)
	return hex.EncodeToString(l.tree.LeafHash(uint64(index))), models.LogEntryAnon{
		Body: encoded, IntegratedTime: &now, LogID: &log, LogIndex: &index,
		Verification: &models.LogEntryAnonVerification{
			SignedEntryTimestamp: promise,
			InclusionProof:       &models.InclusionProof{Checkpoint: &note, Hashes: hashes, LogIndex: &index, RootHash: &top, TreeSize: &length},
		},
	}, nil
}

// promise is the signed entry timestamp.
func (l *rekor) promise(entry map[string]any) ([]byte, error) {
	data, err := json.Marshal(entry)
	if err != nil {
		return nil, err
	}
	if data, err = jsoncanonicalizer.Transform(data); err != nil {
		return nil, err
	}
	return l.signer.SignMessage(bytes.NewReader(data))
}

// stamps is a timestamp authority (RFC 3161).
type stamps struct {
	clock     func() time.Time
	authority root.SigstoreTimestampingAuthority
	key       *ecdsa.PrivateKey
}

func newStamps(clock func() time.Time, rootCert *x509.Certificate, rootKey *ecdsa.PrivateKey) (*stamps, error) {
	intermediate, above, err := ca.GenerateTSAIntermediate(rootCert, rootKey)
	if err != nil {
		return nil, fmt.Errorf("make the timestamp authority: %w", err)
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	leaf, err := ca.GenerateTSALeafCert(clock().Add(-time.Second), key, intermediate, above)
	return &stamps{clock: clock, key: key, authority: root.SigstoreTimestampingAuthority{Root: rootCert, Intermediates: []*x509.Certificate{intermediate}, Leaf: leaf}}, err
}

func (s *stamps) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
		refuse(w, http.StatusBadRequest, "that is no query for a timestamp: %v", err)
		return
	}
	asked, err := timestamp.ParseRequest(data)
	if err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	stamp := timestamp.Timestamp{
		HashAlgorithm: asked.HashAlgorithm, HashedMessage: asked.HashedMessage, Nonce: asked.Nonce, Time: s.clock(),
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, AddTSACertificate: asked.Certificates,
	}
	reply, err := stamp.CreateResponseWithOpts(s.authority.Leaf, s.key, crypto.SHA256)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "%v", err)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(reply)
}
