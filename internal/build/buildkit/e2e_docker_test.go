//go:build e2e

package buildkit_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session/grpchijack"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build/buildkit"
	"github.com/sluice-dev/sluice/internal/fault"
)

// dockerd does what Docker's API does on /grpc and /session, with the BuildKit of the test behind it.
func dockerd(t *testing.T, to string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	serveDocker(t, listener, to)
	return socket
}

func serveDocker(t *testing.T, listener net.Listener, to string) {
	t.Helper()
	behind, err := client.New(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = behind.Close() })
	mux := http.NewServeMux()
	mux.HandleFunc("POST /grpc", func(w http.ResponseWriter, r *http.Request) {
		network, address, _ := strings.Cut(to, "://")
		conn, err := net.Dial(network, address)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		handOver(w, r, conn)
	})
	mux.HandleFunc("POST /session", func(w http.ResponseWriter, r *http.Request) {
		meta := map[string][]string{}
		for name, values := range r.Header {
			if strings.HasPrefix(name, "X-Docker-") {
				meta[name] = values
			}
		}
		conn, err := grpchijack.Dialer(behind.ControlClient())(t.Context(), r.Header.Get("Upgrade"), meta)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		handOver(w, r, conn)
	})
	server := &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

func handOver(w http.ResponseWriter, r *http.Request, to net.Conn) {
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(to, buffered); _ = to.Close() })
	both.Go(func() { _, _ = io.Copy(conn, to); _ = conn.Close() })
	both.Wait()
}

func TestE2EDockersOwn(t *testing.T) {
	w := newWorld(t)
	w.put(t, "app/Dockerfile", multiStage)
	w.put(t, "app/greeting.txt", "through Docker "+w.registry)
	socket := dockerd(t, w.address)
	nothing := func(string) (string, bool) { return "", false }
	for name, o := range map[string]buildkit.Options{
		"its usual socket": {LookupEnv: nothing, DockerSocket: socket},
		"DOCKER_HOST": {LookupEnv: func(name string) (string, bool) {
			return "unix://" + socket, name == "DOCKER_HOST"
		}},
		"by name": {Address: "docker", LookupEnv: nothing, DockerSocket: socket},
		"the local cluster's, where Docker does not answer": {
			LookupEnv: nothing, DockerSocket: deaf(t),
			Local: func(context.Context) string { return w.address },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.builder = buildkit.New(o)
			_, index, _ := w.build(t, v1alpha1.Image{})
			if got, _, _ := files(t, image(t, index)); !strings.HasPrefix(got["greeting"], "through Docker") {
				t.Errorf("the image holds %q", got)
			}
		})
	}
	t.Run("Docker without BuildKit", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "old.sock")
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.NotFoundHandler()}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { _ = server.Close() })
		req, _ := w.request(v1alpha1.Image{})
		_, err = buildkit.New(buildkit.Options{Address: "docker", LookupEnv: nothing, DockerSocket: socket}).Build(t.Context(), req, t.TempDir())
		if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "404") || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v of kind %v", err, fault.KindOf(err))
		}
	})
}

// deaf is a socket that nobody listens on any more, as a Docker leaves it that was stopped.
func deaf(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "deaf.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return socket
}
