package config_test

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/azuremonitor"
	"github.com/sluice-dev/sluice/internal/metric/prometheus"
)

func countersOf(requests, failed string) string {
	return "{source: {prometheus: {requests: " + requests + ", failed: " + failed + "}}" + server + "}"
}

func TestProblemsOfSources(t *testing.T) {
	for _, a := range []analyzed{
		{"two sources", prod, "{source: {ingress: {}, probe: {}}}", []string{
			`30:38: analysis.source: has ingress and probe, and needs exactly one of them; remove all but one`}},
		{"no source", prod, "{source: {}}", []string{
			`30:16: analysis.source: needs exactly one of ingress, prometheus, azureMonitor, probe`}},
		{"an unknown source", prod, "{source: {promtheus: {requests: a}}}", []string{
			`30:16: analysis.source: needs exactly one of ingress, prometheus, azureMonitor, probe`,
			`30:25: analysis.source.promtheus: unknown key; did you mean "prometheus"?`}},
		{"no server", prod, "{source: {prometheus: {requests: 'a{s=\"{{.Slot}}\"}', failed: 'b{s=\"{{.Slot}}\"}'}}, metrics: [{name: a, azureMonitor: {query: AppRequests}, condition: '< 1'}]}", []string{
			"30:25: analysis.source.prometheus: nothing says where its queries are to be sent; add `prometheus: {url: http://…}` to the analysis",
			"30:118: analysis.metrics[0].azureMonitor: nothing says where its queries are to be sent; add `azureMonitor: {workspace: …}` to the analysis"}},
		{"servers that nothing asks", prod, "{prometheus: {url: http://prometheus:9090}, azureMonitor: {workspace: 11111111-2222-3333-4444-555555555555}}", []string{
			"30:16: analysis.prometheus: nothing asks it; use it by `source:` or in `metrics:`, or remove it",
			"30:59: analysis.azureMonitor: nothing asks it; use it by `source:` or in `metrics:`, or remove it"}},
		{"addresses", prod, "{prometheus: {url: prometheus:9090, delay: 0s, token: {env: -x}}, azureMonitor: {workspace: shop, endpoint: http://a, delay: 0s}, metrics: [{name: a, azureMonitor: {query: x}, condition: '< 1'}, {name: b, prometheus: {query: x}, condition: '< 1'}]}", []string{
			`30:34: analysis.prometheus.url: "prometheus:9090" is no absolute URL such as https://calculator.example.com`,
			`30:58: analysis.prometheus.delay: must be more than 0`,
			`30:75: analysis.prometheus.token.env: is no name of an environment variable; write the variable's name, and its content where sluice runs`,
			"30:107: analysis.azureMonitor.workspace: \"shop\" is neither the ID of a workspace nor the resource ID of one or of an Application Insights component; `az monitor log-analytics workspace show --query customerId` and `az monitor app-insights component show --query id` print them",
			`30:123: analysis.azureMonitor.endpoint: "http://a" is no endpoint; leave it out for the public cloud; others are https://api.loganalytics.us and https://api.loganalytics.azure.cn`,
			`30:140: analysis.azureMonitor.delay: must be more than 0; leave it out to have it measured`}},
		{"an address too long", prod, strings.ReplaceAll(metricOf("prometheus: {query: x}, condition: '< 1'"), "9090", "9090/api/v1/"), []string{
			`30:102: analysis.prometheus.url: ends with /api/v1; leave it out: it is added`}},
		{"an address with credentials", prod, strings.ReplaceAll(metricOf("prometheus: {query: x}, condition: '< 1'"), "//", "//me:secret@"), []string{
			`30:102: analysis.prometheus.url: holds credentials, which do not belong into a file; remove them`}},
		{"good counters", prod, countersOf(`'a{s="{{.Slot}}"}'`, `'a{s="{{.Slot}}", code=~"^5..$", x!="rate(", y=~"\\"}'`), nil},
		{"summed counters", prod, countersOf(`'sum by (pod) (a{s="{{.Slot}}"})'`, `'sum(b{s="{{.Release}}"})'`), nil},
		{"rates", prod, countersOf(`'sum(rate(a{s="{{.Slot}}"}[1m]))'`, `'increase (b{s="{{.Release}}"}[1m])'`), []string{
			`30:48: analysis.source.prometheus.requests: rate() makes a number that is no counter any more; ask for the counter as it is: what it grows by is found out here`,
			`30:91: analysis.source.prometheus.failed: increase() makes a number that is no counter any more; ask for the counter as it is: what it grows by is found out here`}},
		{"the same for both slots", prod, countersOf("a", `'b{s="{{.Service}}"}'`), []string{
			`30:48: analysis.source.prometheus.requests: is the same query for both slots; put {{.Slot}} or {{.Release}} where they differ`,
			`30:59: analysis.source.prometheus.failed: is the same query for both slots; put {{.Slot}} or {{.Release}} where they differ`}},
		{"the same for two parts", prod, countersOf(`'a{s="{{.Slot}}"}'`, `'a{s="{{.Slot}}"}'`), []string{
			`30:76: analysis.source.prometheus.failed: is the same query as source.prometheus.requests; remove it, or correct it`}},
		{"unknown words", prod, countersOf(`'a{s="{{.Slots}}"}'`, `'a{s="{{.Slot}"}'`), []string{
			`30:48: analysis.source.prometheus.requests: the template does not work: query:1:7: executing "query" at <.Slots>: can't evaluate field Slots; known: {{.Slot}}, {{.Release}}, {{.Service}}, {{.Environment}}, {{.Namespace}}`,
			`30:77: analysis.source.prometheus.failed: the template does not work: query:1: bad character U+007D '}'; known: {{.Slot}}, {{.Release}}, {{.Service}}, {{.Environment}}, {{.Namespace}}`}},
		{"empty queries", prod, countersOf("''", `'{{if false}}x{{end}}'`), []string{
			`30:48: analysis.source.prometheus.requests: is empty`,
			`30:60: analysis.source.prometheus.failed: is empty`}},
		{"open queries", prod, countersOf(`'a{s="{{.Slot}}"'`, `'b{s="{{.Slot}}}'`), []string{
			`30:48: analysis.source.prometheus.requests: lacks a }; try the query in the server's own page`,
			`30:75: analysis.source.prometheus.failed: has a " that is not closed; try the query in the server's own page`}},
		{"a closed query", prod, countersOf(`'a{s="{{.Slot}}"}}'`, `'b{s="{{.Slot}}"}[1m]'`), []string{
			`30:48: analysis.source.prometheus.requests: has a } that closes nothing; try the query in the server's own page`,
			`30:77: analysis.source.prometheus.failed: gives the samples of a range, and not those of one moment; leave out the range in brackets`}},
		{"Grafana", prod, countersOf(`'a{s="{{.Slot}}"} offset $__interval'`, `'b{s="{{.Slot}}$"} # $'`), []string{
			`30:48: analysis.source.prometheus.requests: has a $, which no query knows outside of a string; write the value: variables of Grafana are not put in`}},
		{"a reference by mistake", prod, countersOf(`'a{s="${{.Slot}}"}'`, `'b{s="$${{.Slot}}"}'`), []string{
			`30:48: analysis.source.prometheus.requests: "${{.Slot}}\"}" is no reference to a variable such as ${NAME}; a literal ${ is written $${`}},
		{"nothing bad", prod, "{source: {prometheus: {requests: 'a{{.Slot}}'}}" + server + "}", []string{
			"30:25: analysis.source.prometheus: counts all requests and none that are bad; add `failed:`, or `slow:`"}},
		{"slow that nobody asks for", prod, "{source: {prometheus: {requests: 'a{{.Slot}}', failed: 'b{{.Slot}}', slow: 'c{{.Slot}}'}}" + server + "}", []string{
			"30:84: analysis.source.prometheus.slow: nothing asks for slow requests; add `slower: {than: …}` to the analysis, or remove it"}},
		{"slow that nobody counts", prod, "{slower: {than: 1s}, source: {prometheus: {requests: 'a{{.Slot}}', failed: 'b{{.Slot}}'}}" + server + "}", []string{
			`30:16: analysis.slower: nothing counts slow requests: source.prometheus has no query for them; add source.prometheus.slow, or remove it`}},
		{"errors that nobody counts", prod, "{errors: {}, slower: {than: 1s}, source: {prometheus: {requests: 'a{{.Slot}}', slow: 'c{{.Slot}}'}}" + server + "}", []string{
			`30:16: analysis.errors: nothing counts failed requests: source.prometheus has no query for them; add source.prometheus.failed, or remove it`}},
		{"slow only", prod, "{slower: {than: 1s}, source: {prometheus: {requests: 'a{{.Slot}}', slow: 'c{{.Slot}}'}}" + server + "}", nil},
		{"codes and queries", prod, "{errors: {codes: [5xx]}, source: {prometheus: {requests: 'a{{.Slot}}', failed: 'b{{.Slot}}'}}" + server + "}", []string{
			`30:25: analysis.errors.codes: means nothing here: source.prometheus.failed says itself which requests failed; remove it`}},
		{"a condition of a slot", prod, "{source: {azureMonitor: {slot: 'AppRoleName == \"{{.Service}}\"'}}, azureMonitor: {workspace: 11111111-2222-3333-4444-555555555555}}", []string{
			`30:46: analysis.source.azureMonitor.slot: is the same condition for both slots; put {{.Slot}} or {{.Release}} where they differ`}},
		{"a resource", prod, "{source: {azureMonitor: {}}, azureMonitor: {workspace: /subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/shop/providers/Microsoft.Insights/components/shop, endpoint: https://api.loganalytics.us, delay: 3m}}", nil},
		{"an ingress", prod, "{source: {ingress: {namespace: Ingress, labels: ' ', port: '0', path: metrics, series: [a, 'b{{.Slot}}', 'b{{.Slot}}', '{{.Pod}}']}}}", []string{
			`30:46: analysis.source.ingress.namespace: "Ingress" is no DNS label: lower-case letters, digits and hyphens are allowed, and it begins and ends with a letter or digit`,
			`30:63: analysis.source.ingress.labels: selects nothing; write them as kubectl -l takes them, such as app=ingress`,
			`30:74: analysis.source.ingress.port: "0" is neither a port between 1 and 65535 nor the name of one`,
			`30:85: analysis.source.ingress.path: "metrics" is no path such as /api/calculate?number=221`,
			`30:103: analysis.source.ingress.series[0]: is the same series for both slots; put {{.Slot}} or {{.Release}} where they differ`,
			`30:120: analysis.source.ingress.series[2]: is the same series as source.ingress.series[1]; remove it, or correct it`,
			`30:134: analysis.source.ingress.series[3]: the template does not work: query:1:2: executing "query" at <.Pod>: can't evaluate field Pod; known: {{.Slot}}, {{.Release}}, {{.Service}}, {{.Environment}}, {{.Namespace}}`}},
		{"an ingress by addresses", prod, "{source: {ingress: {urls: ['http://a:9100/metrics', 'http://a:9100/metrics', a], port: metrics}}}", []string{
			`30:67: analysis.source.ingress.urls[1]: names it twice, and its requests would count twice; remove it`,
			`30:92: analysis.source.ingress.urls[2]: "a" is no absolute URL such as https://calculator.example.com`,
			`30:96: analysis.source.ingress.port: means nothing together with urls: no pod is looked for; remove one of the two`}},
		{"no addresses", prod, "{source: {ingress: {urls: [], series: []}}}", []string{
			`30:41: analysis.source.ingress.urls: names none; remove the key where the controller's pods are to be found in the cluster`,
			`30:53: analysis.source.ingress.series: names none; remove the key where they follow from the slots' routes`}},
		{"a good ingress", prod, "{source: {ingress: {namespace: ingress, labels: 'app in (a, b)', port: metrics, path: /metrics, series: ['a-{{.Release}}-80']}}}", nil},
	} {
		a.run(t)
	}
}

