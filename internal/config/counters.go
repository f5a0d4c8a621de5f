package config

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// source checks what counts requests.
func (c analysisCheck) source() {
	path := child(c.at, "source")
	if c.a.Source == nil {
		if router := c.blind(); router != "" && !c.positions.has(path) {
			c.reportKey(path, "name one: prometheus or azureMonitor, or choose the router gateway or nginx",
				"is missing: with the router %s no ingress controller counts each slot by itself", router)
		}
		return
	}
	switch s := c.a.Source; {
	case s.Ingress != nil:
		c.ingress(child(path, "ingress"), *s.Ingress)
	case s.Prometheus != nil:
		c.prometheusSource(child(path, "prometheus"), *s.Prometheus)
	case s.AzureMonitor != nil:
		if here := child(child(path, "azureMonitor"), "slot"); c.positions.has(here) {
			c.perSlot(here, s.AzureMonitor.Slot, "condition", map[string]string{})
		} else {
			c.podsByName(child(path, "azureMonitor"))
		}
	case s.Probe != nil:
		c.probe(child(path, "probe"), *s.Probe)
	}
}

func (c analysisCheck) ingress(path string, s v1alpha1.IngressSource) {
	if router := c.blind(); router != "" {
		c.reportKey(path, "take another source, prometheus or azureMonitor, or choose the router gateway or nginx",
			"with the router %s no ingress controller counts each slot by itself", router)
		return
	}
	urls := child(path, "urls")
	if c.positions.has(urls) && len(s.URLs) == 0 {
		c.report(urls, "remove the key where the controller's pods are to be found in the cluster", "names none")
	}
	for i, address := range s.URLs {
		c.absoluteURL(item(urls, i), address, false)
		if slices.Contains(s.URLs[:i], address) {
			c.report(item(urls, i), "remove it", "names it twice, and its requests would count twice")
		}
	}
	for _, key := range []string{"namespace", "labels", "port", "path"} {
		if here := child(path, key); c.positions.has(here) && c.positions.has(urls) {
			c.reportKey(here, "remove one of the two", "means nothing together with urls: no pod is looked for")
		}
	}
	if here := child(path, "namespace"); c.positions.has(here) {
		c.label(here, s.Namespace)
	}
	if here := child(path, "labels"); c.positions.has(here) && strings.TrimSpace(s.Labels) == "" {
		c.report(here, "write them as kubectl -l takes them, such as app=ingress", "selects nothing")
	}
	if here := child(path, "port"); c.positions.has(here) && !portOrName(s.Port) {
		c.report(here, "", "%q is neither a port between 1 and 65535 nor the name of one", s.Port)
	}
	if here := child(path, "path"); c.positions.has(here) {
		c.gatePath(here, s.Path)
	}
	c.series(child(path, "series"), s.Series)
}

func (c analysisCheck) series(path string, series []string) {
	if c.positions.has(path) && len(series) == 0 {
		c.report(path, "remove the key where they follow from the slots' routes", "names none")
	}
	seen := map[string]string{}
	for i, text := range series {
		c.perSlot(item(path, i), text, "series", seen)
	}
}

// podsByName finds services whose pods' names begin as those of another one do, which Azure Monitor tells apart by nothing else.
func (c analysisCheck) podsByName(path string) {
	slots, services := c.slots(), sorted(c.file.Project.Services)
	for _, service := range services {
		for _, other := range services {
			for _, slot := range slots {
				release, longer := slot.HelmRelease(service), slot.HelmRelease(other)
				if service == other || !strings.HasPrefix(longer, release+"-") {
					continue
				}
				c.reportKey(path, "add `slot:` with a condition that tells them apart, such as 'AppRoleName == \"{{.Release}}\"'",
					"tells the services' requests by the names of their pods, and those of %s begin as those of %s do, with %s-", other, service, release)
				return
			}
		}
	}
}

// portOrName says whether a text can be a port of a pod.
func portOrName(s string) bool {
	if n, err := strconv.Atoi(s); err == nil {
		return n >= 1 && n <= 65535
	}
	return len(s) <= 15 && regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(s)
}

