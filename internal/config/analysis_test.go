package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/metric/probe"
)

// The places in the small file where an analysis can stand: of a canary without an entry, in line 30, and of the direct strategy, in line 18.
const (
	prod = "        keepOld: 30m\n"
	dev  = "    strategy: {direct: {}}\n"
)

const server = ", prometheus: {url: http://prometheus:9090}"

func metricOf(m string) string { return "{metrics: [{name: queue, " + m + "}]" + server + "}" }

// analyzed is the small file with an analysis.
type analyzed struct {
	name, place, analysis string
	want                  []string
}

func (a analyzed) run(t *testing.T) {
	environment := ": environments.prod.analysis"
	if a.place == dev {
		environment = ": environments.dev.analysis"
	}
	c := change{name: a.name, from: a.place, to: a.place + "    analysis: " + a.analysis + "\n"}
	for _, w := range a.want {
		c.want = append(c.want, strings.Replace(w, ": analysis", environment, 1))
	}
	c.run(t)
}

func TestProblemsOfAnalysis(t *testing.T) {
	for _, a := range []analyzed{
		{"nothing", prod, "{}", nil},
		{"two lines", prod, "{errors: {max: 1%}, slower: {than: 500ms, max: 1%}}", nil},
		{"null", prod, "", []string{
			`30:5: analysis: has no value; write {} where its defaults are meant`}},
		{"a whole number as a share", prod, "{errors: {max: 1}}", []string{
			`30:30: analysis.errors.max: must be a share such as 1%, not the number 1; write 1%`}},
		{"a fraction as a share", prod, "{errors: {max: 0.01}}", []string{
			`30:30: analysis.errors.max: must be a share such as 1%, not the number 0.01; write 1%`}},
		{"a fraction in quotes as a share", prod, "{errors: {max: '0.01'}}", []string{
			`30:30: analysis.errors.max: must be a share such as 1%, not the string "0.01"; write 1%`}},
		{"zero as a share", prod, "{errors: {max: 0}}", []string{
			`30:30: analysis.errors.max: must be a share such as 1%, not the number 0`}},
		{"shares that are none", prod, "{falseAbort: 100%, effect: one percent}", []string{
			`30:28: analysis.falseAbort: "100%" is no share such as 1% or 0.1%, above 0% and below 100%`,
			`30:42: analysis.effect: "one percent" is no share such as 1% or 0.1%, above 0% and below 100%`}},
		{"a share of many digits", prod, "{effect: 1.23456789%}", []string{
			`30:24: analysis.effect: "1.23456789%" has more than six digits`}},
		{"shares out of range", prod, "{errors: {max: 95%}, slower: {than: 1s, max: 0.00001%}, falseAbort: 25%, effect: 60%}", []string{
			`30:30: analysis.errors.max: must be at least 0.0001% and at most 90%, not 95%`,
			`30:60: analysis.slower.max: must be at least 0.0001% and at most 90%, not 1e-05%`,
			`30:83: analysis.falseAbort: must be at least 0.0001% and at most 20%, not 25%`,
			`30:96: analysis.effect: must be at least 0.0001% and at most 50%, not 60%`}},
		{"codes", prod, "{errors: {codes: [5xx, \"429\", 5xx, 50x, \"600\", teapot]}}", []string{
			`30:45: analysis.errors.codes[2]: names 5xx twice; remove it`,
			`30:50: analysis.errors.codes[3]: "50x" is neither a class such as 5xx nor a code such as 429; write classes and codes, such as [5xx, "429"]`,
			`30:55: analysis.errors.codes[4]: "600" is neither a class such as 5xx nor a code such as 429; write classes and codes, such as [5xx, "429"]`,
			`30:62: analysis.errors.codes[5]: "teapot" is neither a class such as 5xx nor a code such as 429; write classes and codes, such as [5xx, "429"]`}},
		{"a code as a number", prod, "{errors: {codes: [429]}}", []string{
			`30:33: analysis.errors.codes[0]: must be a string, not the number 429; put it in quotes: "429"`}},
		{"no codes", prod, "{errors: {codes: []}}", []string{
			`30:32: analysis.errors.codes: names none; remove the key where 5xx is meant`}},
		{"no time at all", prod, "{slower: {than: 0s}}", []string{
			`30:31: analysis.slower.than: must be more than 0; write the time that is too long, such as 500ms`}},
		{"a missing time", prod, "{slower: {max: 1%}}", []string{
			`30:16: analysis.slower.than: is missing`}},
		{"words", prod, "{onNoData: waits, onSourceDown: rollback}", []string{
			`30:26: analysis.onNoData: "waits" does not say what becomes of a rollout that lacks evidence; did you mean "wait"?`,
			`30:47: analysis.onSourceDown: "rollback" does not say what becomes of a rollout that lacks evidence; did you mean "rollBack"?`}},
		{"a probe without entry", prod, "{probe: {path: /}}", []string{
			"30:16: analysis.probe: the environment has no entry through which requests could be sent; add `entry:` to the environment, with the URL at which users reach the service"}},
		{"a probe", dev, "{errors: {max: 1%}, probe: {path: calculate, rate: 51, timeout: 0s}}", []string{
			`18:49: analysis.probe.path: "calculate" is no path such as /api/calculate?number=221`,
			`18:66: analysis.probe.rate: must be more than 0 and at most 50 requests a second, not 51`,
			`18:79: analysis.probe.timeout: must be more than 0`}},
		{"a slow probe", dev, "{errors: {max: 1%}, slower: {than: 2s, max: 1%}, probe: {path: '/#a', rate: 0, timeout: 2s}}", []string{
			`18:78: analysis.probe.path: "/#a" is no path such as /api/calculate?number=221`,
			`18:91: analysis.probe.rate: must be more than 0 and at most 50 requests a second, not 0`,
			`18:103: analysis.probe.timeout: is not longer than slower.than, so that no answer could be slow; give answers more time, or remove it`}},
		{"a rate", dev, "{errors: {max: 1%}, probe: {rate: .inf}}", []string{
			`18:49: analysis.probe.rate: must be a number, not the number .inf`}},
		{"a rate in words", dev, "{errors: {max: 1%}, probe: {rate: '1'}}", []string{
			`18:49: analysis.probe.rate: must be a number, not the string "1"; write it without quotes`}},
		{"a rate of one in ten seconds", dev, "{errors: {max: 1%}, probe: {rate: 0.1}}", nil},
		{"two probes", dev, "{errors: {max: 1%}, source: {probe: {}}, probe: {}}", []string{
			`18:56: analysis.probe: means nothing beside source.probe, which counts such requests already; remove one of the two`}},
		{"direct without limits", dev, "{slower: {than: 1s}, metrics: [{name: a, prometheus: {requests: a, failed: b}}], early: true" + server + "}", []string{
			"18:5: analysis.errors.max: is missing: with the strategy direct nothing runs beside the new version that it could be compared with, so only a limit can judge it; add one, such as `max: 1%`",
			"18:16: analysis.slower.max: is missing: with the strategy direct nothing runs beside the new version that it could be compared with, so only a limit can judge it; add one, such as `max: 1%`",
			"18:46: analysis.metrics[0].max: is missing: with the strategy direct nothing runs beside the new version that it could be compared with, so only a limit can judge it; add one, such as `max: 1%`"}},
		{"direct with a limit that is none", dev, "{errors: {max: 1}}", []string{
			`18:30: analysis.errors.max: must be a share such as 1%, not the number 1; write 1%`}},
		{"direct with one", dev, "{errors: {max: 1%}, early: false}", nil},
		{"early", prod, "{early: true}", nil},
		{"a metric without a name", prod, "{metrics: [{prometheus: {query: a}, condition: '< 1'}, {name: ' ', prometheus: {query: a}, condition: '< 1'}, {name: \"a\\nb\", prometheus: {query: a}, condition: '< 1'}]" + server + "}", []string{
			`30:26: analysis.metrics[0].name: is missing`,
			`30:77: analysis.metrics[1].name: " " is no name for reports, on one line`,
			`30:132: analysis.metrics[2].name: "a\nb" is no name for reports, on one line`}},
		{"names", prod, "{metrics: [{name: errors, prometheus: {query: a}, condition: '< 1'}, {name: slower than 1s, prometheus: {query: a}, condition: '< 1'}, {name: Probe, prometheus: {query: a}, condition: '< 1'}, {name: a, prometheus: {query: a}, condition: '< 1'}, {name: a, prometheus: {query: a}, condition: '< 1'}]" + server + "}", []string{
			`30:33: analysis.metrics[0].name: "errors" is the name of a question that the analysis asks itself; choose another one`,
			`30:91: analysis.metrics[1].name: "slower than 1s" is the name of a question that the analysis asks itself; choose another one`,
			`30:157: analysis.metrics[2].name: "Probe" is the name of a question that the analysis asks itself; choose another one`,
			`30:267: analysis.metrics[4].name: another metric is called "a" too; give it a name of its own`}},
		{"no query", prod, metricOf("prometheus: {}"), []string{
			"30:40: analysis.metrics[0].prometheus: has no query; write `query:` and a `condition:` for one number, or `requests:` and `failed:` for a part of all"}},
		{"a query and counters", prod, metricOf("prometheus: {query: a, failed: b}"), []string{
			"30:40: analysis.metrics[0].prometheus: has a query for a number and one for counters; write `query:` and a `condition:` for one number, or `requests:` and `failed:` for a part of all"}},
		{"half a pair", prod, metricOf("prometheus: {failed: 'b{{.Slot}}'}"), []string{
			`30:40: analysis.metrics[0].prometheus.requests: is missing; add it: the bad part is counted by one query, and all by the other`}},
		{"a pair with a condition", prod, metricOf("prometheus: {requests: 'a{{.Slot}}', failed: 'b{{.Slot}}'}, condition: '< 1', attempts: 2"), []string{
			"30:100: analysis.metrics[0].condition: belongs to a number, and not to counters; write `max:` for a limit, or one `query:` in place of the two",
			"30:118: analysis.metrics[0].attempts: belongs to a number, and not to counters; write `max:` for a limit, or one `query:` in place of the two"}},
		{"a good pair", prod, metricOf("prometheus: {requests: 'a{{.Slot}}', failed: 'b{{.Slot}}'}, max: 5%"), nil},
		{"a number without a condition", prod, metricOf("prometheus: {query: 'histogram_quantile(0.9, rate(a{p=~\"{{.Release}}-.*\"}[1m]))'}, max: 1%, attempts: 0"), []string{
			`30:26: analysis.metrics[0].condition: is missing: nothing says which number is good; say what must hold, such as "< 100"`,
			`30:123: analysis.metrics[0].max: a number has no share that could be bad; write it as the condition`,
			`30:142: analysis.metrics[0].attempts: must be 1 or more, not 0`}},
		{"conditions", prod, "{metrics: [{name: a, prometheus: {query: a}, condition: 1}, {name: b, prometheus: {query: a}, condition: below 1}, {name: c, prometheus: {query: '{{.Pod}}'}, condition: '< 1', attempts: -1}]" + server + "}", []string{
			`30:71: analysis.metrics[0].condition: must be a string, not the number 1; put it in quotes: "1"`,
			`30:120: analysis.metrics[1].condition: "below 1" is no comparison with a number; write what must hold of the value, such as "< 0.01"; the operators are < <= > >= == !=`,
			`30:160: analysis.metrics[2].prometheus.query: the template does not work: query:1:2: executing "query" at <.Pod>: can't evaluate field Pod; known: {{.Slot}}, {{.Release}}, {{.Service}}, {{.Environment}}, {{.Namespace}}`,
			`30:201: analysis.metrics[2].attempts: must be 1 or more, not -1`}},
		{"KQL", prod, "{metrics: [{name: a, azureMonitor: {query: ' '}}, {name: b, azureMonitor: {query: 'AppRequests | where {{.Pod}}'}, condition: '== 0'}, {name: c, azureMonitor: {}, condition: '< 1'}], azureMonitor: {workspace: 11111111-2222-3333-4444-555555555555}}", []string{
			`30:26: analysis.metrics[0].condition: is missing: nothing says which number is good; say what must hold, such as "< 100"`,
			`30:58: analysis.metrics[0].azureMonitor.query: is empty`,
			`30:97: analysis.metrics[1].azureMonitor.query: the template does not work: query:1:22: executing "query" at <.Pod>: can't evaluate field Pod; known: {{.Slot}}, {{.Release}}, {{.Service}}, {{.Environment}}, {{.Namespace}}`,
			`30:160: analysis.metrics[2].azureMonitor.query: is missing`}},
		{"two kinds of a metric", prod, metricOf("prometheus: {query: a}, azureMonitor: {query: b}"), []string{
			`30:64: analysis.metrics[0]: has prometheus and azureMonitor, and needs exactly one of them; remove all but one`}},
		{"everything is asked of a number", prod, metricOf("prometheus: {query: 'max_over_time(a[5m]) > bool $x'}, condition: '!= 0'"), []string{
			`30:60: analysis.metrics[0].prometheus.query: has a $, which no query knows outside of a string; write the value: variables of Grafana are not put in`}},
		{"a fraction over one", prod, "{errors: {max: 2.5}}", []string{
			`30:30: analysis.errors.max: must be a share such as 1%, not the number 2.5; write 2.5%`}},
		{"a service's limits", dev, "{}", []string{
			"18:5: analysis.errors.max: is missing: with the strategy direct nothing runs beside the new version that it could be compared with, so only a limit can judge it; add one, such as `max: 1%`"}},
		{"an unknown key", prod, "{falseabort: 1%}", []string{
			`30:16: analysis.falseabort: unknown key; did you mean "falseAbort"?`}},
	} {
		a.run(t)
	}
}