// TestQueriesAreThoseOfPrometheus: the file takes a query exactly where what asks it would.
func TestQueriesAreThoseOfPrometheus(t *testing.T) {
	s, err := prometheus.New(prometheus.Options{URL: "http://prometheus:9090"})
	if err != nil {
		t.Fatal(err)
	}
	subject := metric.Subject{Service: "calculator", Environment: "prod", Namespace: "calculator-prod", Live: v1alpha1.SlotBlue, Candidate: v1alpha1.SlotGreen}
	for _, requests := range []string{
		`a{s="{{.Slot}}"}`, `a{s="{{.Release}}"}`, `a{s="{{.Service}}"}`, `a{s="{{.Namespace}}"}`, `a{s="{{.Environment}}{{.Slot}}"}`, `a{s="{{.Pod}}"}`, `a{s="{{slot}}"}`,
		`a{s="{{.Slot"}`, `b{{.Slot}}`, `a`, `a{s="{{if eq .Slot "blue"}}b{{else}}g{{end}}"}`, `a{s="{{.Slot.Name}}"}`, `a{s="{{printf "%s" .Slot}}"}`, `sum(a{s="{{.Slot}}"})`,
	} {
		_, want := s.Source(subject, prometheus.Queries{Requests: requests, Failed: "b{{.Slot}}"})
		_, got := config.Load(write(t, small+"    analysis: "+countersOf("'"+requests+"'", "'b{{.Slot}}'")+"\n"), getenv)
		if (got == nil) != (want == nil) {
			t.Errorf("%s: the file %v; Prometheus %v", requests, got, want)
		}
	}
}

