package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/metric"
)

// The ranges in which the arithmetic of internal/analysis is good, and the most requests that are sent to a slot in a second.
const (
	leastShare     = 1e-6
	mostMax        = 0.9
	mostFalseAbort = 0.2
	mostEffect     = 0.5
	mostProbes     = 50
)

// directHold is how long a version in place is watched where nothing else is said: nothing else of the direct strategy takes the time in
// which there could be evidence against it.
const directHold = 30 * time.Second

const notZero = "must be more than 0"

// analysisCheck looks at the analysis of one environment.
type analysisCheck struct {
	*validator
	// environment and at are the paths of the environment and of its analysis.
	environment, at string
	e               v1alpha1.Environment
	a               v1alpha1.Analysis
}

func (v *validator) analysis(environment string, e v1alpha1.Environment) {
	c := analysisCheck{validator: v, environment: environment, at: child(environment, "analysis"), e: e, a: *e.Analysis}
	c.questions()
	c.settings()
	c.chance()
	c.early()
	c.source()
	if c.a.Probe != nil {
		c.probe(child(c.at, "probe"), *c.a.Probe)
	}
	c.servers()
	c.metrics()
}

// direct says that the strategy has one slot: nothing runs beside the candidate.
func (c analysisCheck) direct() bool { return c.e.Strategy.Direct != nil }

// blind is the router where it cannot tell the slots apart, "" where it can, or where the file does not say which one it is.
func (c analysisCheck) blind() v1alpha1.Router {
	traffic, at := v1alpha1.Traffic{}, child(c.environment, "strategy")
	switch s := c.e.Strategy; {
	case s.Direct != nil:
		return ""
	case s.BlueGreen != nil:
		traffic, at = s.BlueGreen.Traffic, child(at, "blueGreen")
	case s.Canary != nil:
		traffic, at = s.Canary.Traffic, child(at, "canary")
	}
	router := traffic.Router()
	if byWeight(router) || !c.positions.has(child(child(at, "traffic"), string(router))) {
		return ""
	}
	return router
}

func (c analysisCheck) questions() {
	errors := child(c.at, "errors")
	var most v1alpha1.Share
	if q := c.a.Errors; q != nil {
		most = q.Max
		c.codes(child(errors, "codes"), q.Codes)
	}
	if c.a.AsksErrors() {
		c.limit(errors, most)
	}
	if q := c.a.Slower; q != nil {
		path := child(c.at, "slower")
		if than := child(path, "than"); c.positions.has(than) && q.Than == 0 {
			c.report(than, "write the time that is too long, such as 500ms", notZero)
		}
		c.limit(path, q.Max)
	}
}

// limit checks the limit of a question, without which nobody judges the candidate where nothing runs beside it.
func (c analysisCheck) limit(question string, most v1alpha1.Share) {
	path := child(question, "max")
	c.share(path, most, mostMax)
	if c.direct() && !c.positions.has(path) {
		c.reportKey(path, "add one, such as `max: 1%`",
			"is missing: with the strategy direct nothing runs beside the new version that it could be compared with, so only a limit can judge it")
	}
}

func (c analysisCheck) share(path string, s v1alpha1.Share, most v1alpha1.Share) {
	if c.positions.has(path) && (s < leastShare || s > most) {
		c.report(path, "", "must be at least %s and at most %s, not %s", v1alpha1.Share(leastShare), most, s)
	}
}

func (c analysisCheck) codes(path string, codes []string) {
	if s := c.a.Source; s != nil && s.Prometheus != nil && c.positions.has(path) {
		c.reportKey(path, "remove it", "means nothing here: source.prometheus.failed says itself which requests failed")
		return
	}
	if c.positions.has(path) && len(codes) == 0 {
		c.report(path, "remove the key where 5xx is meant", "names none")
	}
	for i, code := range codes {
		here := item(path, i)
		if (metric.Question{Failed: []string{code}}).Validate() != nil {
			c.report(here, `write classes and codes, such as [5xx, "429"]`, "%q is neither a class such as 5xx nor a code such as 429", code)
		}
		if slices.Contains(codes[:i], code) {
			c.report(here, "remove it", "names %s twice", code)
		}
	}
}

func (c analysisCheck) settings() {
	c.share(child(c.at, "falseAbort"), c.a.FalseAbort, mostFalseAbort)
	c.share(child(c.at, "effect"), c.a.Effect, mostEffect)
	known := []string{string(v1alpha1.OutcomeWait), string(v1alpha1.OutcomeRollBack)}
	for key, outcome := range map[string]v1alpha1.Outcome{"onNoData": c.a.OnNoData, "onSourceDown": c.a.OnSourceDown} {
		if path := child(c.at, key); c.positions.has(path) && !slices.Contains(known, string(outcome)) {
			c.report(path, didYouMean(string(outcome), known), "%q does not say what becomes of a rollout that lacks evidence", outcome)
		}
	}
}

