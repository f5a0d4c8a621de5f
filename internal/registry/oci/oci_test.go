package oci_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/test/distribution"
)

// fast keeps the retries and leaves out the waiting.
func fast() oci.Options {
	return oci.Options{
		Backoff:  remote.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 8},
		Keychain: authn.NewMultiKeychain(),
	}
}

// start runs a registry until the test ends.
func start(t *testing.T, o distribution.Options) *distribution.Server {
	t.Helper()
	server := distribution.Serve(o)
	t.Cleanup(server.Close)
	return server
}

// serve runs a registry behind a handler and returns its host.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	return start(t, distribution.Options{Fault: wrap}).Host
}

// contract runs the contract on registries of a kind.
func contract(t *testing.T, client oci.Options, o distribution.Options) {
	t.Helper()
	registrytest.Run(t, func(t *testing.T) (registrytest.Port, string) {
		return oci.New(client), start(t, o).Host + "/contract"
	})
}

func TestContract(t *testing.T) {
	for name, referrers := range map[string]bool{"with the referrers API": true, "before the referrers API": false} {
		t.Run(name, func(t *testing.T) { contract(t, fast(), distribution.Options{Referrers: referrers}) })
	}
}

func TestContractOverAnUnreliableRegistry(t *testing.T) {
	for name, fail := range map[string]http.HandlerFunc{
		"503": distribution.Answer(http.StatusServiceUnavailable), "500": distribution.Answer(http.StatusInternalServerError), "reset": distribution.Reset,
	} {
		t.Run(name, func(t *testing.T) {
			contract(t, fast(), distribution.Options{Referrers: true, Fault: distribution.Every(5, fail)})
		})
	}
}

func TestLocalhostNamesReachThisMachine(t *testing.T) {
	_, port, err := net.SplitHostPort(serve(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost:" + port, "registry.localhost:" + port, "127.0.0.1:" + port} {
		if host == "localhost:"+port || strings.HasPrefix(host, "registry") {
			skipWithoutLoopbackName(t)
		}
		ref, err := oci.New(fast()).Push(t.Context(), registrytest.Sample("x"), host+"/x", "1.0.0")
		if err != nil {
			t.Errorf("push to %s: %v", host, err)
		}
		if !strings.HasPrefix(ref, host+"/x@") {
			t.Errorf("the reference %s is not in %s", ref, host)
		}
	}
}

func skipWithoutLoopbackName(t *testing.T) {
	t.Helper()
	if _, err := net.LookupHost("localhost"); err != nil {
		t.Skipf("this machine does not know localhost: %v", err)
	}
}

func TestErrors(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	always := func(code int) string {
		return serve(t, func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		})
	}
	tests := map[string]struct {
		host string
		kind fault.Kind
		hint string
	}{
		"nothing listens":        {strings.TrimPrefix(closed.URL, "http://"), fault.Unreachable, "sluice local up"},
		"no such host":           {"registry.invalid:5000", fault.Unreachable, "right registry"},
		"credentials missing":    {always(http.StatusUnauthorized), fault.Unreachable, "docker login"},
		"credentials too weak":   {always(http.StatusForbidden), fault.Unreachable, "docker login"},
		"unavailable for good":   {always(http.StatusServiceUnavailable), fault.Unreachable, ""},
		"failing for good":       {always(http.StatusInternalServerError), fault.Transient, ""},
		"full":                   {always(http.StatusInsufficientStorage), fault.Fatal, "space"},
		"an answer that is none": {always(http.StatusTeapot), fault.Fatal, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := oci.New(fast())
			layout, _ := registrytest.WriteLayout(t, "x")
			_, pushErr := r.Push(t.Context(), registrytest.Sample("x"), tt.host+"/x", "1.0.0")
			_, layoutErr := r.PushLayout(t.Context(), layout, tt.host+"/x", "1.0.0")
			_, _, pullErr := r.Pull(t.Context(), tt.host+"/x:1.0.0")
			_, tagsErr := r.Tags(t.Context(), tt.host+"/x")
			_, baseErr := r.Descriptor(t.Context(), tt.host+"/x:1.0.0")
			for method, err := range map[string]error{
				"Push": pushErr, "PushLayout": layoutErr, "Pull": pullErr, "Tags": tagsErr, "Check": r.Check(t.Context(), tt.host+"/x"), "Descriptor": baseErr,
			} {
				switch {
				case !fault.Is(err, tt.kind):
					t.Errorf("%s gave %v of kind %v, want %v", method, err, fault.KindOf(err), tt.kind)
				case !strings.Contains(fault.HintOf(err), tt.hint):
					t.Errorf("%s: the hint %q does not speak of %q", method, fault.HintOf(err), tt.hint)
				case !strings.Contains(err.Error(), tt.host):
					t.Errorf("%s: the message %q does not name the registry", method, err)
				}
			}
		})
	}
}

func TestAnInterruptedCallSaysSo(t *testing.T) {
	host := serve(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := oci.New(fast())
	_, err := r.Push(ctx, registrytest.Sample("x"), host+"/x", "1.0.0")
	if !fault.Is(err, fault.Interrupted) || !errors.Is(err, context.Canceled) {
		t.Errorf("Push gave %v of kind %v", err, fault.KindOf(err))
	}
	if err := r.Check(ctx, host+"/x"); !fault.Is(err, fault.Interrupted) {
		t.Errorf("Check gave %v of kind %v", err, fault.KindOf(err))
	}
}

func TestPullRefusesDamagedContent(t *testing.T) {
	var damage sync.Map
	host := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			kind, _ := damage.Load("kind")
			if r.Method != http.MethodGet || kind == nil || !strings.Contains(r.URL.Path, kind.(string)) {
				next.ServeHTTP(w, r)
				return
			}
			answer := httptest.NewRecorder()
			next.ServeHTTP(answer, r)
			for k, v := range answer.Header() {
				w.Header()[k] = v
			}
			w.WriteHeader(answer.Code)
			_, _ = w.Write(bytes.ReplaceAll(answer.Body.Bytes(), []byte("second"), []byte("SECOND")))
		})
	})
	r := oci.New(fast())
	ref, err := r.Push(t.Context(), registrytest.Sample("second"), host+"/x", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"/manifests/", "/blobs/"} {
		damage.Store("kind", kind)
		if _, _, err := r.Pull(t.Context(), ref); err == nil {
			t.Errorf("damaged %s were taken", kind)
		} else if !fault.Is(err, fault.Fatal) {
			t.Errorf("damaged %s gave %v of kind %v, want fatal", kind, err, fault.KindOf(err))
		}
	}
}

func TestPullRefusesAnImageIndex(t *testing.T) {
	host := serve(t, nil)
	body := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+host+"/v2/x/manifests/1.0.0", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("the index was not taken: %s", answer.Status)
	}
	_, _, err = oci.New(fast()).Pull(t.Context(), host+"/x:1.0.0")
	if !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), "no artifact") {
		t.Errorf("got %v", err)
	}
}
