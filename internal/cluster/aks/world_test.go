package aks_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/cluster/aks"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/test/arm"
)

const clusterToken = "cluster-token-0123456789"

// TestMain makes of this binary the two programs that the script needs: what they do for it is what the real ones do, which end-to-end tests run.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv("AKS_TEST_PROGRAM") {
	case "kubectl":
		err = proxyAsKubectl()
	case "helm":
		err = templateAsHelm(os.Args[len(os.Args)-1])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// proxyAsKubectl is `kubectl proxy --port=0`.
func proxyAsKubectl() error {
	text, err := os.ReadFile(os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string `json:"server"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Token string `json:"token"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return err
	}
	server, err := url.Parse(config.Clusters[0].Cluster.Server)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("Starting to serve on", listener.Addr())
	reverse := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(server)
			r.Out.Header.Set("Authorization", "Bearer "+config.Users[0].User.Token)
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true},
	}
	return http.Serve(listener, reverse)
}

// templateAsHelm is `helm template answers FOLDER`.
func templateAsHelm(folder string) error {
	chart, err := loader.Load(folder)
	if err != nil {
		return err
	}
	values, err := util.ToRenderValues(chart, nil, common.ReleaseOptions{Name: "answers"}, common.DefaultCapabilities)
	if err != nil {
		return err
	}
	files, err := engine.Render(chart, values)
	for name, text := range files {
		fmt.Printf("---\n# Source: %s\n%s\n", name, text)
	}
	return err
}

// image is a folder with the programs that a command finds.
func image(t *testing.T, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, program := range programs {
		to := filepath.Join(dir, program)
		var err error
		if program == "kubectl" || program == "helm" {
			err = os.WriteFile(to, []byte("#!/bin/sh\nAKS_TEST_PROGRAM="+program+" exec '"+os.Args[0]+"' \"$@\"\n"), 0o755)
		} else if path, found := exec.LookPath(program); found != nil {
			t.Fatal(found)
		} else {
			err = os.Symlink(path, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// still is a clock that runs only while somebody waits.
type still struct {
	mu     sync.Mutex
	now    time.Time
	waited []time.Duration
}

func newClock() *still { return &still{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (s *still) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *still) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *still) Wait(ctx context.Context, d time.Duration) error {
	s.pass(d)
	s.mu.Lock()
	s.waited = append(s.waited, d)
	s.mu.Unlock()
	return ctx.Err()
}

func (s *still) waits() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Duration(nil), s.waited...)
}

var _ variables.Clock = (*still)(nil)

// signedIn has the tokens of both servers.
type signedIn struct {
	endpoint string
	clock    variables.Clock
	mu       sync.Mutex
	asked    []string
	err      error
	// scopeErr is for tokens for the cluster only.
	scopeErr error
}

func (s *signedIn) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, o.Scopes[0])
	token := azcore.AccessToken{ExpiresOn: s.clock.Now().Add(time.Hour)}
	switch {
	case s.err != nil:
		return token, s.err
	case o.Scopes[0] == s.endpoint+"/.default":
		token.Token = arm.Token
		return token, nil
	case o.Scopes[0] == arm.ServerApplication+"/.default":
		token.Token = clusterToken
		return token, s.scopeErr
	}
	return token, errors.New("no token for " + o.Scopes[0])
}

// world is an Azure with one cluster, whose API server answers with what handler does.
type world struct {
	*arm.Server
	api        *httptest.Server
	clock      *still
	credential *signedIn
	spec       v1alpha1.AKS
	options    aks.Options
}

func newWorld(t *testing.T, api http.HandlerFunc) *world {
	t.Helper()
	if api == nil {
		api = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }
	}
	w := &world{api: httptest.NewTLSServer(api), clock: newClock()}
	t.Cleanup(w.api.Close)
	w.Server = arm.New(t, arm.Cluster{
		Server: w.api.URL, CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.api.Certificate().Raw}), Entra: true, ClusterToken: clusterToken,
	})
	w.credential = &signedIn{endpoint: w.HTTP.URL, clock: w.clock}
	w.spec = v1alpha1.AKS{Subscription: arm.Subscription, ResourceGroup: arm.Group, Name: arm.Name, RunCommand: v1alpha1.RunCommandFallback}
	w.options = aks.Options{
		Credential: w.credential, Clock: w.clock, Transport: w.HTTP.Client(), ReachTime: 200 * time.Millisecond,
		Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: w.HTTP.URL, Audience: w.HTTP.URL},
		}},
	}
	return w
}

func (w *world) finder(t *testing.T) *aks.Finder {
	t.Helper()
	f, err := aks.New(w.spec, w.options)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// away is the URL of a server whose name nobody knows.
const away = "https://shop-1a2b3c.privatelink.westeurope.azmk8s.invalid:443"
