// Package http01 stands in for the ACME client that Traefik names. The local node asks no authority for
// certificates, so every call that would need one fails. It must not speak ACME.
package http01

import (
	"time"

	"github.com/go-acme/lego/v5/challenge"
)

// PathPrefix is where RFC 8555 puts the tokens of HTTP challenges.
const PathPrefix = "/.well-known/acme-challenge/"

// SetDelay has no effect.
func SetDelay(time.Duration) challenge.Option { return func() {} }
