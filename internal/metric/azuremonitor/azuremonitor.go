// Package azuremonitor counts requests that Application Insights has logged, in a Log Analytics workspace or a component; it must not choose
// the identity that reads, nor take for zero what has not arrived yet.
//
// What it reads: the table AppRequests by slot, which is told by the names of the pods (AppRoleInstance begins with the slot's Helm release,
// and not with a longer one of the same service: shop-blue-… is no pod of shop), or by an expression of one's own; sampled telemetry counts as what it stands for (ItemCount). Or one number, by any query (Query).
// Logs arrive late: a reading ends where 99 of 100 records of the last hour had arrived by now, by the service's own clock. What arrives
// later still is in the next reading, which counts again from the beginning.
package azuremonitor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/metric"
)

const (
	// publicCloud is where logs of the public cloud are queried.
	publicCloud = "https://api.loganalytics.io"
	// answerTime bounds one answer, with the token that it needs.
	answerTime = 30 * time.Second
)

// Options are what a Workspace needs.
type Options struct {
	// Workspace is the ID of a Log Analytics workspace, or the resource ID of one or of an Application Insights component, which begins
	// with /subscriptions/.
	Workspace string
	// Endpoint of the cloud. Default: https://api.loganalytics.io.
	Endpoint string
	// Credential is who reads.
	Credential azcore.TokenCredential
	// Delay is how long logs take to arrive. Default: measured, between 30 s and 15 min; 3 min where nothing was logged within the hour.
	Delay time.Duration
	// Transport sends requests. Default: Go's own client, which honours the proxy of the environment.
	Transport policy.Transporter
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// AnswerTime is how long one answer may take. Default: 30 s.
	AnswerTime time.Duration
}

// Workspace is where logs are kept.
type Workspace struct {
	o        Options
	name     string
	url      string
	pipeline runtime.Pipeline
}

