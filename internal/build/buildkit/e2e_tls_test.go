//go:build e2e

package buildkit_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build/buildkit"
	"github.com/sluice-dev/sluice/internal/fault"
)

// authority makes certificates, as files below its folder.
type authority struct {
	dir    string
	issuer *x509.Certificate
	key    *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	a := &authority{dir: dir}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	a.issue(t, "ca", time.Hour)
	return a
}

// issue makes a certificate for a server on loopback or for a client, the first one for the authority itself.
func (a *authority) issue(t *testing.T, name string, valid time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{"builder.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if a.issuer == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		a.issuer, a.key = template, key
	}
	if name == "named" {
		template.IPAddresses = nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.issuer, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + "-key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// daemon starts a BuildKit of its own on loopback and returns its host and port.
func daemon(t *testing.T, args ...string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	programs, err := filepath.Glob(filepath.Join(cache, "sluice", "local", "buildkit-*", "buildkitd"))
	if err != nil || len(programs) == 0 {
		t.Fatalf("there is no buildkitd (%v): build it with `bin/sluice local up --with buildkit`", err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := free.Addr().String()
	_ = free.Close()
	root := t.TempDir()
	args = append([]string{
		"--config", os.DevNull, "--root", root, "--addr", "tcp://" + host, "--otel-socket-path", filepath.Join(root, "otel.sock"), "--cdi-disabled",
		"--containerd-worker=false", "--oci-worker-net=host",
	}, args...)
	said := &output{}
	command := exec.Command(programs[0], args...)
	command.Stderr = writer(said.add)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			t.Log(said)
		}
	})
	deadline := time.Now().Add(time.Minute)
	for {
		conn, err := net.Dial("tcp", host)
		if err == nil {
			_ = conn.Close()
			return host
		}
		if time.Now().After(deadline) {
			t.Fatalf("buildkitd does not listen: %v\n%s", err, said)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

type writer func(string)

func (w writer) Write(p []byte) (int, error) {
	w(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func TestE2ETLS(t *testing.T) {
	certificates := t.TempDir()
	ours := newAuthority(t, certificates)
	ours.issue(t, "server", time.Hour)
	ours.issue(t, "old", -time.Hour)
	ours.issue(t, "named", time.Hour)
	ours.issue(t, "client", time.Hour)
	newAuthority(t, filepath.Join(certificates, "foreign")).issue(t, "client", time.Hour)
	serve := func(name string) string {
		return daemon(t, "--tlscacert", filepath.Join(ours.dir, "ca.pem"), "--tlscert", filepath.Join(ours.dir, name+".pem"), "--tlskey", filepath.Join(ours.dir, name+"-key.pem"))
	}
	server := serve("server")
	old, named, plain := serve("old"), serve("named"), daemon(t)
	const client = "&tlscert=client.pem&tlskey=client-key.pem"

	w := newWorldAt(t, "tcp://"+server)
	w.put(t, "app/Dockerfile", multiStage)
	w.put(t, "app/greeting.txt", "hello")
	try := func(address string) (string, error) {
		w.builder = buildkit.New(buildkit.Options{Address: address, Dir: certificates})
		req, said := w.request(v1alpha1.Image{})
		_, err := w.builder.Build(t.Context(), req, t.TempDir())
		return said.String(), err
	}
	for name, address := range map[string]string{
		"both sides show themselves":       "tcp://" + server + "?tlscacert=ca.pem" + client,
		"with absolute paths":              "tcp://" + server + "?tlscacert=" + ours.dir + "/ca.pem&tlscert=" + ours.dir + "/client.pem&tlskey=" + ours.dir + "/client-key.pem",
		"the certificate is for a name":    "tcp://" + named + "?tlscacert=ca.pem&tlsservername=builder.example" + client,
		"the plain one is still reachable": "tcp://" + plain,
	} {
		t.Run(name, func(t *testing.T) {
			if said, err := try(address); err != nil {
				t.Errorf("%v (%s)\n%s", err, fault.HintOf(err), said)
			}
		})
	}
	for name, c := range map[string]struct {
		address, says, hint string
		kind                fault.Kind
	}{
		"an authority that is not its own": {"tcp://" + server + "?tlscacert=foreign/ca.pem" + client, "unknown authority", "tlscacert=file", fault.Unreachable},
		"the system's authorities":         {"tcp://" + server + "?tlsservername=builder.example" + client, "unknown authority", "tlscacert=file", fault.Unreachable},
		"an old certificate":               {"tcp://" + old + "?tlscacert=ca.pem" + client, "expired", "renew its certificate", fault.Unreachable},
		"a certificate for a name":         {"tcp://" + named + "?tlscacert=ca.pem" + client, "127.0.0.1", "tlsservername=name", fault.Unreachable},
		"no client certificate":            {"tcp://" + server + "?tlscacert=ca.pem", "certificate required", "tlscert=file and tlskey=file", fault.Unreachable},
		"a foreign client certificate":     {"tcp://" + server + "?tlscacert=ca.pem&tlscert=foreign/client.pem&tlskey=foreign/client-key.pem", "certificate", "does not trust the client certificate", fault.Unreachable},
		"an old client certificate":        {"tcp://" + server + "?tlscacert=ca.pem&tlscert=old.pem&tlskey=old-key.pem", "expired certificate", "the client certificate is over", fault.Unreachable},
		"no TLS where it is spoken":        {"tcp://" + server, "", "if it speaks TLS, say so in the address: tcp://" + server + "?tlscacert=file", fault.Unreachable},
		"TLS where it is not spoken":       {"tcp://" + plain + "?tlscacert=ca.pem" + client, "TLS handshake", "leave what begins with tls", fault.Unreachable},
		"a key that is not there":          {"tcp://" + server + "?tlscacert=ca.pem&tlscert=client.pem&tlskey=none.pem", "none.pem: no such file", "", fault.Usage},
		"an authority that is not there":   {"tcp://" + server + "?tlscacert=none.pem", "none.pem: no such file", "", fault.Usage},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := try(c.address)
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || !strings.Contains(fault.HintOf(err), c.hint) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v of kind %v, hint %q", err, fault.KindOf(err), fault.HintOf(err))
			}
		})
	}
}

// TestE2EDockersOwnByTLS: what Docker's own variables say of TLS is done.
func TestE2EDockersOwnByTLS(t *testing.T) {
	w := newWorld(t)
	w.put(t, "app/Dockerfile", multiStage)
	w.put(t, "app/greeting.txt", "hello")
	ours := newAuthority(t, t.TempDir())
	ours.issue(t, "cert", time.Hour)
	if err := os.Rename(filepath.Join(ours.dir, "cert-key.pem"), filepath.Join(ours.dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(ours.dir, "cert.pem"), filepath.Join(ours.dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(mustParse(t, filepath.Join(ours.dir, "ca.pem")))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: trusted, ClientAuth: tls.RequireAndVerifyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	host := listener.Addr().String()
	serveDocker(t, listener, w.address)
	foreign := newAuthority(t, t.TempDir())
	foreign.issue(t, "cert", time.Hour)
	if err := os.Rename(filepath.Join(foreign.dir, "cert-key.pem"), filepath.Join(foreign.dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		set        map[string]string
		says, hint string
	}{
		"with its files":     {map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": ours.dir}, "", ""},
		"with other files":   {map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": foreign.dir}, "unknown authority", "ca.pem in $DOCKER_CERT_PATH"},
		"without the files":  {map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": w.dir}, "ca.pem: no such file", ""},
		"without being told": {nil, "", "set $DOCKER_TLS_VERIFY"},
	} {
		t.Run(name, func(t *testing.T) {
			w.builder = buildkit.New(buildkit.Options{LookupEnv: func(variable string) (string, bool) {
				if variable == "DOCKER_HOST" {
					return "tcp://" + host, true
				}
				return c.set[variable], true
			}})
			req, said := w.request(v1alpha1.Image{})
			_, err := w.builder.Build(t.Context(), req, t.TempDir())
			if c.says+c.hint == "" {
				if err != nil {
					t.Errorf("%v (%s)\n%s", err, fault.HintOf(err), said)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Errorf("got %v, hint %q", err, fault.HintOf(err))
			}
		})
	}
}

func mustParse(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
