// Package dns stands in for the ACME client that Traefik names. The local node asks no authority for
// certificates, so every call that would need one fails. It must not speak ACME.
package dns

import (
	"github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/challenge"
)

// NewDNSChallengeProviderByName always fails with acme.ErrLeftOut.
func NewDNSChallengeProviderByName(string) (challenge.Provider, error) { return nil, acme.ErrLeftOut }
