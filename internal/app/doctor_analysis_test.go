package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/metric"
)

// TestSourcesAreReadOnce shows the doctor a Traefik that serves somebody else, and that counts at some limits only.
func TestSourcesAreReadOnce(t *testing.T) {
	reads := 0
	traefik := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reads++
		fmt.Fprint(w, `traefik_service_requests_total{code="200",method="GET",protocol="http",service="other-app-web-80@kubernetesingressnginx"} 7
traefik_service_request_duration_seconds_bucket{code="200",method="GET",protocol="http",service="other-app-web-80@kubernetesingressnginx",le="0.3"} 7
traefik_service_request_duration_seconds_bucket{code="200",method="GET",protocol="http",service="other-app-web-80@kubernetesingressnginx",le="+Inf"} 7
traefik_service_request_duration_seconds_count{code="200",method="GET",protocol="http",service="other-app-web-80@kubernetesingressnginx"} 7
`)
	}))
	t.Cleanup(traefik.Close)
	for name, c := range map[string]struct {
		than time.Duration
		url  string
		want string
	}{
		"nothing counted yet":    {300 * time.Millisecond, traefik.URL, "nothing: "},
		"a limit without bucket": {200 * time.Millisecond, traefik.URL, "error: count requests of app"},
		"nobody answers":         {300 * time.Millisecond, "http://127.0.0.1:1/metrics", metric.ErrDown.Error()},
	} {
		env := v1alpha1.Environment{Namespace: "shop", Strategy: v1alpha1.Strategy{Canary: &v1alpha1.Canary{}}, Analysis: &v1alpha1.Analysis{
			Slower: &v1alpha1.SlowerQuestion{Than: v1alpha1.Duration(c.than)},
			Source: &v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{URLs: []string{c.url}}},
		}}
		e := examiner{App: New(Options{LookupEnv: func(string) (string, bool) { return "", false }}), environment: "prod", config: &rest.Config{Host: "https://cluster"}, limit: time.Second}
		found := e.sources(t.Context(), DiagnoseRequest{Services: []string{"app"}}, env)
		if len(found) != 1 {
			t.Fatalf("%s: %+v", name, found)
		}
		said := "nothing: " + found[0].Nothing
		if found[0].Err != nil {
			said = "error: " + found[0].Err.Error()
		}
		if !strings.Contains(said, c.want) || found[0].Name != "requests of app" {
			t.Errorf("%s: %s", name, said)
		}
	}
	if reads != 2 {
		t.Errorf("it was read %d times", reads)
	}
	e := examiner{}
	if found := e.sources(t.Context(), DiagnoseRequest{Services: []string{"app"}}, v1alpha1.Environment{}); found != nil {
		t.Errorf("without an analysis: %+v", found)
	}
}