// TestWorkspacesAreThoseOfAzureMonitor: the file takes a workspace and an endpoint exactly where what asks them would.
func TestWorkspacesAreThoseOfAzureMonitor(t *testing.T) {
	const id, component = "11111111-2222-3333-4444-555555555555", "/providers/microsoft.insights/components/"
	group := "/subscriptions/" + id + "/resourceGroups/shop.prod_(a)"
	for _, o := range []azuremonitor.Options{
		{Workspace: id}, {Workspace: id + "0"}, {Workspace: "shop"}, {Workspace: ""}, {Workspace: strings.ToUpper("a" + id[1:])},
		{Workspace: group + "/providers/Microsoft.OperationalInsights/workspaces/shop"}, {Workspace: group + component + "shop"}, {Workspace: group + component},
		{Workspace: group + component + "shop/"}, {Workspace: group + "/providers/Microsoft.Web/sites/shop"}, {Workspace: group},
		{Workspace: id, Endpoint: "https://api.loganalytics.us"}, {Workspace: id, Endpoint: "https://api.loganalytics.us/"}, {Workspace: id, Endpoint: "https://a/v1"},
		{Workspace: id, Endpoint: "http://a"}, {Workspace: id, Endpoint: "a"}, {Workspace: id, Endpoint: "https://a?b"}, {Workspace: id, Endpoint: "https://"},
	} {
		_, want := azuremonitor.New(o)
		azure := "{workspace: '" + o.Workspace + "'}"
		if o.Endpoint != "" {
			azure = "{workspace: '" + o.Workspace + "', endpoint: '" + o.Endpoint + "'}"
		}
		_, got := config.Load(write(t, small+"    analysis: {source: {azureMonitor: {}}, azureMonitor: "+azure+"}\n"), getenv)
		if (got == nil) != (want == nil) {
			t.Errorf("%+v: the file %v; Azure Monitor %v", o, got, want)
		}
	}
}

