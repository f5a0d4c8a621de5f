package app

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/internal/fault"
)

// half is a cluster that does not tell who it is, though it tells what a namespace was pinned to.
type half struct{ patience time.Duration }

func (h *half) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/kube-system") {
		if at, ok := r.Context().Deadline(); ok {
			h.patience = time.Until(at)
		}
		return nil, fault.New(fault.Usage, "", "AZURE_AUTHORITY_HOST is no address").WithHint("leave it out")
	}
	return &http.Response{StatusCode: http.StatusOK, Request: r, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(`{"kind":"ConfigMap","apiVersion":"v1","data":{"identity":"uid-of-this-one"}}`))}, nil
}

// TestAClusterThatDoesNotSayWhoItIs is no other one than the namespace was pinned to, and nobody is told to delete the pin.
func TestAClusterThatDoesNotSayWhoItIs(t *testing.T) {
	for named, mismatch := range map[string]bool{"": false, "uid-of-this-one": false, "https://a.invalid": false, "https://b.invalid": true} {
		way, spec := &half{}, inAzure()
		spec.Identity = named
		e := examiner{App: New(Options{}), environment: "prod", spec: spec, limit: slowReach, interval: time.Second, config: &rest.Config{Host: "https://a.invalid", Transport: way}}
		var err error
		if e.client, err = kubernetes.NewForConfig(e.config); err != nil {
			t.Fatal(err)
		}
		found := e.identify(t.Context(), "shop")
		if !fault.Is(found.PinError, fault.Unreachable) || strings.Contains(found.PinError.Error(), "pinned") || fault.HintOf(found.PinError) != "leave it out" {
			t.Errorf("named %q it is %v, hint %q", named, found.PinError, fault.HintOf(found.PinError))
		}
		if mismatch != (found.Mismatch != nil) || found.Readable || found.Name != "https://a.invalid" {
			t.Errorf("named %q it is %+v", named, found)
		}
		if way.patience < time.Minute {
			t.Errorf("its answer is waited for %s", way.patience)
		}
	}
}
