// Package distribution is an OCI registry for tests and measurements, in process and as strict as those that people use; it must not be used for anything else.
//
// It is the registry of go-containerregistry with what that one leaves out: blobs belong to repositories, and can be mounted from one to
// another; a manifest is refused while a blob is missing that it names; and it can ask for credentials as Docker's and Azure's do.
package distribution

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Options of a registry. The zero value is one of before OCI 1.1 that lets everybody in.
type Options struct {
	// Referrers switches the referrers API on.
	Referrers bool
	// Auth asks for credentials.
	Auth Auth
	// Fault stands in front of everything and may answer in place of the registry.
	Fault func(next http.Handler) http.Handler
}

// Server is a running registry. Close it.
type Server struct {
	// Host is its address as it stands in references.
	Host string
	// Requests counts those that reached the registry. Received and Sent count bytes of blobs, Mounts blobs that were mounted.
	Requests, Received, Sent, Mounts atomic.Int64

	server *httptest.Server
	inner  http.Handler

	mu    sync.Mutex
	blobs map[string]map[string]bool // repository → digests
}

// Serve starts a registry on loopback.
func Serve(o Options) *Server {
	s := &Server{
		inner: registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(o.Referrers)),
		blobs: map[string]map[string]bool{},
	}
	var handler http.Handler = http.HandlerFunc(s.serve)
	if o.Auth != nil {
		handler = o.Auth(handler)
	}
	if o.Fault != nil {
		handler = o.Fault(handler)
	}
	s.server = httptest.NewServer(handler)
	s.Host = strings.TrimPrefix(s.server.URL, "http://")
	return s
}

// Close ends it, what is under way included.
func (s *Server) Close() {
	s.server.CloseClientConnections()
	s.server.Close()
}

// Lose forgets a blob of a repository, as a broken disk or a careless clean-up does.
func (s *Server) Lose(repository, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs[repository], digest)
}

// target is what a request is about: /v2/<repository>/<kind>/<name>.
type target struct{ repository, kind, name string }

func targetOf(r *http.Request) target {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	for _, kind := range []string{"blobs/uploads", "blobs", "manifests", "tags", "referrers"} {
		if at := strings.LastIndex(path, "/"+kind+"/"); at >= 0 {
			return target{path[:at], kind, path[at+len(kind)+2:]}
		}
	}
	return target{}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.Requests.Add(1)
	t := targetOf(r)
	switch {
	case t.kind == "blobs" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		s.readBlob(w, r, t)
	case t.kind == "blobs/uploads" && r.Method == http.MethodPost:
		s.beginUpload(w, r, t)
	case t.kind == "blobs/uploads":
		s.upload(w, r, t)
	case t.kind == "manifests" && r.Method == http.MethodPut:
		s.putManifest(w, r, t)
	default:
		s.inner.ServeHTTP(w, r)
	}
}

func (s *Server) has(repository, digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blobs[repository][digest]
}

func (s *Server) link(repository, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blobs[repository] == nil {
		s.blobs[repository] = map[string]bool{}
	}
	s.blobs[repository][digest] = true
}

func (s *Server) readBlob(w http.ResponseWriter, r *http.Request, t target) {
	if !s.has(t.repository, t.name) {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to the repository")
		return
	}
	s.inner.ServeHTTP(&sent{w, &s.Sent}, r)
}

// sent counts the bytes of an answer.
type sent struct {
	http.ResponseWriter
	bytes *atomic.Int64
}

func (s *sent) Write(p []byte) (int, error) {
	n, err := s.ResponseWriter.Write(p)
	s.bytes.Add(int64(n))
	return n, err
}

func (s *Server) beginUpload(w http.ResponseWriter, r *http.Request, t target) {
	query := r.URL.Query()
	if digest := query.Get("mount"); digest != "" && s.has(query.Get("from"), digest) {
		s.link(t.repository, digest)
		s.Mounts.Add(1)
		w.Header().Set("Location", "/v2/"+t.repository+"/blobs/"+digest)
		w.Header().Set("Docker-Content-Digest", digest)
		w.WriteHeader(http.StatusCreated)
		return
	}
	r.URL.RawQuery = ""
	s.inner.ServeHTTP(w, r)
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request, t target) {
	r.Body = &received{r.Body, &s.Received}
	answer := &status{ResponseWriter: w}
	s.inner.ServeHTTP(answer, r)
	if digest := r.URL.Query().Get("digest"); r.Method == http.MethodPut && answer.code == http.StatusCreated {
		s.link(t.repository, digest)
	}
}

type received struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (c *received) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *Server) putManifest(w http.ResponseWriter, r *http.Request, t target) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", "the manifest was cut off")
		return
	}
	var manifest struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	if err := json.Unmarshal(body, &manifest); err != nil {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", err.Error())
		return
	}
	if manifest.Config.Digest != "" {
		manifest.Layers = append(manifest.Layers, manifest.Config)
	}
	for _, blob := range manifest.Layers {
		if !s.has(t.repository, blob.Digest) {
			refuse(w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", "blob unknown to the repository: "+blob.Digest)
			return
		}
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	s.inner.ServeHTTP(w, r)
}

func refuse(w http.ResponseWriter, code int, name, message string, details ...detail) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	e := map[string]any{"code": name, "message": message}
	if len(details) > 0 {
		e["detail"] = details
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{e}})
}
