// Package tlsalpn01 stands in for the ACME client that Traefik names. The local node asks no authority for
// certificates, so every call that would need one fails. It must not speak ACME.
package tlsalpn01

import (
	"time"

	"github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/challenge"
)

// ACMETLS1Protocol is the protocol name of RFC 8737.
const ACMETLS1Protocol = "acme-tls/1"

// ChallengeBlocks always fails with acme.ErrLeftOut.
func ChallengeBlocks(string, string) (certificate, key []byte, err error) {
	return nil, nil, acme.ErrLeftOut
}

// SetDelay has no effect.
func SetDelay(time.Duration) challenge.Option { return func() {} }