// TestAnalysisAndStrategy has what depends on how a release takes over.
func TestAnalysisAndStrategy(t *testing.T) {
	const canary = "      canary:\n" + strategy + prod
	const blind = "; name one: prometheus or azureMonitor, or choose the router gateway or nginx"
	counted := `{source: {prometheus: {requests: 'a{{.Slot}}', failed: 'b{{.Slot}}'}}` + server + "}\n"
	for _, c := range []change{
		{"blue/green", canary, "      blueGreen: {traffic: {nginx: {}}, hold: 1m}\n    analysis: {early: true}\n", nil},
		{"early without a hold", canary, "      blueGreen: {traffic: {nginx: {}}}\n    analysis: {early: true}\n", []string{
			"27:16: environments.prod.analysis.early: means nothing: no step has a hold that could end before its time; give environments.prod.strategy.blueGreen a `hold:`, or remove it"}},
		{"early without a hold of a step", canary, "      canary: {traffic: {nginx: {}}, steps: [{weight: 0}, {weight: 100}]}\n    analysis: {early: true}\n", []string{
			"27:16: environments.prod.analysis.early: means nothing: no step has a hold that could end before its time; give a step of environments.prod.strategy.canary a `hold:`, or remove it"}},
		{"early with a hold that is none", canary, "      blueGreen: {traffic: {nginx: {}}, hold: 1}\n    analysis: {early: true}\n", []string{
			`26:47: environments.prod.strategy.blueGreen.hold: must be a string, not the number 1; put it in quotes: "1"`}},
		{"a router that tells no slots apart", canary, "      blueGreen: {traffic: {service: {}}}\n    analysis: {}\n", []string{
			"27:5: environments.prod.analysis.source: is missing: with the router service no ingress controller counts each slot by itself" + blind}},
		{"a worker", canary, "      blueGreen: {traffic: {none: {}}}\n    analysis: {}\n", []string{
			"27:5: environments.prod.analysis.source: is missing: with the router none no ingress controller counts each slot by itself" + blind}},
		{"a router that is none", canary, "      blueGreen: {traffic: {}}\n    analysis: {}\n", []string{
			"26:19: environments.prod.strategy.blueGreen.traffic: needs exactly one of gateway, nginx, service, none"}},
		{"an ingress behind the router service", canary, "      blueGreen: {traffic: {service: {}}}\n    entry: http://a\n    analysis: {source: {ingress: {}}, probe: {path: /}}\n", []string{
			"28:25: environments.prod.analysis.source.ingress: with the router service no ingress controller counts each slot by itself; take another source, prometheus or azureMonitor, or choose the router gateway or nginx",
			"28:39: environments.prod.analysis.probe: the router service knows no header that would lead a request to the new version; choose the router gateway or nginx, or remove it"}},
		{"counters behind the router service", canary, "      blueGreen: {traffic: {service: {}}}\n    analysis: " + counted, nil},
		{"one slot needs no words", dev, dev + "    analysis: {errors: {max: 1%}, source: {prometheus: {requests: a, failed: b}}" + server + "}\n", nil},
		{"gates that lend a probe no path", "      - " + gate + "\n      - helmTest: {}\n",
			"      - http: {path: /a, headers: {Accept: text/html}}\n      - http: {path: /b, expect: {status: 503}}\n    analysis: {errors: {max: 1%}, probe: {}}\n", []string{
				"21:35: environments.dev.analysis.probe: has no path, and no http gate of the environment is a plain GET that could lend it one; add `path: /…`"}},
	} {
		c.run(t)
	}
}

