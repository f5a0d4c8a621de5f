package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/examples/calculator/internal/api"
)

var (
	// errBackend marks a back end that could not be reached or did not answer well: status 502.
	errBackend = errors.New("back end failed")
	// errTimeout marks a back end that did not answer in time: status 504.
	errTimeout = errors.New("back end too slow")
)

// backend asks the back end service.
type backend struct {
	url     string
	token   string        // shown with every question; empty: none
	timeout time.Duration // for one question, retry included
	kept    *http.Client  // reuses connections
	fresh   *http.Client  // opens one connection per request
}

func newBackend(baseURL, token string, timeout time.Duration) *backend {
	dialer := &net.Dialer{Timeout: time.Second}
	return &backend{
		url:     strings.TrimSuffix(baseURL, "/"),
		token:   token,
		timeout: timeout,
		kept: &http.Client{Transport: &http.Transport{
			DialContext:         dialer.DialContext,
			MaxIdleConnsPerHost: 64,
			// Shorter than the back end keeps them, so that it is never the other side that closes first.
			IdleConnTimeout: 30 * time.Second,
		}},
		fresh: &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}},
	}
}

// factors asks for the factors of a number. Errors are errBackend or errTimeout. A question changes nothing, so it is asked
// once more if the connection fails: pods come and go, and the first connection may lead to one that has just gone. The second
// one is new, because every kept connection may lead there.
func (b *backend) factors(ctx context.Context, number uint64) (api.Factors, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	response, err := b.get(ctx, b.kept, number)
	if err != nil && ctx.Err() == nil {
		response, err = b.get(ctx, b.fresh, number)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return api.Factors{}, fmt.Errorf("%w: no answer from %s within %s", errTimeout, b.url, b.timeout)
	case err != nil:
		return api.Factors{}, fmt.Errorf("%w: %w", errBackend, err)
	case response.status != http.StatusOK:
		return api.Factors{}, fmt.Errorf("%w: %s answered %d", errBackend, b.url, response.status)
	}
	var answer api.Factors
	if err := json.Unmarshal(response.body, &answer); err != nil {
		return api.Factors{}, fmt.Errorf("%w: %s answered something that is not JSON: %w", errBackend, b.url, err)
	}
	if answer.Number != number {
		return api.Factors{}, fmt.Errorf("%w: %s answered for %d when asked for %d", errBackend, b.url, answer.Number, number)
	}
	return answer, nil
}

type response struct {
	status int
	body   []byte
}

// get reads the whole answer, so that a connection lost half-way counts as lost.
func (b *backend) get(ctx context.Context, client *http.Client, number uint64) (response, error) {
	target := fmt.Sprintf("%s/factors?%s", b.url, url.Values{"number": {fmt.Sprint(number)}}.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return response{}, fmt.Errorf("ask %s: %w", b.url, err)
	}
	if b.token != "" {
		request.Header.Set("Authorization", "Bearer "+b.token)
	}
	got, err := client.Do(request)
	if err != nil {
		return response{}, err
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, 1<<20))
	if err != nil {
		return response{}, fmt.Errorf("read the answer of %s: %w", b.url, err)
	}
	return response{status: got.StatusCode, body: body}, nil
}
