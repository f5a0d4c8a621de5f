package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/internal/doctor"
)

// probe looks at the way to a server below HTTP, step by step until one fails. It is nil where something else than this machine's network
// carries the requests.
func (a *App) probe(ctx context.Context, config *rest.Config) *doctor.Network {
	if config.Transport != nil || config.Dial != nil {
		return nil
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return &doctor.Network{Host: config.Host, Resolve: &doctor.Step{Trouble: doctor.Other, Says: err.Error()}}
	}
	n := &doctor.Network{Host: base.Hostname(), Port: portOf(base), Plain: base.Scheme == "http", Unverified: config.Insecure}
	next := base
	if proxy := proxyOf(config, base); proxy != nil {
		n.Proxy, next = proxy.Host, proxy
	}
	if n.Resolve = a.resolve(ctx, n, next.Hostname()); n.Resolve.Trouble != "" {
		return n
	}
	connection, step := a.dial(ctx, net.JoinHostPort(next.Hostname(), portOf(next)))
	n.Dial = step
	if connection == nil {
		return n
	}
	defer connection.Close()
	if n.Proxy == "" && !n.Plain {
		n.Shake = a.shake(ctx, config, n.Host, connection)
	}
	return n
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

// proxyOf is the proxy that the client would use, nil where it uses none.
func proxyOf(config *rest.Config, base *url.URL) *url.URL {
	choose := config.Proxy
	if choose == nil {
		choose = http.ProxyFromEnvironment
	}
	// A proxy that cannot be understood fails the request itself, which is looked at later.
	proxy, _ := choose(&http.Request{URL: base})
	return proxy
}

func (a *App) resolve(ctx context.Context, n *doctor.Network, host string) *doctor.Step {
	if net.ParseIP(host) != nil {
		n.Addresses = []string{host}
		return &doctor.Step{}
	}
	addresses, err := bounded(ctx, a, "the address of "+host, stepTimeout, func(ctx context.Context) ([]string, error) {
		return net.DefaultResolver.LookupHost(ctx, host)
	})
	if err != nil {
		return &doctor.Step{Trouble: troubleOf(err), Says: err.Error()}
	}
	n.Addresses = addresses
	return &doctor.Step{}
}

func (a *App) dial(ctx context.Context, address string) (net.Conn, *doctor.Step) {
	connection, err := bounded(ctx, a, "a connection to "+address, stepTimeout, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	})
	if err != nil {
		return nil, &doctor.Step{Trouble: troubleOf(err), Says: err.Error()}
	}
	return connection, &doctor.Step{}
}

// shake looks at the server's certificate by itself: what is wrong with it can be told only of one that was taken.
func (a *App) shake(ctx context.Context, config *rest.Config, host string, connection net.Conn) *doctor.Step {
	// Without credentials: those of a program would be made for nothing.
	settings, err := rest.TLSConfigFor(rest.AnonymousClientConfig(config))
	if err != nil {
		return &doctor.Step{Trouble: doctor.Other, Says: err.Error()}
	}
	if settings == nil {
		settings = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	settings = settings.Clone()
	if settings.ServerName == "" {
		settings.ServerName = host
	}
	settings.InsecureSkipVerify = true //nolint:gosec // it is verified below, where the certificate is at hand
	secured := tls.Client(connection, settings)
	_, err = bounded(ctx, a, "the certificate of "+host, stepTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, secured.HandshakeContext(ctx)
	})
	if err != nil {
		return &doctor.Step{Trouble: troubleOf(err), Says: err.Error()}
	}
	step := certified(secured.ConnectionState().PeerCertificates, settings.RootCAs, settings.ServerName, a.o.Now())
	if config.Insecure {
		step.Trouble = ""
	}
	return step
}

// certified says what is wrong with a server's certificates.
func certified(chain []*x509.Certificate, roots *x509.CertPool, name string, now time.Time) *doctor.Step {
	if len(chain) == 0 {
		return &doctor.Step{Trouble: doctor.Other, Says: "it shows no certificate"}
	}
	leaf := chain[0]
	names := leaf.DNSNames
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	step := &doctor.Step{Seen: []string{
		fmt.Sprintf("it is for %s, and signed by %s", strings.Join(names, ", "), leaf.Issuer),
		"valid from " + leaf.NotBefore.UTC().Format(time.RFC3339) + " until " + leaf.NotAfter.UTC().Format(time.RFC3339),
	}}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name, CurrentTime: now})
	var stranger x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var other x509.HostnameError
	switch {
	case err == nil:
		return step
	case now.After(leaf.NotAfter):
		step.Trouble = doctor.Expired
	case now.Before(leaf.NotBefore):
		step.Trouble = doctor.NotYetValid
	case errors.As(err, &other):
		step.Trouble = doctor.WrongName
	case errors.As(err, &stranger):
		step.Trouble = doctor.UnknownIssuer
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		step.Trouble = doctor.Expired
	default:
		step.Trouble = doctor.Other
	}
	step.Says = err.Error()
	return step
}

// troubleOf classes what the network says.
func troubleOf(err error) doctor.Trouble {
	var name *net.DNSError
	var record tls.RecordHeaderError
	var network net.Error
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return doctor.NoSuchName
	case errors.As(err, &name):
		return doctor.NoResolver
	case errors.As(err, &record):
		return doctor.NotTLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return doctor.Refused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return doctor.NoRoute
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return doctor.Silent
	}
	return doctor.Other
}