func (c analysisCheck) prometheusSource(path string, p v1alpha1.PrometheusCounters) {
	failed, slow := c.positions.has(child(path, "failed")), c.positions.has(child(path, "slow"))
	c.counters(path, []counterQuery{{"requests", p.Requests}, {"failed", p.Failed}, {"slow", p.Slow}})
	if !failed && !slow {
		c.reportKey(path, "add `failed:`, or `slow:`", "counts all requests and none that are bad")
	}
	if slower := child(c.at, "slower"); c.a.Slower != nil && !slow {
		c.reportKey(slower, "add source.prometheus.slow, or remove it", "nothing counts slow requests: source.prometheus has no query for them")
	}
	if slow && !c.positions.has(child(c.at, "slower")) {
		c.reportKey(child(path, "slow"), "add `slower: {than: …}` to the analysis, or remove it", "nothing asks for slow requests")
	}
	if c.a.Errors != nil && slow && !failed {
		c.reportKey(child(c.at, "errors"), "add source.prometheus.failed, or remove it", "nothing counts failed requests: source.prometheus has no query for them")
	}
}

type counterQuery struct{ key, text string }

// counters checks queries for raw counters, which differ from slot to slot and from each other.
func (c analysisCheck) counters(path string, queries []counterQuery) {
	seen := map[string]string{}
	for _, q := range queries {
		here := child(path, q.key)
		if !c.positions.has(here) {
			continue
		}
		bare, ok := c.promQL(here, q.text)
		if !ok {
			continue
		}
		if f := regexp.MustCompile(`\b(rate|irate|increase|delta|idelta|deriv)\s*\(`).FindStringSubmatch(bare); f != nil {
			c.report(here, "ask for the counter as it is: what it grows by is found out here", "%s() makes a number that is no counter any more", f[1])
			continue
		}
		c.perSlot(here, q.text, "query", seen)
	}
}

// promQL checks what can be known of a query without a Prometheus, and returns it without its strings.
func (c analysisCheck) promQL(path, text string) (string, bool) {
	filled, ok := c.filled(path, text, v1alpha1.SlotBlue)
	if !ok {
		return "", false
	}
	bare, why := bareQuery(filled)
	switch {
	case why != "":
		c.report(path, "try the query in the server's own page", "%s", why)
	case strings.Contains(bare, "$"):
		c.report(path, "write the value: variables of Grafana are not put in", "has a $, which no query knows outside of a string")
	case strings.HasSuffix(strings.TrimSpace(bare), "]"):
		c.report(path, "leave out the range in brackets", "gives the samples of a range, and not those of one moment")
	default:
		return bare, true
	}
	return "", false
}

// bareQuery is a query in PromQL without its strings and comments, or why it is none.
func bareQuery(text string) (bare, why string) {
	const apart = "(?s)\"(\\\\.|[^\"\\\\])*\"|'(\\\\.|[^'\\\\])*'|`[^`]*`|#[^\n]*"
	bare = regexp.MustCompile(apart).ReplaceAllString(text, "")
	if at := strings.IndexAny(bare, "\"'`"); at >= 0 {
		return "", "has a " + bare[at:at+1] + " that is not closed"
	}
	open := ""
	for _, r := range bare {
		switch r {
		case '(', '{', '[':
			open += map[rune]string{'(': ")", '{': "}", '[': "]"}[r]
		case ')', '}', ']':
			rest, closes := strings.CutSuffix(open, string(r))
			if !closes {
				return "", "has a " + string(r) + " that closes nothing"
			}
			open = rest
		}
	}
	if open != "" {
		return "", "lacks a " + open[len(open)-1:]
	}
	return bare, ""
}

// perSlot checks that a text names something else for each slot, and what nothing in seen names.
func (c analysisCheck) perSlot(path, text, what string, seen map[string]string) {
	for _, slot := range c.slots() {
		text, ok := c.filled(path, text, slot)
		switch other := seen[text]; {
		case !ok:
			return
		case other == path:
			c.report(path, "put {{.Slot}} or {{.Release}} where they differ", "is the same %s for both slots", what)
			return
		case other != "":
			c.report(path, "remove it, or correct it", "is the same %s as %s", what, strings.TrimPrefix(other, c.at+"."))
			return
		}
		seen[text] = path
	}
}

// slots are those of the strategy.
func (c analysisCheck) slots() []v1alpha1.Slot {
	if c.direct() {
		return []v1alpha1.Slot{v1alpha1.SlotDirect}
	}
	return []v1alpha1.Slot{v1alpha1.SlotBlue, v1alpha1.SlotGreen}
}

// words are those that are put into queries.
type words struct{ Slot, Release, Service, Environment, Namespace string }

