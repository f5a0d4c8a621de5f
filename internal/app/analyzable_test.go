package app

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/store/memory"
)

// TestABadAnalysisIsToldBeforeTheFirstWrite prepares a place for rollouts that could not be judged, and for those that need not be.
func TestABadAnalysisIsToldBeforeTheFirstWrite(t *testing.T) {
	server := newRecorder(t)
	file := kubeconfig(t, server.URL)
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"status":"error","errorType":"bad_data","error":"parse error: unexpected character"}`))
	}))
	t.Cleanup(prometheus.Close)
	const nobody = "http://127.0.0.1:1"
	analysis := func(url, token string) *v1alpha1.Analysis {
		a := &v1alpha1.Analysis{
			Errors:     &v1alpha1.ErrorsQuestion{Max: 0.01},
			Prometheus: &v1alpha1.Prometheus{URL: url},
			Source:     &v1alpha1.RequestSource{Prometheus: &v1alpha1.PrometheusCounters{Requests: `r{slot="{{.Slot}}"}`, Failed: `f{slot="{{.Slot}}"}`}},
		}
		if token != "" {
			a.Prometheus.Token = &v1alpha1.MetricToken{Env: token}
		}
		return a
	}
	direct := v1alpha1.Strategy{Direct: &v1alpha1.Direct{}}
	canary := v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{{Weight: 100}}}}
	for name, test := range map[string]struct {
		strategy   v1alpha1.Strategy
		analysis   *v1alpha1.Analysis
		back       bool
		unfinished bool
		says       string
	}{
		"no token, in place":        {direct, analysis(nobody, "NO_TOKEN"), false, false, "environments.prod.analysis.prometheus.token: environment variable NO_TOKEN is not set, or empty"},
		"no token, two slots":       {canary, analysis(nobody, "NO_TOKEN"), false, false, "environments.prod.analysis.prometheus.token: environment variable NO_TOKEN is not set, or empty"},
		"a query that is none":      {direct, analysis(prometheus.URL, ""), false, false, "it does not take the query: parse error"},
		"an ingress that is no URL": {direct, &v1alpha1.Analysis{Errors: &v1alpha1.ErrorsQuestion{Max: 0.01}, Source: &v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{URLs: []string{"traefik"}}}}, false, false, "environments.prod.analysis.source.ingress: "},
		"nobody answers":            {direct, analysis(nobody, "TOKEN"), false, false, ""},
		"no analysis":               {direct, nil, false, false, ""},
		"no token on the way back":  {direct, analysis(nobody, "NO_TOKEN"), true, false, ""},
		"no token, gone on with":    {canary, analysis(nobody, "NO_TOKEN"), false, true, ""},
		"no token for a first one that nobody judges": {canary, func() *v1alpha1.Analysis {
			a := analysis(nobody, "NO_TOKEN")
			a.Errors.Max = 0
			return a
		}(), false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := New(Options{LookupEnv: func(name string) (string, bool) {
				value, ok := map[string]string{"TOKEN": "secret"}[name]
				return value, ok
			}})
			t.Cleanup(func() { _ = a.Close() })
			env := v1alpha1.Environment{Cluster: v1alpha1.Cluster{Context: "prod", Kubeconfig: file, Identity: uid}, Namespace: "shop", Strategy: test.strategy, Analysis: test.analysis}
			p, err := a.Open(t.Context(), "app", "prod", env)
			if err != nil {
				t.Fatal(err)
			}
			p.Store = memory.New(nil)
			start := rollout.Start{Key: p.Key, Ref: v1alpha1.ReleaseRef{Digest: "sha256:2"}, Environment: env, Back: test.back}
			if test.unfinished {
				digest, err := rollout.Digest(start.Ref, "prod", env, nil)
				if err != nil {
					t.Fatal(err)
				}
				r := v1alpha1.Rollout{
					APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindRollout,
					Service: "app", Environment: "prod", Namespace: "shop", Number: 1, Phase: v1alpha1.Analyzing, DeployDigest: digest,
				}
				if _, err := p.Store.Create(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			server.writes = nil
			_, err = p.Prepare(t.Context(), start)
			// The server answers what asks for rights as it does everything: it does not know it.
			wrote := slices.ContainsFunc(server.writes, func(w string) bool { return !strings.Contains(w, "/apis/auth") })
			if test.says == "" {
				if !wrote {
					t.Errorf("it was refused: %v", err)
				}
				return
			}
			if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), test.says) || !strings.HasPrefix(err.Error(), "nothing was deployed, because the analysis of prod ") || fault.HintOf(err) == "" {
				t.Errorf("it says %v (%s)", err, fault.HintOf(err))
			}
			if wrote {
				t.Errorf("it wrote %v", server.writes)
			}
		})
	}
}