// early finds that no step could end early.
func (c analysisCheck) early() {
	path, strategy := child(c.at, "early"), child(c.environment, "strategy")
	hold := false
	switch s := c.e.Strategy; {
	case !c.a.Early || c.unread(strategy):
		return
	case s.Direct != nil:
		return // it is given a hold where it has none
	case s.BlueGreen != nil:
		hold, strategy = s.BlueGreen.Hold > 0, child(strategy, "blueGreen")
	case s.Canary != nil:
		hold = slices.ContainsFunc(s.Canary.Steps, func(s v1alpha1.Step) bool { return s.Hold > 0 })
		strategy = "a step of " + child(strategy, "canary")
	}
	if !hold {
		c.reportKey(path, "give "+strategy+" a `hold:`, or remove it", "means nothing: no step has a hold that could end before its time")
	}
}

func (c analysisCheck) probe(path string, p v1alpha1.Probe) {
	if c.a.Source != nil && c.a.Source.Probe != nil && path == child(c.at, "probe") {
		c.reportKey(path, "remove one of the two", "means nothing beside source.probe, which counts such requests already")
		return
	}
	if router := c.blind(); router != "" {
		c.reportKey(path, "choose the router gateway or nginx, or remove it", "the router %s knows no header that would lead a request to the new version", router)
		return
	}
	if !c.positions.has(child(c.environment, "entry")) {
		c.reportKey(path, "add `entry:` to the environment, with the URL at which users reach the service", "the environment has no entry through which requests could be sent")
	}
	if here := child(path, "path"); c.positions.has(here) {
		c.gatePath(here, p.Path)
	} else if plainGet(c.e.Gates, c.a) == "" && !c.unread(child(c.environment, "gates")) {
		c.reportKey(path, "add `path: /…`", "has no path, and no http gate of the environment is a plain GET that could lend it one")
	}
	c.rate(child(path, "rate"), p.Rate)
	c.probeTimeout(child(path, "timeout"), p)
}

func (c analysisCheck) probeTimeout(path string, p v1alpha1.Probe) {
	switch {
	case !c.positions.has(path):
	case p.Timeout == 0:
		c.report(path, "", notZero)
	case c.a.Slower != nil && p.Timeout <= c.a.Slower.Than:
		c.report(path, "give answers more time, or remove it", "is not longer than slower.than, so that no answer could be slow")
	}
}

// plainGet is the path of the first http gate of which a request without more than its path asks the same: by GET, without headers and
// body, and answered by what is no failure. "" where there is none.
func plainGet(gates []v1alpha1.Gate, a v1alpha1.Analysis) string {
	var question metric.Question
	if a.Errors != nil {
		question.Failed = a.Errors.Codes
	}
	for _, g := range gates {
		h := g.HTTP
		if h == nil || h.Path == "" || h.Method != "" && h.Method != "GET" || len(h.Headers) > 0 || h.Body != "" {
			continue
		}
		if status := h.Expect.Status; status == 0 || !question.Fails(strconv.Itoa(status)) {
			return h.Path
		}
	}
	return ""
}

// metrics checks the questions of one's own.
func (c analysisCheck) metrics() {
	seen := map[string]bool{}
	for i, m := range c.a.Metrics {
		path := item(child(c.at, "metrics"), i)
		if name := child(path, "name"); c.positions.has(name) {
			switch {
			case strings.TrimSpace(m.Name) == "" || strings.ContainsAny(m.Name, "\r\n"):
				c.report(name, "", "%q is no name for reports, on one line", m.Name)
			case strings.EqualFold(m.Name, "errors") || strings.EqualFold(m.Name, "probe") || strings.HasPrefix(strings.ToLower(m.Name), "slower than"):
				c.report(name, "choose another one", "%q is the name of a question that the analysis asks itself", m.Name)
			case seen[m.Name]:
				c.report(name, "give it a name of its own", "another metric is called %q too", m.Name)
			}
			seen[m.Name] = true
		}
		switch {
		case m.Prometheus != nil:
			c.prometheusMetric(path, m)
		case m.AzureMonitor != nil:
			if query := child(child(path, "azureMonitor"), "query"); c.positions.has(query) {
				c.filled(query, m.AzureMonitor.Query, v1alpha1.SlotBlue)
			}
			c.condition(path, m)
		}
		if attempts := child(path, "attempts"); c.positions.has(attempts) && m.Attempts < 1 {
			c.report(attempts, "", "must be 1 or more, not %d", m.Attempts)
		}
	}
}

