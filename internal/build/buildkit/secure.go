package buildkit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
)

// The names in a tcp:// address are those of buildctl's flags.
const (
	authorityName  = "tlscacert"
	certName       = "tlscert"
	keyName        = "tlskey"
	serverNameName = "tlsservername"
)

// pemFiles say what TLS needs to know: whom to trust, and who asks.
type pemFiles struct {
	// authority, cert and key are files in PEM. Without an authority the system's are trusted.
	authority, cert, key string
	// serverName is what the server's certificate must be for.
	serverName string
}

// secured takes what is said about TLS off an address, with relative paths starting at dir. Where nothing is said, no TLS is spoken.
func secured(op, address, dir string) (string, *tls.Config, error) {
	bare, query, said := strings.Cut(address, "?")
	if !said || !strings.HasPrefix(address, "tcp://") {
		return address, nil, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", nil, fault.New(fault.Usage, op, "the address of the BuildKit cannot be read behind the ?: %w", err)
	}
	known := []string{authorityName, certName, keyName, serverNameName}
	for name, value := range values {
		switch {
		case !slices.Contains(known, name):
			return "", nil, fault.New(fault.Usage, op, "%s is nothing that an address of a BuildKit can say", name).
				WithHint("known: %s", strings.Join(known, ", "))
		case len(value) != 1 || value[0] == "":
			return "", nil, fault.New(fault.Usage, op, "the address of the BuildKit must give %s one value", name)
		}
	}
	host, err := url.Parse(bare)
	if err != nil || host.Hostname() == "" {
		return "", nil, fault.New(fault.Usage, op, "%q is no address of a BuildKit", bare).WithHint("write it as tcp://host:port?%s=file", authorityName)
	}
	file := func(name string) string {
		if path := values.Get(name); path != "" && !filepath.IsAbs(path) {
			return filepath.Join(dir, path)
		}
		return values.Get(name)
	}
	who := pemFiles{authority: file(authorityName), cert: file(certName), key: file(keyName), serverName: values.Get(serverNameName)}
	if who.serverName == "" {
		who.serverName = host.Hostname()
	}
	if (who.cert == "") != (who.key == "") {
		return "", nil, fault.New(fault.Usage, op, "the address of the BuildKit names only one of %s and %s", certName, keyName).
			WithHint("a client shows itself by both; a server that asks for no certificate needs neither")
	}
	config, err := who.config(op)
	return bare, config, err
}

// dockers are the files that Docker's own variables name.
func dockers(host string, env func(string) string) (pemFiles, error) {
	dir := env("DOCKER_CERT_PATH")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return pemFiles{}, err
		}
		dir = filepath.Join(home, ".docker")
	}
	u, err := url.Parse(host)
	if err != nil {
		return pemFiles{}, err
	}
	return pemFiles{
		authority: filepath.Join(dir, "ca.pem"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), serverName: u.Hostname(),
	}, nil
}

// config reads the files.
func (i pemFiles) config(op string) (*tls.Config, error) {
	config := &tls.Config{ServerName: i.serverName, MinVersion: tls.VersionTLS12}
	if i.authority != "" {
		data, err := os.ReadFile(i.authority)
		if err != nil {
			return nil, fault.New(fault.Usage, op, "read the certificate of the authority to trust: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, fault.New(fault.Usage, op, "%s holds no certificate in PEM", i.authority)
		}
	}
	if i.cert != "" {
		pair, err := tls.LoadX509KeyPair(i.cert, i.key)
		var path *os.PathError
		switch {
		case errors.As(err, &path):
			return nil, fault.New(fault.Usage, op, "read the client's certificate and key: %w", err)
		case err != nil:
			return nil, fault.New(fault.Usage, op, "%s and %s are no certificate with its key: %w", i.cert, i.key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// refusal is why TLS was refused, where that was lost: the other side says so after its part of the handshake is done, and whoever writes
// before he reads it learns only that the connection is gone. Nothing else than err where nobody says more.
func (e endpoint) refusal(ctx context.Context, err error) error {
	if e.tls == nil || strings.Contains(err.Error(), "tls: ") {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, refusalTimeout)
	defer cancel()
	network, address, _ := strings.Cut(e.address, "://")
	config := e.tls.Clone()
	config.NextProtos = []string{"h2"}
	dialer := tls.Dialer{Config: config}
	conn, failed := dialer.DialContext(ctx, network, address)
	if failed == nil {
		deadline, _ := ctx.Deadline()
		_ = conn.SetReadDeadline(deadline)
		_, failed = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
	var alert *net.OpError
	if errors.As(failed, &alert) && alert.Op == "remote error" {
		return failed
	}
	return err
}

// refusalTimeout is how long the other side may take to say why it refuses.
const refusalTimeout = 5 * time.Second

// tlsCure is what to do about a connection that failed as err says, "" where that has nothing to do with TLS.
func (e endpoint) tlsCure(err error) string {
	authority, client, name := authorityName+"=file in the address", certName+"=file and "+keyName+"=file in the address", serverNameName+"=name in the address"
	if e.docker {
		authority, client, name = "ca.pem in $DOCKER_CERT_PATH", "cert.pem and key.pem in $DOCKER_CERT_PATH", "a host name that it is for in $DOCKER_HOST"
	}
	for _, c := range []struct{ pattern, cure string }{
		// What the other side says of us comes as an alert, a remote error.
		{`remote error: tls: certificate required`, "it wants to know who asks: give a client certificate that it trusts as " + client},
		{`remote error: tls: expired certificate`, "the client certificate is over: renew it (" + client + ")"},
		{`remote error: tls: (unknown certificate authority|bad certificate|unknown certificate)`, "it does not trust the client certificate: give one that its own authority signed as " + client},
		{`certificate signed by unknown authority`, "name the authority that made its certificate as " + authority},
		{`certificate has expired or is not yet valid`, "renew its certificate, or set the clock right"},
		{`certificate is (not )?valid for|doesn't contain any IP SANs|not valid for any names`, "name what its certificate is for as " + name},
		{`first record does not look like a TLS handshake|server gave HTTP response to HTTPS client`, "it speaks no TLS: leave " + e.leave() + " away"},
	} {
		if regexp.MustCompile(c.pattern).MatchString(err.Error()) {
			return c.cure
		}
	}
	if e.tls == nil && strings.HasPrefix(e.address, "tcp://") && regexp.MustCompile(`server preface|frame too large|malformed HTTP response|HTTP request to an HTTPS server`).MatchString(err.Error()) {
		return "if it speaks TLS, " + e.speak()
	}
	return ""
}

func (e endpoint) leave() string {
	if e.docker {
		return "$DOCKER_TLS_VERIFY"
	}
	return "what begins with tls in the address"
}

func (e endpoint) speak() string {
	if e.docker {
		return "set $DOCKER_TLS_VERIFY and $DOCKER_CERT_PATH"
	}
	return "say so in the address: " + e.address + "?" + authorityName + "=file&" + certName + "=file&" + keyName + "=file"
}
