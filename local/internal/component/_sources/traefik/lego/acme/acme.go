// Package acme stands in for the ACME client that Traefik names. The local node asks no authority for
// certificates, so every call that would need one fails. It must not speak ACME.
package acme

import "errors"

// ErrLeftOut is the answer of every call that needs a certificate authority.
var ErrLeftOut = errors.New("ACME is left out of the local node's Traefik")

// Account is an account at a certificate authority.
type Account struct{}

// ExtendedAccount is an account and where it is found.
type ExtendedAccount struct {
	Account

	Location string
}
