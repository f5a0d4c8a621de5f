package script

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// goodToken is the one that the API servers of the stories take.
const goodToken = "good-token-of-the-story"

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(ts *testscript.TestScript, name string) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	certificate, err := x509.ParseCertificate(der)
	ts.Check(err)
	return authority{certificate, key}
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// sign makes a server's certificate for an address or name, valid until some time.
func (a authority) sign(ts *testscript.TestScript, name string, until time.Time) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	ts.Check(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// apiserver starts one on loopback and writes FILE, a kubeconfig with the context prod for it: apiserver KIND FILE. It is a fake: it knows
// what the doctor asks, and no more. The kinds: good, expired, stranger, othername, plain, refusing, anonymous, silent, down, web.
func apiserver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: apiserver KIND FILE")
	}
	kind, ours := args[0], newAuthority(ts, "the authority of the story")
	signer, name, until := ours, "127.0.0.1", time.Now().Add(time.Hour)
	token := goodToken
	switch kind {
	case "expired":
		until = time.Now().Add(-time.Hour)
	case "stranger":
		signer = newAuthority(ts, "somebody else")
	case "othername":
		name = "api.example.com"
	case "refusing":
		token = "another-token-of-the-story"
	case "anonymous":
		token = ""
	}
	server := httptest.NewUnstartedServer(handler(kind))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{signer.sign(ts, name, until)}, MinVersion: tls.VersionTLS12}
	address := server.Listener.Addr().String()
	switch kind {
	case "silent":
		// The system accepts, and nobody reads.
		ts.Defer(func() { _ = server.Listener.Close() })
	case "down":
		ts.Check(server.Listener.Close())
	case "plain":
		server.Start()
		ts.Defer(server.Close)
	default:
		server.StartTLS()
		ts.Defer(server.Close)
	}
	user := "{}"
	if token != "" {
		user = "{token: " + token + "}"
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://%s", certificate-authority-data: %s}}]
users: [{name: u, user: %s}]
contexts: [{name: prod, context: {cluster: c, user: u}}]
`, address, base64.StdEncoding.EncodeToString(ours.pem()), user), 0o600))
}

// handler answers as an API server in which the story's user may do all but what has to do with leases.
func handler(kind string) http.Handler {
	say := func(w http.ResponseWriter, status int, doc any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(doc)
	}
	refuse := func(w http.ResponseWriter, status int, reason, message string) {
		say(w, status, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason, "message": message})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Get("Authorization")
		// The client chooses its encoding; in each of them the resource is a word.
		asked, _ := io.ReadAll(r.Body)
		switch {
		case kind == "web":
			fmt.Fprint(w, "<html>sign in</html>")
		case header != "" && header != "Bearer "+goodToken:
			refuse(w, http.StatusUnauthorized, "Unauthorized", "Unauthorized")
		case r.URL.Path == "/version":
			say(w, http.StatusOK, map[string]string{"gitVersion": "v1.36.3"})
		case header == "":
			refuse(w, http.StatusForbidden, "Forbidden", `User "system:anonymous" cannot create resource`)
		case strings.HasSuffix(r.URL.Path, "/selfsubjectreviews"):
			say(w, http.StatusCreated, map[string]any{"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "status": map[string]any{"userInfo": map[string]any{"username": "story"}}})
		case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
			say(w, http.StatusCreated, map[string]any{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": map[string]any{"allowed": !bytes.Contains(asked, []byte("leases"))}})
		case r.URL.Path == "/api/v1/namespaces/kube-system":
			say(w, http.StatusOK, map[string]any{"kind": "Namespace", "apiVersion": "v1", "metadata": map[string]any{"name": "kube-system", "uid": "11111111-2222-3333-4444-555555555555"}})
		case r.URL.Path == "/api":
			say(w, http.StatusOK, map[string]any{"kind": "APIVersions", "versions": []string{"v1"}})
		case r.URL.Path == "/apis":
			say(w, http.StatusOK, map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": []any{group("apps"), group("coordination.k8s.io")}})
		case r.Method == http.MethodGet && (r.URL.Path == "/api/v1" || strings.HasPrefix(r.URL.Path, "/apis/")):
			say(w, http.StatusOK, map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/apis/"), "/api/"), "resources": []any{}})
		default:
			refuse(w, http.StatusNotFound, "NotFound", "not found")
		}
	})
}

func group(name string) map[string]any {
	version := map[string]any{"groupVersion": name + "/v1", "version": "v1"}
	return map[string]any{"name": name, "versions": []any{version}, "preferredVersion": version}
}