// TestSharesAreThoseOfTheAnalysis: what the file may say is what the analysis takes.
func TestSharesAreThoseOfTheAnalysis(t *testing.T) {
	for _, text := range []string{"0.00009%", "0.0001%", "0.1%", "20%", "20.0001%", "50%", "50.0001%", "90%", "90.0001%", "99.9999%"} {
		share, err := v1alpha1.ParseShare(text)
		if err != nil {
			t.Fatal(err)
		}
		for format, s := range map[string]analysis.Settings{
			"{falseAbort: SHARE}":    {FalseAbort: float64(share)},
			"{effect: SHARE}":        {Effect: float64(share)},
			"{errors: {max: SHARE}}": {Questions: []analysis.Question{{Name: "errors", Bad: analysis.Failed, Max: float64(share)}}},
		} {
			if s.Questions == nil {
				s.Questions = []analysis.Question{{Name: "errors", Bad: analysis.Failed}}
			}
			_, want := analysis.New(s)
			_, got := config.Load(write(t, small+"    analysis: "+strings.ReplaceAll(format, "SHARE", text)+"\n"), getenv)
			if (got == nil) != (want == nil) {
				t.Errorf("%s with %s: the file %v; the analysis %v", format, text, got, want)
			}
		}
	}
}

// TestAnalysisDefaults: a release carries all that the analysis will do, and an environment without one has none.
func TestAnalysisDefaults(t *testing.T) {
	share := func(percent float64) v1alpha1.Share { return v1alpha1.Share(percent / 100) }
	seconds := func(n int) v1alpha1.Duration { return v1alpha1.Duration(time.Duration(n) * time.Second) }
	with := func(change func(a *v1alpha1.Analysis)) *v1alpha1.Analysis {
		a := &v1alpha1.Analysis{
			Errors: &v1alpha1.ErrorsQuestion{}, Source: &v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{}},
			FalseAbort: share(0.1), Effect: share(1), OnNoData: v1alpha1.OutcomeWait, OnSourceDown: v1alpha1.OutcomeWait,
		}
		change(a)
		return a
	}
	first := &v1alpha1.Probe{Path: "/api/calculate?number=221", Rate: probe.DefaultRate, Timeout: v1alpha1.Duration(probe.DefaultTimeout)}
	for _, test := range []struct {
		name, place, analysis string
		want                  *v1alpha1.Analysis
	}{
		{"a canary without an entry", prod, "{}", with(func(*v1alpha1.Analysis) {})},
		{"direct with an entry", dev, "{errors: {max: 1%}}", with(func(a *v1alpha1.Analysis) { a.Errors.Max, a.Probe = share(1), first })},
		{"a canary with an entry and no gate", prod, "{}\n    entry: http://a", with(func(*v1alpha1.Analysis) {})},
		{"a canary with an entry and a gate", prod, "{}\n    entry: http://a\n    gates: [{http: {path: /a, method: POST}}, {http: {url: 'http://b'}}, {http: {path: /c, body: a}}, {http: {path: /d, headers: {A: b}}}, {http: {path: /e, expect: {status: 500}}}, {http: {path: /b, expect: {status: 404}}}]",
			with(func(a *v1alpha1.Analysis) { a.Probe = &v1alpha1.Probe{Path: "/b", Rate: 1, Timeout: seconds(5)} })},
		{"probes only", dev, "{errors: {max: 1%}, source: {probe: {rate: 0.5}}}", with(func(a *v1alpha1.Analysis) {
			a.Errors.Max = share(1)
			a.Source = &v1alpha1.RequestSource{Probe: &v1alpha1.Probe{Path: first.Path, Rate: 0.5, Timeout: seconds(5)}}
		})},
		{"slower than a probe may be", dev, "{errors: {max: 1%}, slower: {than: 6s, max: 1%}, probe: {path: /}}", with(func(a *v1alpha1.Analysis) {
			a.Errors.Max, a.Slower = share(1), &v1alpha1.SlowerQuestion{Than: seconds(6), Max: share(1)}
			a.Probe = &v1alpha1.Probe{Path: "/", Rate: 1, Timeout: seconds(12)}
		})},
		{"metrics", prod, metricOf("prometheus: {query: a}, condition: '< 1'"), with(func(a *v1alpha1.Analysis) {
			a.Prometheus = &v1alpha1.Prometheus{URL: "http://prometheus:9090", Delay: seconds(15)}
			a.Metrics = []v1alpha1.Metric{{Name: "queue", Prometheus: &v1alpha1.PrometheusMetric{Query: "a"}, Condition: "< 1", Attempts: 3}}
		})},
		{"only slow requests", prod, "{slower: {than: 1s}, source: {prometheus: {requests: 'a{{.Slot}}', slow: 'b{{.Slot}}'}}" + server + "}", with(func(a *v1alpha1.Analysis) {
			a.Errors, a.Slower = nil, &v1alpha1.SlowerQuestion{Than: seconds(1)}
			a.Source = &v1alpha1.RequestSource{Prometheus: &v1alpha1.PrometheusCounters{Requests: "a{{.Slot}}", Slow: "b{{.Slot}}"}}
			a.Prometheus = &v1alpha1.Prometheus{URL: "http://prometheus:9090", Delay: seconds(15)}
		})},
		{"all said", prod, "{errors: {codes: [5xx]}, falseAbort: 1%, effect: 2%, early: true, onNoData: rollBack, onSourceDown: rollBack, source: {ingress: {port: '1'}}}", with(func(a *v1alpha1.Analysis) {
			a.Errors.Codes, a.FalseAbort, a.Effect, a.Early = []string{"5xx"}, share(1), share(2), true
			a.OnNoData, a.OnSourceDown, a.Source.Ingress.Port = v1alpha1.OutcomeRollBack, v1alpha1.OutcomeRollBack, "1"
		})},
	} {
		f, err := config.Load(write(t, strings.Replace(small, test.place, test.place+"    analysis: "+test.analysis+"\n", 1)), getenv)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		got, other := f.Project.Environments["prod"].Analysis, f.Project.Environments["dev"].Analysis
		if test.place == dev {
			got, other = other, got
		}
		if diff := cmp.Diff(test.want, got); diff != "" || other != nil {
			t.Errorf("%s: (-want +got)\n%s\nthe other environment: %v", test.name, diff, other)
		}
	}
}