// prometheusMetric checks that it is either one number or a pair of counters.
func (c analysisCheck) prometheusMetric(path string, m v1alpha1.Metric) {
	here := child(path, "prometheus")
	query, pair := c.positions.has(child(here, "query")), c.positions.has(child(here, "requests")) || c.positions.has(child(here, "failed"))
	const either = "write `query:` and a `condition:` for one number, or `requests:` and `failed:` for a part of all"
	switch {
	case query && pair:
		c.reportKey(here, either, "has a query for a number and one for counters")
	case query:
		c.promQL(child(here, "query"), m.Prometheus.Query)
		c.condition(path, m)
	case !pair:
		c.reportKey(here, either, "has no query")
	default:
		c.pair(path, m)
	}
}

// pair checks a metric that says of all the part that is bad.
func (c analysisCheck) pair(path string, m v1alpha1.Metric) {
	here := child(path, "prometheus")
	for _, key := range []string{"requests", "failed"} {
		if !c.positions.has(child(here, key)) {
			c.reportKey(child(here, key), "add it: the bad part is counted by one query, and all by the other", "is missing")
		}
	}
	c.counters(here, []counterQuery{{"requests", m.Prometheus.Requests}, {"failed", m.Prometheus.Failed}})
	for _, key := range []string{"condition", "attempts"} {
		if c.positions.has(child(path, key)) {
			c.reportKey(child(path, key), "write `max:` for a limit, or one `query:` in place of the two", "belongs to a number, and not to counters")
		}
	}
	c.limit(path, m.Max)
}

// condition checks what a number must satisfy.
func (c analysisCheck) condition(path string, m v1alpha1.Metric) {
	if most := child(path, "max"); c.positions.has(most) {
		c.reportKey(most, "write it as the condition", "a number has no share that could be bad")
	}
	here := child(path, "condition")
	if !c.positions.has(here) {
		c.reportKey(here, `say what must hold, such as "< 100"`, "is missing: nothing says which number is good")
		return
	}
	if _, err := metric.ParseCondition(m.Condition); err != nil {
		c.report(here, fault.HintOf(err), "%q is no comparison with a number", m.Condition)
	}
}

// analysisDefaults writes out the defaults of an environment's analysis, if it has one. Those of its gates are written already.
func analysisDefaults(e v1alpha1.Environment) {
	a := e.Analysis
	if a == nil {
		return
	}
	if a.Errors == nil && a.AsksErrors() {
		a.Errors = &v1alpha1.ErrorsQuestion{}
	}
	orShare(&a.FalseAbort, guard.FalseAbort)
	orShare(&a.Effect, 0.01)
	orText(&a.OnNoData, v1alpha1.OutcomeWait)
	orText(&a.OnSourceDown, v1alpha1.OutcomeWait)
	if a.Source == nil && !reachedByService(e.Strategy) {
		a.Source = &v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{}}
	}
	probesDefaults(e)
	if d := e.Strategy.Direct; d != nil {
		orDuration(&d.Hold, directHold)
	}
	if a.Prometheus != nil {
		orDuration(&a.Prometheus.Delay, 15*time.Second)
	}
	for i := range a.Metrics {
		if m := &a.Metrics[i]; m.Condition != "" && m.Attempts == 0 {
			m.Attempts = 3
		}
	}
}

// probesDefaults writes out the defaults of probes, and adds them where they could be sent.
func probesDefaults(e v1alpha1.Environment) {
	a := e.Analysis
	if a.Source != nil && a.Source.Probe != nil {
		probeDefaults(a.Source.Probe, e)
	} else if a.Probe == nil && probed(e) {
		a.Probe = &v1alpha1.Probe{}
	}
	probeDefaults(a.Probe, e)
}

func probeDefaults(p *v1alpha1.Probe, e v1alpha1.Environment) {
	if p == nil {
		return
	}
	orText(&p.Path, plainGet(e.Gates, *e.Analysis))
	if p.Rate == 0 {
		p.Rate = 1
	}
	least := 5 * time.Second
	if s := e.Analysis.Slower; s != nil {
		least = max(least, 2*s.Than.D())
	}
	orDuration(&p.Timeout, least)
}

func orShare(s *v1alpha1.Share, def v1alpha1.Share) { *s = v1alpha1.Share(s.Or(float64(def))) }
