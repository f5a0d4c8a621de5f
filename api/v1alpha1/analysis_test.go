package v1alpha1_test

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

func TestAsksErrors(t *testing.T) {
	errors, slower := &v1alpha1.ErrorsQuestion{}, &v1alpha1.SlowerQuestion{Than: v1alpha1.Duration(time.Second)}
	counters := func(failed, slow string) *v1alpha1.RequestSource {
		return &v1alpha1.RequestSource{Prometheus: &v1alpha1.PrometheusCounters{Requests: "r", Failed: failed, Slow: slow}}
	}
	for name, test := range map[string]struct {
		spec v1alpha1.Analysis
		want bool
	}{
		"nothing is said":                      {v1alpha1.Analysis{}, true},
		"slow ones too":                        {v1alpha1.Analysis{Slower: slower}, true},
		"slow ones too, at the ingress":        {v1alpha1.Analysis{Slower: slower, Source: &v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{}}}, true},
		"both are counted":                     {v1alpha1.Analysis{Slower: slower, Source: counters("f", "s")}, true},
		"neither is counted":                   {v1alpha1.Analysis{Slower: slower, Source: counters("", "")}, true},
		"only slow ones are":                   {v1alpha1.Analysis{Slower: slower, Source: counters("", "s")}, false},
		"only slow ones are, and errors asked": {v1alpha1.Analysis{Errors: errors, Slower: slower, Source: counters("", "s")}, true},
		"only slow ones are, and nobody asks":  {v1alpha1.Analysis{Source: counters("", "s")}, true},
	} {
		if got := test.spec.AsksErrors(); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
