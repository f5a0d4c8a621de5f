package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
)

// Replica is one process whose metrics are read.
type Replica struct {
	Name string
	// Open asks for them.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// accept asks for the text format, which all of the controllers have.
const accept = "text/plain;version=0.0.4;q=1,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"

type urls struct {
	all    []string
	client *http.Client
}

// URLs finds metrics under addresses, one for each replica. The client is asked without following redirects; default: http.DefaultTransport.
func URLs(transport http.RoundTripper, addresses ...string) (Finder, error) {
	if len(addresses) == 0 {
		return nil, fault.New(fault.Usage, "find the ingress controller's metrics", "no URL is named")
	}
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fault.New(fault.Usage, "find the ingress controller's metrics", "%q is no URL of http or https", address).
				WithHint("name the whole URL, such as http://traefik.example.com:9100/metrics")
		}
	}
	return urls{slices.Clone(addresses), &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (u urls) String() string {
	var names []string
	for _, address := range u.all {
		names = append(names, plain(address))
	}
	return strings.Join(names, ", ")
}

// plain is an address without a password.
func plain(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address"
	}
	return u.Redacted()
}

func (u urls) Find(context.Context, bool) ([]Replica, metric.Cost, error) {
	var all []Replica
	for _, address := range u.all {
		all = append(all, Replica{Name: plain(address), Open: func(ctx context.Context) (io.ReadCloser, error) { return u.open(ctx, address) }})
	}
	return all, metric.Cost{}, nil
}

func (u urls) open(ctx context.Context, address string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	response, err := u.client.Do(request)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err // the address is named by who reports this
		}
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("it answered %s", response.Status)
	}
	return response.Body, nil
}