// New returns a workspace. It asks nothing.
func New(o Options) (*Workspace, error) {
	const op = "prepare to query Azure Monitor"
	if o.Endpoint == "" {
		o.Endpoint = publicCloud
	}
	if o.Transport == nil {
		o.Transport = http.DefaultClient
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AnswerTime == 0 {
		o.AnswerTime = answerTime
	}
	endpoint, err := url.Parse(o.Endpoint)
	if err != nil || endpoint.Scheme != "https" || endpoint.Host == "" || strings.Trim(endpoint.Path, "/") != "" || endpoint.RawQuery != "" {
		return nil, fault.New(fault.Usage, op, "%q is no endpoint", o.Endpoint).
			WithHint("leave it out for the public cloud; others are https://api.loganalytics.us and https://api.loganalytics.azure.cn")
	}
	path, name, err := pathOf(op, o.Workspace)
	if err != nil {
		return nil, err
	}
	if o.Delay < 0 {
		return nil, fault.New(fault.Usage, op, "a delay of %s", o.Delay).WithHint("leave it out to have it measured")
	}
	base := "https://" + endpoint.Host
	w := &Workspace{o: o, name: name, url: base + "/v1" + path + "/query"}
	w.pipeline = runtime.NewPipeline("sluice", "v1", runtime.PipelineOptions{
		PerRetry: []policy.Policy{runtime.NewBearerTokenPolicy(identity.Mark(o.Credential), []string{base + "/.default"}, nil)},
	}, &policy.ClientOptions{
		Transport: o.Transport,
		// Whoever reads every few seconds asks again anyway.
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{ApplicationID: "sluice"},
	})
	return w, nil
}

func pathOf(op, workspace string) (path, name string, err error) {
	const guid = `^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`
	const resource = `(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[\w.()-]+/providers/(microsoft\.operationalinsights/workspaces|microsoft\.insights/components)/[\w.()-]+$`
	switch {
	case regexp.MustCompile(guid).MatchString(workspace):
		return "/workspaces/" + workspace, workspace, nil
	case regexp.MustCompile(resource).MatchString(workspace):
		return workspace, workspace[strings.LastIndex(workspace, "/")+1:], nil
	}
	return "", "", fault.New(fault.Usage, op, "%q is neither the ID of a workspace nor a resource ID", workspace).
		WithHint("az monitor log-analytics workspace show --query customerId, or az monitor app-insights component show --query id")
}

// Source counts the requests of one subject.
type Source struct {
	workspace *Workspace
	op        string
	subject   metric.Subject
	question  metric.Question
	// wheres are conditions by slot.
	wheres map[v1alpha1.Slot]string

	turn metric.Turn
	// since and until are of the service's clock, as it wrote them.
	since, until string
	tally        *metric.Tally
	last         map[counted]uint64
	slow         map[v1alpha1.Slot]uint64
}

type counted struct {
	slot v1alpha1.Slot
	code string
}

var _ metric.Source = (*Source)(nil)

// Source returns the counters of a subject. where is a condition in KQL that a slot's records satisfy, in which {{.Slot}}, {{.Release}} (the
// slot's Helm release), {{.Service}}, {{.Environment}} and {{.Namespace}} are put in. Default: AppRoleInstance begins with the
// slot's release and a hyphen, and with no longer release of the same service. It cannot know those of other services.
func (w *Workspace) Source(subject metric.Subject, question metric.Question, where string) (*Source, error) {
	op := "count requests of " + subject.Service + " in Azure Monitor " + w.name
	if err := question.Validate(); err != nil {
		return nil, err
	}
	s := &Source{
		workspace: w, op: op, subject: subject, question: question, wheres: map[v1alpha1.Slot]string{}, turn: metric.NewTurn(),
		last: map[counted]uint64{}, slow: map[v1alpha1.Slot]uint64{},
	}
	texts := map[string]bool{}
	for _, slot := range subject.Slots() {
		condition := where
		if condition == "" {
			condition = byPod(subject.Service, slot)
		}
		text, err := metric.Fill("the condition of a slot", condition, subject, slot)
		if err != nil {
			return nil, err
		}
		if texts[text] {
			return nil, fault.New(fault.Usage, op, "the condition is the same for both slots: %s", text).
				WithHint("put {{.Slot}} or {{.Release}} where the slots' records differ")
		}
		texts[text], s.wheres[slot] = true, text
	}
	return s, nil
}

// byPod tells a slot by its pods.
func byPod(service string, slot v1alpha1.Slot) string {
	begins := func(release string) string { return fmt.Sprintf("AppRoleInstance startswith %q", release+"-") }
	release := slot.HelmRelease(service)
	text := begins(release)
	for _, other := range v1alpha1.Slots() {
		if longer := other.HelmRelease(service); strings.HasPrefix(longer, release+"-") {
			text += " and not(" + begins(longer) + ")"
		}
	}
	return text
}

// query is what is asked: one row for each slot and code, and one without a slot that says of which moment they are.
func (s *Source) query() string {
	var q strings.Builder
	if d := s.workspace.o.Delay; d > 0 {
		fmt.Fprintf(&q, "let delay = %s * 1s;\n", strconv.FormatFloat(d.Seconds(), 'f', -1, 64))
	} else {
		q.WriteString("let measured = toscalar(AppRequests | where TimeGenerated > ago(1h) | summarize percentile((ingestion_time() - TimeGenerated) / 1s, 99));\n" +
			"let delay = iff(isnull(measured) or isnan(measured), 180.0, max_of(30.0, min_of(900.0, measured))) * 1s;\n")
	}
	if s.since == "" {
		q.WriteString("let until = now() - delay;\nlet since = until;\n")
	} else {
		// The delay differs from time to time, and what was counted stays counted.
		fmt.Fprintf(&q, "let until = max_of(now() - delay, datetime(%s));\nlet since = datetime(%s);\n", s.until, s.since)
	}
	limit := "false"
	if s.question.SlowerThan > 0 {
		limit = "DurationMs > " + strconv.FormatFloat(float64(s.question.SlowerThan)/float64(time.Millisecond), 'f', -1, 64)
	}
	q.WriteString("AppRequests\n| where TimeGenerated >= since and TimeGenerated < until\n| extend slot = case(")
	for _, slot := range s.subject.Slots() {
		fmt.Fprintf(&q, "%s, %q, ", s.wheres[slot], string(slot))
	}
	fmt.Fprintf(&q, "\"\")\n| where isnotempty(slot)\n| summarize requests = sum(ItemCount), slow = sumif(ItemCount, %s) by slot, code = tostring(ResultCode)\n", limit)
	q.WriteString("| union (print slot = \"\", code = \"\", requests = long(0), slow = long(0))\n" +
		"| project slot, code, requests, slow, since = since, until = until, behind = (now() - until) / 1s")
	return q.String()
}

// Read asks the workspace.
func (s *Source) Read(ctx context.Context) (metric.Reading, error) {
	if err := s.turn.Take(ctx); err != nil {
		return metric.Reading{}, fault.Wrap(fault.KindOf(err), s.op, err)
	}
	defer s.turn.Give()
	now := s.workspace.o.Now()
	t, cost, err := s.workspace.ask(ctx, s.query())
	if err != nil {
		return metric.Reading{}, fault.Wrap(fault.KindOf(err), s.op, err)
	}
	rows, moment, err := t.counters(s.subject.Slots())
	if err != nil {
		return metric.Reading{}, metric.Down(ctx, s.op, err).WithHint("ask the same in the portal: %s", s.query())
	}
	at := now.Add(-moment.behind)
	if s.tally == nil {
		s.tally, s.since = metric.NewTally(at, s.subject.Slots()), moment.since
	}
	s.until = moment.until
	s.take(rows)
	if len(s.last) == 0 {
		return metric.Reading{}, metric.NoData(s.op, "no request of its slots is logged since %s, as of %s ago", s.since, moment.behind.Round(time.Second)).
			WithHint("if there are some: does the application send requests to this workspace, and do the names of its pods begin with the Helm release's? Else give a condition of your own")
	}
	r := s.tally.Reading(at)
	r.Cost = cost
	return r, nil
}

// take counts what there is more than the last time.
func (s *Source) take(rows []row) {
	slow := map[v1alpha1.Slot]uint64{}
	for _, r := range rows {
		key := counted{r.slot, r.code}
		if n := s.last[key]; r.requests > n {
			s.tally.Add(r.slot, r.code, r.requests-n, s.question.Fails(r.code))
		}
		s.last[key] = max(s.last[key], r.requests)
		slow[r.slot] += r.slow
	}
	for slot, n := range slow {
		if before := s.slow[slot]; n > before {
			s.tally.AddSlow(slot, n-before)
			s.slow[slot] = n
		}
	}
}

// Query is one number by any query.
type Query struct {
	workspace *Workspace
	text      string
}

var _ metric.Valuer = (*Query)(nil)

// Query returns the value of a query in KQL for a subject's candidate, which gives one row with one column.
func (w *Workspace) Query(subject metric.Subject, text string) (*Query, error) {
	filled, err := metric.Fill("the query for a value", text, subject, subject.Candidate)
	if err == nil && strings.TrimSpace(filled) == "" {
		err = fault.New(fault.Usage, "read the query for a value", "it is empty")
	}
	return &Query{w, filled}, err
}

// Value asks for the number.
func (q *Query) Value(ctx context.Context) (metric.Value, error) {
	op := "query Azure Monitor " + q.workspace.name
	v := metric.Value{At: q.workspace.o.Now()}
	t, cost, err := q.workspace.ask(ctx, q.text)
	v.Cost = cost
	if err == nil {
		v.Number, err = t.number()
	}
	if err != nil {
		return metric.Value{}, fault.Wrap(fault.KindOf(err), op, err)
	}
	return v, nil
}
