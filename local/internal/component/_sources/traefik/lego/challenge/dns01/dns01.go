// Package dns01 stands in for the ACME client that Traefik names. The local node asks no authority for
// certificates, so every call that would need one fails. It must not speak ACME.
package dns01

import (
	"strings"
	"time"

	"github.com/go-acme/lego/v5/challenge"
)

// Options says which name servers are asked.
type Options struct{ RecursiveNameservers []string }

// Client would ask them.
type Client struct{}

// NewClient makes a client that asks nobody.
func NewClient(*Options) *Client { return &Client{} }

// SetDefaultClient keeps nothing.
func SetDefaultClient(*Client) {}

// CondOptions has no effect.
func CondOptions(bool, ...challenge.Option) challenge.Option { return func() {} }

// DisableAuthoritativeNssPropagationRequirement has no effect.
func DisableAuthoritativeNssPropagationRequirement() challenge.Option { return func() {} }

// DisableRecursiveNSsPropagationRequirement has no effect.
func DisableRecursiveNSsPropagationRequirement() challenge.Option { return func() {} }

// PropagationWait has no effect.
func PropagationWait(time.Duration, bool) challenge.Option { return func() {} }

// UnFqdn takes the trailing dot off a domain name.
func UnFqdn(name string) string { return strings.TrimSuffix(name, ".") }
