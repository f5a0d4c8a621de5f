package aks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	armpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm/policy"
	armruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/variables"
)

// apiVersion is the version of Microsoft.ContainerService's API that is spoken.
const apiVersion = "2025-10-01"

// largest bounds an answer: Azure Resource Manager's are smaller.
const largest = 16 << 20

// manager speaks to Azure Resource Manager about one cluster.
type manager struct {
	spec     v1alpha1.AKS
	endpoint *url.URL
	pipeline runtime.Pipeline
	clock    variables.Clock
}

func newManager(spec v1alpha1.AKS, o Options) (*manager, error) {
	op := "AKS cluster " + spec.Name
	if len(o.Cloud.Services) == 0 {
		o.Cloud = cloud.AzurePublic
	}
	endpoint, err := url.Parse(o.Cloud.Services[cloud.ResourceManager].Endpoint)
	if err != nil || endpoint.Scheme != "https" || endpoint.Host == "" {
		return nil, fault.New(fault.Usage, op, "%q is no https URL of Azure Resource Manager", o.Cloud.Services[cloud.ResourceManager].Endpoint)
	}
	if o.Transport == nil {
		o.Transport = http.DefaultClient
	}
	// The library would wait by the machine's clock, and as often and as long as it likes.
	pipeline, err := armruntime.NewPipeline("sluice", "v0.0.0", identity.Mark(o.Credential), runtime.PipelineOptions{}, &armpolicy.ClientOptions{
		ClientOptions: policy.ClientOptions{
			Cloud: o.Cloud, Transport: whole{o.Transport}, Retry: policy.RetryOptions{MaxRetries: -1}, Telemetry: policy.TelemetryOptions{Disabled: true},
		},
		DisableRPRegistration: true,
	})
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	return &manager{spec: spec, endpoint: endpoint, pipeline: pipeline, clock: o.Clock}, nil
}

// answer is one of Azure Resource Manager's.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// read asks for the cluster, or for what lies below it.
func (m *manager) read(ctx context.Context, below string, into any) error {
	return m.patiently(ctx, http.MethodGet, m.url(below), nil, into)
}

// post is an action that changes nothing, so that it may be asked for again.
func (m *manager) post(ctx context.Context, action string, body, into any) error {
	return m.patiently(ctx, http.MethodPost, m.url(action), body, into)
}

func (m *manager) patiently(ctx context.Context, method, to string, body, into any) error {
	return variables.Patiently(ctx, m.clock, func(ctx context.Context) error {
		a, err := m.send(ctx, method, to, body)
		if err != nil {
			return m.unanswered(ctx, err, true)
		}
		if a.status != http.StatusOK {
			return m.refused(a, true)
		}
		if json.Unmarshal(a.body, into) != nil {
			return m.stranger(errors.New("it is no JSON of the form that is documented"))
		}
		return nil
	})
}

func (m *manager) url(below string) string {
	u := *m.endpoint
	u.Path = strings.TrimRight(u.Path, "/") + m.spec.ID() + below
	u.RawQuery = "api-version=" + apiVersion
	return u.String()
}

// send makes one attempt.
func (m *manager) send(ctx context.Context, method, to string, body any) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	request, err := runtime.NewRequest(ctx, method, to)
	if err != nil {
		return nil, err
	}
	if body != nil {
		if err := runtime.MarshalAsJSON(request, body); err != nil {
			return nil, err
		}
	}
	request.Raw().Header.Set("Accept", "application/json")
	request.Raw().Header.Set("User-Agent", "sluice")
	response, err := m.pipeline.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return &answer{response.StatusCode, response.Header, text}, err
}

// lost is a request without an answer.
type lost struct{ err error }

func (l *lost) Error() string { return l.err.Error() }

// Unwrap returns why.
func (l *lost) Unwrap() error { return l.err }

// NonRetriable keeps the library from wrapping it.
func (l *lost) NonRetriable() {}

// whole is a transport that gives out complete answers only.
type whole struct{ next policy.Transporter }

func (w whole) Do(r *http.Request) (*http.Response, error) {
	response, err := w.next.Do(r)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return nil, &lost{err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, largest))
	if err != nil {
		return nil, &lost{err}
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}
