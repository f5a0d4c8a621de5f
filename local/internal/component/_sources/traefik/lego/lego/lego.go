// Package lego stands in for the ACME client that Traefik names. The local node asks no authority for
// certificates, so every call that would need one fails. It must not speak ACME.
package lego

import (
	"crypto"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/certificate"
	"github.com/go-acme/lego/v5/challenge"
	"github.com/go-acme/lego/v5/registration"
)

// DirectoryURLLetsEncrypt is the default of Traefik's configuration; nothing here calls it.
const DirectoryURLLetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// User is the owner of an account.
type User interface {
	GetEmail() string
	GetRegistration() *acme.ExtendedAccount
	GetPrivateKey() crypto.Signer
}

// Config says how a client would speak to its authority.
type Config struct {
	CADirURL    string
	UserAgent   string
	HTTPClient  *http.Client
	Certificate struct{ Timeout time.Duration }
}

// NewConfig makes an empty configuration.
func NewConfig(User) *Config { return &Config{} }

// Client is what NewClient would return.
type Client struct {
	Certificate  *certificate.Certifier
	Challenge    *Solvers
	Registration *registration.Registrar
}

// NewClient always fails with acme.ErrLeftOut.
func NewClient(*Config) (*Client, error) { return nil, acme.ErrLeftOut }

// CreateCertPool always fails with acme.ErrLeftOut.
func CreateCertPool([]string, bool) (*x509.CertPool, error) { return nil, acme.ErrLeftOut }

// Solvers answer challenges; these never do.
type Solvers struct{}

// SetDNS01Provider always fails with acme.ErrLeftOut.
func (*Solvers) SetDNS01Provider(challenge.Provider, ...challenge.Option) error {
	return acme.ErrLeftOut
}

// SetHTTP01Provider always fails with acme.ErrLeftOut.
func (*Solvers) SetHTTP01Provider(challenge.Provider, ...challenge.Option) error {
	return acme.ErrLeftOut
}

// SetTLSALPN01Provider always fails with acme.ErrLeftOut.
func (*Solvers) SetTLSALPN01Provider(challenge.Provider, ...challenge.Option) error {
	return acme.ErrLeftOut
}
