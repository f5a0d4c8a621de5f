package keyvault

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// largest bounds an answer, of which a secret is at most 25 kB: what is cut off there cannot be read as one.
const largest = 1 << 20

// errStranger says that something answers which is no Key Vault, such as a proxy's page. What it answered is not repeated: it could be anything.
var errStranger = errors.New("what answers is not a Key Vault")

// lost is a request without an answer.
type lost struct{ err error }

func (l *lost) Error() string { return l.err.Error() }

// Unwrap returns why.
func (l *lost) Unwrap() error { return l.err }

// NonRetriable keeps the library from wrapping it.
func (l *lost) NonRetriable() {}

func (l *lost) unknownHost() bool {
	var dns *net.DNSError
	return errors.As(l.err, &dns) && dns.IsNotFound
}

func (l *lost) untrusted() bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(l.err, &certificate)
}

// whole is a transport that gives out complete answers only, and none that the library's parser of challenges would stumble over.
type whole struct{ next policy.Transporter }

func (w whole) Do(r *http.Request) (*http.Response, error) {
	response, err := w.next.Do(r)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err // the request is described by who reports this
		}
		return nil, &lost{err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, largest))
	switch {
	case err != nil:
		return nil, &lost{err}
	case response.StatusCode == http.StatusUnauthorized && !challenge(response.Header.Get("WWW-Authenticate")):
		return nil, errStranger
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// challenge says whether a header is what Key Vault asks for a token with: `Bearer authorization="https://HOST/TENANT", resource="URL"`.
// The library takes the tenant out of any other without looking.
func challenge(header string) bool {
	parameters, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		return false
	}
	for _, parameter := range strings.Fields(parameters) {
		if issuer, ok := strings.CutPrefix(parameter, "authorization="); ok {
			return strings.Count(issuer, "/") >= 3
		}
	}
	return false
}