// filled is a text with the words of a slot put in.
func (c analysisCheck) filled(path, text string, slot v1alpha1.Slot) (string, bool) {
	const service, environment = "service", "environment"
	parsed, err := template.New("query").Parse(text)
	var out strings.Builder
	if err == nil {
		err = parsed.Execute(&out, words{string(slot), slot.HelmRelease(service), service, environment, c.e.Namespace})
	}
	if err != nil {
		why := strings.TrimSuffix(strings.TrimPrefix(err.Error(), "template: "), " in type config.words")
		c.report(path, "known: {{.Slot}}, {{.Release}}, {{.Service}}, {{.Environment}}, {{.Namespace}}", "the template does not work: %s", why)
		return "", false
	}
	if strings.TrimSpace(out.String()) == "" {
		c.report(path, "", "is empty")
		return "", false
	}
	return out.String(), true
}

// asked lists by server the paths of what asks it.
func (c analysisCheck) asked() map[string][]string {
	asked := map[string][]string{}
	ask := func(server, path string) { asked[server] = append(asked[server], child(path, server)) }
	if s := c.a.Source; s != nil && s.Prometheus != nil {
		ask("prometheus", child(c.at, "source"))
	}
	if s := c.a.Source; s != nil && s.AzureMonitor != nil {
		ask("azureMonitor", child(c.at, "source"))
	}
	for i, m := range c.a.Metrics {
		if m.Prometheus != nil {
			ask("prometheus", item(child(c.at, "metrics"), i))
		}
		if m.AzureMonitor != nil {
			ask("azureMonitor", item(child(c.at, "metrics"), i))
		}
	}
	return asked
}

// servers checks the places that queries are sent to: each is there if something asks it, and only then.
func (c analysisCheck) servers() {
	asked := c.asked()
	for server, example := range map[string]string{"prometheus": "url: http://…", "azureMonitor": "workspace: …"} {
		path := child(c.at, server)
		if !c.positions.has(path) {
			for _, user := range asked[server] {
				c.reportKey(user, "add `"+server+": {"+example+"}` to the analysis", "nothing says where its queries are to be sent")
			}
		} else if len(asked[server]) == 0 && !c.unread(child(c.at, "source")) && !c.unread(child(c.at, "metrics")) {
			c.reportKey(path, "use it by `source:` or in `metrics:`, or remove it", "nothing asks it")
		}
	}
	if p := c.a.Prometheus; p != nil {
		c.prometheusServer(child(c.at, "prometheus"), *p)
	}
	if m := c.a.AzureMonitor; m != nil {
		c.workspace(child(c.at, "azureMonitor"), *m)
	}
}

func (c analysisCheck) prometheusServer(path string, p v1alpha1.Prometheus) {
	if here := child(path, "url"); c.positions.has(here) {
		c.absoluteURL(here, p.URL, true)
		if strings.HasSuffix(strings.TrimRight(p.URL, "/"), "/api/v1") {
			c.report(here, "leave it out: it is added", "ends with /api/v1")
		}
	}
	if p.Token != nil && c.positions.has(child(child(path, "token"), "env")) {
		c.variable(child(child(path, "token"), "env"), p.Token.Env)
	}
	if here := child(path, "delay"); c.positions.has(here) && p.Delay == 0 {
		c.report(here, "", notZero)
	}
}

func (c analysisCheck) workspace(path string, m v1alpha1.AzureMonitor) {
	const guid = `^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`
	const resource = `(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[\w.()-]+/providers/(microsoft\.operationalinsights/workspaces|microsoft\.insights/components)/[\w.()-]+$`
	if here := child(path, "workspace"); c.positions.has(here) && !c.matches(guid, m.Workspace) && !c.matches(resource, m.Workspace) {
		c.report(here, "`az monitor log-analytics workspace show --query customerId` and `az monitor app-insights component show --query id` print them",
			"%q is neither the ID of a workspace nor the resource ID of one or of an Application Insights component", m.Workspace)
	}
	if here := child(path, "endpoint"); c.positions.has(here) {
		u, err := url.Parse(m.Endpoint)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			c.report(here, "leave it out for the public cloud; others are https://api.loganalytics.us and https://api.loganalytics.azure.cn", "%q is no endpoint", m.Endpoint)
		}
	}
	if here := child(path, "delay"); c.positions.has(here) && m.Delay == 0 {
		c.report(here, "leave it out to have it measured", notZero)
	}
}
