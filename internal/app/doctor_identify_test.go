package app

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	port "github.com/sluice-dev/sluice/internal/cluster"
	"github.com/sluice-dev/sluice/internal/doctor"
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

// old is a cluster that answers, but has no way to say for whom it takes a request.
type old struct{}

func (old) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := http.StatusNotFound, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`
	if r.URL.Path == "/version" {
		status, body = http.StatusOK, `{"gitVersion":"v1.27.0"}`
	}
	return &http.Response{StatusCode: status, Request: r, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// TestAStoreInAClusterThatDoesNotSayWhoAsks is looked at: only what cannot be reached is not.
func TestAStoreInAClusterThatDoesNotSayWhoAsks(t *testing.T) {
	a, spec := New(Options{LookupEnv: func(string) (string, bool) { return "", false }}), inAzure()
	a.seek(*spec.AKS).access = &port.Access{Server: "https://a.invalid", Transport: old{}}
	file := projectOf(v1alpha1.Environment{Cluster: spec, Variables: &v1alpha1.VariableStore{Kubernetes: &v1alpha1.SecretStore{}}})
	all, err := a.Diagnose(t.Context(), DiagnoseRequest{File: file, Services: []string{"app"}, Environments: []string{"prod"}})
	if err != nil {
		t.Fatal(err)
	}
	if login := all[0].Cluster.Login; login == nil || login.Trouble != doctor.NotAsked || all[0].Store == nil || all[0].Store.Blocked {
		t.Errorf("the login is %+v, the store %+v", login, all[0].Store)
	}
}
