package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

const (
	claimsPath    = "/api/v1/persistentvolumeclaims"
	volumesPath   = "/api/v1/persistentvolumes"
	provisionedBy = "pv.kubernetes.io/provisioned-by"
)

// item is what matters of a claim or a volume.
type item struct {
	Metadata struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		UID         string            `json:"uid"`
		Deleted     string            `json:"deletionTimestamp"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Class       string   `json:"storageClassName"`
		VolumeName  string   `json:"volumeName"`
		AccessModes []string `json:"accessModes"`
		Reclaim     string   `json:"persistentVolumeReclaimPolicy"`
		Resources   struct {
			Requests map[string]string `json:"requests"`
		} `json:"resources"`
		HostPath struct {
			Path string `json:"path"`
		} `json:"hostPath"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

type list struct {
	Items []item `json:"items"`
}

type client struct {
	server string
	http   *http.Client
}

func newClient(server, ca, certificate, key string) (*client, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	content, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("certificate authority: no certificate in %s", ca)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS13},
	}
	return &client{server: server, http: &http.Client{Transport: transport}}, nil
}

func (c *client) get(ctx context.Context, path string, out any) error {
	body, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	return json.NewDecoder(body).Decode(out)
}

func (c *client) send(ctx context.Context, method, path string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	body, err := c.do(ctx, method, path, content)
	if err != nil {
		return err
	}
	return body.Close()
}

// do asks the API server; the caller closes the body.
func (c *client) do(ctx context.Context, method, path string, content []byte) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.server+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		defer func() { _ = response.Body.Close() }()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 500))
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	return response.Body, nil
}
