// Package certcrypto stands in for the ACME client that Traefik names. The local node asks no authority for
// certificates, so every call that would need one fails. It must not speak ACME.
package certcrypto

// KeyType is the kind of a private key.
type KeyType string

// The kinds that Traefik's configuration names.
const (
	EC256   = KeyType("P256")
	EC384   = KeyType("P384")
	RSA2048 = KeyType("2048")
	RSA4096 = KeyType("4096")
	RSA8192 = KeyType("8192")
)