// The names of pods do not tell services apart of which one begins as the other does.
func TestPodsOfOtherServices(t *testing.T) {
	environments := small[strings.Index(small, "environments:"):]
	const workspace = "azureMonitor: {workspace: 11111111-2222-3333-4444-555555555555}"
	const alike = "; add `slot:` with a condition that tells them apart, such as 'AppRoleName == \"{{.Release}}\"'"
	for _, c := range []struct {
		name, place, service, slot string
		want                       []string
	}{
		{"direct", dev, "calculator-api", "", []string{
			"19:44: environments.dev.analysis.source.azureMonitor: tells the services' requests by the names of their pods, and those of calculator-api begin as those of calculator do, with calculator-" + alike}},
		{"direct with a condition", dev, "calculator-api", `slot: 'AppRoleName == "{{.Release}}"'`, nil},
		{"direct without a hyphen", dev, "calculators", "", nil},
		{"slots", prod, "calculator-api", "", nil},
		{"slots within slots", prod, "calculator-blue-api", "", []string{
			"31:44: environments.prod.analysis.source.azureMonitor: tells the services' requests by the names of their pods, and those of calculator-blue-api begin as those of calculator do, with calculator-blue-" + alike}},
	} {
		analysis := "    analysis: {errors: {max: 1%}, source: {azureMonitor: {" + c.slot + "}}, " + workspace + "}\n"
		change{name: c.name, from: environments, want: c.want,
			to: "  " + c.service + ": {chart: chart}\n" + strings.Replace(environments, c.place, c.place+analysis, 1)}.run(t)
	}
}
