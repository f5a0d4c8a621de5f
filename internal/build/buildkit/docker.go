package buildkit

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/moby/buildkit/client"
)

// dockerAPI is where Docker's API is, and how TLS is spoken there, nil where it is not.
type dockerAPI struct {
	host string
	tls  *tls.Config
}

// options reach the BuildKit inside Docker: Docker's API hands over a connection to it on /grpc, and takes the build's session on
// /session.
func (d dockerAPI) options() []client.ClientOpt {
	return []client.ClientOpt{
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return d.hijack(ctx, "/grpc", "h2c", nil)
		}),
		client.WithSessionDialer(func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
			return d.hijack(ctx, "/session", proto, meta)
		}),
	}
}

// hijack asks Docker's API to hand a connection over.
func (d dockerAPI) hijack(ctx context.Context, path, proto string, meta map[string][]string) (net.Conn, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	// A context that ends while the answer is awaited ends the wait.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	handed, err := upgrade(ctx, conn, path, proto, meta)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return handed, nil
}

func (d dockerAPI) dial(ctx context.Context) (net.Conn, error) {
	network, address, _ := strings.Cut(d.host, "://")
	if d.tls != nil {
		dialer := tls.Dialer{Config: d.tls}
		return dialer.DialContext(ctx, network, address)
	}
	dialer := net.Dialer{}
	return dialer.DialContext(ctx, network, address)
}

func upgrade(ctx context.Context, conn net.Conn, path, proto string, meta map[string][]string) (net.Conn, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://docker"+path, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range meta {
		for _, value := range values {
			request.Header.Add(name, value)
		}
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", proto)
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 500))
		_ = response.Body.Close()
		return nil, fmt.Errorf("Docker's API answers %s with %s: %s", path, response.Status, strings.TrimSpace(string(text)))
	}
	return &handedOver{Conn: conn, reader: reader}, nil
}

// handedOver is a connection of which some bytes may have been read ahead.
type handedOver struct {
	net.Conn
	reader *bufio.Reader
}

func (h *handedOver) Read(p []byte) (int, error) { return h.reader.Read(p) }
