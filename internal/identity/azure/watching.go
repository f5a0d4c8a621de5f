package azure

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// largest bounds what is read of an answer in bytes.
const largest = 1 << 20

// watching is a transport that tells what it saw, where the context asks for that.
type watching struct{ next policy.Transporter }

// Do sends a request and reads the whole answer.
func (w watching) Do(r *http.Request) (*http.Response, error) {
	seen, ok := r.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		seen = &exchange{}
	}
	*seen = exchange{host: r.URL.Host}
	response, err := w.next.Do(r)
	if err == nil {
		seen.status = response.StatusCode
		seen.body, err = io.ReadAll(io.LimitReader(response.Body, largest))
		_ = response.Body.Close()
		response.Body = io.NopCloser(bytes.NewReader(seen.body))
	}
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		*seen = exchange{host: r.URL.Host, err: err}
		return nil, err
	}
	return response, nil
}
