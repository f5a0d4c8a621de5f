// Package kubeapi speaks to the node's API server: readiness, reading objects, server-side apply. It must not know what
// is applied.
package kubeapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// ErrNotFound says that the object does not exist.
var ErrNotFound = errors.New("object does not exist")

// Client is a client of one API server.
type Client struct {
	server string
	http   *http.Client
}

const requestTimeout = 30 * time.Second

// New makes a client of server (https://host:port), which shows a certificate of ca; certificate and key are the
// client's own. All are PEM.
func New(server string, ca, certificate, key []byte) (*Client, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("client certificate for %s: %w", server, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("certificate authority of %s: no certificate in it", server)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS13},
	}
	return &Client{server: server, http: &http.Client{Transport: transport, Timeout: requestTimeout}}, nil
}

// Close gives the connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ready is nil once the API server says that it is ready.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodGet, "/readyz", "", nil)
	return err
}

// Get reads the object at path into out. ErrNotFound if there is none.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	body, err := c.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// Apply applies one object (YAML) server-side under the given field manager, taking over what others set.
func (c *Client) Apply(ctx context.Context, manager string, object []byte) error {
	path, err := pathOf(object)
	if err != nil {
		return err
	}
	query := url.Values{"fieldManager": {manager}, "force": {"true"}}
	_, err = c.do(ctx, http.MethodPatch, path+"?"+query.Encode(), "application/apply-patch+yaml", object)
	return err
}

func (c *Client) do(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	request.Header.Set("Accept", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the API server: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	switch {
	case response.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s %s: %w: %s", method, path, ErrNotFound, messageOf(answer))
	case response.StatusCode/100 != 2:
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, messageOf(answer))
	}
	return answer, nil
}

// messageOf takes the text out of a Status object, or the beginning of whatever else it is.
func messageOf(answer []byte) string {
	var status struct{ Message string }
	if json.Unmarshal(answer, &status) == nil && status.Message != "" {
		return status.Message
	}
	const most = 300
	return strings.TrimSpace(string(answer[:min(len(answer), most)]))
}

// kind is where objects of one kind are found.
type kind struct {
	plural     string
	namespaced bool
}

// kinds are those that a node is set up with.
func kinds() map[string]kind {
	return map[string]kind{
		"Namespace":                        {"namespaces", false},
		"Service":                          {"services", true},
		"EndpointSlice":                    {"endpointslices", true},
		"DaemonSet":                        {"daemonsets", true},
		"ClusterRole":                      {"clusterroles", false},
		"ClusterRoleBinding":               {"clusterrolebindings", false},
		"CustomResourceDefinition":         {"customresourcedefinitions", false},
		"IngressClass":                     {"ingressclasses", false},
		"GatewayClass":                     {"gatewayclasses", false},
		"Gateway":                          {"gateways", true},
		"StorageClass":                     {"storageclasses", false},
		"ValidatingAdmissionPolicy":        {"validatingadmissionpolicies", false},
		"ValidatingAdmissionPolicyBinding": {"validatingadmissionpolicybindings", false},
	}
}

func pathOf(object []byte) (string, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"metadata"`
	}
	if err := yaml.Unmarshal(object, &head); err != nil {
		return "", fmt.Errorf("read an object to apply: %w", err)
	}
	where, ok := kinds()[head.Kind]
	switch {
	case !ok:
		return "", fmt.Errorf("apply %s %s: kind is not one that a node is set up with", head.Kind, head.Metadata.Name)
	case head.Metadata.Name == "":
		return "", fmt.Errorf("apply a %s: it has no name", head.Kind)
	case where.namespaced == (head.Metadata.Namespace == ""):
		return "", fmt.Errorf("apply %s %s: namespace %q does not fit its kind", head.Kind, head.Metadata.Name, head.Metadata.Namespace)
	}
	path := "/apis/" + head.APIVersion
	if !strings.Contains(head.APIVersion, "/") {
		path = "/api/" + head.APIVersion
	}
	if where.namespaced {
		path += "/namespaces/" + head.Metadata.Namespace
	}
	return path + "/" + where.plural + "/" + head.Metadata.Name, nil
}
