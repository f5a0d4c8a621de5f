// Package registration stands in for the ACME client that Traefik names. The local node asks no authority for
// certificates, so every call that would need one fails. It must not speak ACME.
package registration

import (
	"context"

	"github.com/go-acme/lego/v5/acme"
)

// RegisterEABOptions says how an account bound elsewhere is registered.
type RegisterEABOptions struct {
	TermsOfServiceAgreed bool
	Kid                  string
	HmacEncoded          string
}

// RegisterOptions says how an account is registered.
type RegisterOptions struct{ TermsOfServiceAgreed bool }

// Registrar registers accounts; this one never does.
type Registrar struct{}

// RegisterWithExternalAccountBinding always fails with acme.ErrLeftOut.
func (*Registrar) RegisterWithExternalAccountBinding(context.Context, RegisterEABOptions) (*acme.ExtendedAccount, error) {
	return nil, acme.ErrLeftOut
}

// Register always fails with acme.ErrLeftOut.
func (*Registrar) Register(context.Context, RegisterOptions) (*acme.ExtendedAccount, error) {
	return nil, acme.ErrLeftOut
}
