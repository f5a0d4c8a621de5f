package v1alpha1

import (
	"encoding/json"
	"time"
)

// Analysis judges the requests of the new version against those of the live one, at the same time. Its zero value asks whether more of
// them fail.
type Analysis struct {
	// Errors asks for failed requests. Default: asked, without a limit; not asked where source.prometheus counts only slow ones.
	Errors *ErrorsQuestion `json:"errors,omitempty"`
	// Slower asks for slow requests. Default: not asked.
	Slower *SlowerQuestion `json:"slower,omitempty"`
	// Source counts requests. Default: the ingress controller's own metrics, which is possible with direct and the routers gateway and nginx.
	Source *RequestSource `json:"source,omitempty"`
	// Probe sends requests of Sluice's own where those of users are too few to tell. Default: the path of the environment's first http
	// gate that is a plain GET, once a second; where there is none, or no header leads to the candidate, no request is sent.
	Probe *Probe `json:"probe,omitempty"`
	// Prometheus is the server that queries of source and metrics are sent to.
	Prometheus *Prometheus `json:"prometheus,omitempty"`
	// AzureMonitor is the workspace that queries of source and metrics are sent to.
	AzureMonitor *AzureMonitor `json:"azureMonitor,omitempty"`
	// Metrics of one's own.
	Metrics []Metric `json:"metrics,omitempty"`
	// FalseAbort is the chance that a rollout of a version that is no worse is taken back, by all questions together. Default 0.1%.
	FalseAbort Share `json:"falseAbort,omitempty"`
	// Effect is the smallest difference between the shares of bad requests that is worth acting on. Default 1%.
	Effect Share `json:"effect,omitempty"`
	// Early lets a step end before its hold is over, once there is evidence that the version is not worse by the effect. Default false.
	Early bool `json:"early,omitempty"`
	// OnNoData says what happens where there is not enough evidence when a step's hold and the environment's timeout are over: wait ends
	// the command with exit code 6 and leaves the traffic where it is, rollBack takes the version back. It is never passed. Default wait.
	OnNoData Outcome `json:"onNoData,omitempty"`
	// OnSourceDown says the same for sources that cannot be read. Default wait.
	OnSourceDown Outcome `json:"onSourceDown,omitempty"`
}

// AsksErrors says whether failed requests are asked for: always, but where only slow ones are, and only those are counted.
func (a Analysis) AsksErrors() bool {
	if a.Errors != nil || a.Slower == nil || a.Source == nil || a.Source.Prometheus == nil {
		return true
	}
	return a.Source.Prometheus.Failed != "" || a.Source.Prometheus.Slow == ""
}

// Outcome says what becomes of a rollout that lacks evidence.
type Outcome string

// The outcomes.
const (
	OutcomeWait     Outcome = "wait"
	OutcomeRollBack Outcome = "rollBack"
)

// ErrorsQuestion asks which requests fail.
type ErrorsQuestion struct {
	// Max is the share of requests that may fail, whatever the live version does. Default: no limit.
	Max Share `json:"max,omitempty"`
	// Codes that count as failed: classes such as 5xx, codes such as 429. Queries of one's own say so themselves. Default: 5xx.
	Codes []string `json:"codes,omitempty"`
}

// SlowerQuestion asks which requests are slow.
type SlowerQuestion struct {
	// Than is the time that a slow request exceeds. The ingress controller must count at exactly this limit; Traefik does by default at
	// 100ms, 300ms, 1.2s and 5s.
	Than Duration `json:"than"`
	// Max is the share of requests that may be slow, whatever the live version does. Default: no limit.
	Max Share `json:"max,omitempty"`
}

// RequestSource counts the requests of both slots. Exactly one member is set.
type RequestSource struct {
	// Ingress reads the metrics of the ingress controller's own processes, every second.
	Ingress *IngressSource `json:"ingress,omitempty"`
	// Prometheus asks a Prometheus for counters.
	Prometheus *PrometheusCounters `json:"prometheus,omitempty"`
	// AzureMonitor asks Application Insights for requests.
	AzureMonitor *AzureRequests `json:"azureMonitor,omitempty"`
	// Probe counts requests of Sluice's own only.
	Probe *Probe `json:"probe,omitempty"`
}

// IngressSource says where Traefik, ingress-nginx or Envoy shows its metrics. Default: its pods are found by the labels that its chart
// gives them, or else its Service, and read through the API server.
type IngressSource struct {
	// URLs of the metrics, one for each replica, instead of looking for them in the cluster.
	URLs []string `json:"urls,omitempty"`
	// Namespace of the pods. Default: all.
	Namespace string `json:"namespace,omitempty"`
	// Labels that select the pods, as kubectl -l takes them. Default: app.kubernetes.io/name is traefik or ingress-nginx.
	Labels string `json:"labels,omitempty"`
	// Port of the metrics, a number or a name. Default: the one named metrics, else 10254 for ingress-nginx, 9100 for Traefik, 9901 for others.
	Port string `json:"port,omitempty"`
	// Path of the metrics. Default: /metrics; /stats/prometheus for others than Traefik and ingress-nginx.
	Path string `json:"path,omitempty"`
	// Series names what is counted for a slot, where the names cannot be derived from its routes: services of Traefik, backends of
	// ingress-nginx (NAMESPACE-SERVICE-PORT), clusters of Envoy. {{.Slot}}, {{.Release}}, {{.Service}}, {{.Environment}} and
	// {{.Namespace}} are put in.
	Series []string `json:"series,omitempty"`
}

// PrometheusCounters are instant queries for raw counters of a slot, without rate() and without sum(). {{.Slot}}, {{.Release}} (the slot's
// Helm release), {{.Service}}, {{.Environment}} and {{.Namespace}} are put in.
type PrometheusCounters struct {
	// Requests counts all of them.
	Requests string `json:"requests"`
	// Failed counts those of them that failed.
	Failed string `json:"failed,omitempty"`
	// Slow counts those of them that took longer than slower.than.
	Slow string `json:"slow,omitempty"`
}

// AzureRequests says which requests in Application Insights are a slot's.
type AzureRequests struct {
	// Slot is a condition in KQL over AppRequests, with the words put in that Prometheus's queries know. Default: AppRoleInstance begins
	// with the slot's Helm release, as the names of its pods do; it has to be given where the name of a service begins with that of another
	// one and a hyphen.
	Slot string `json:"slot,omitempty"`
}

// Probe sends GET requests through the entry point: with the canary header to the candidate, without it to the live slot.
type Probe struct {
	// Path below the environment's entry, with a query if need be. Default: that of the environment's first http gate that is a plain GET:
	// without headers and body, and answered by what is no failure.
	Path string `json:"path,omitempty"`
	// Rate is the most requests a second that each slot gets, up to 50. Default 1.
	Rate float64 `json:"rate,omitempty"`
	// Timeout of one request, which then counts as failed. Default 5s, and at least twice slower.than.
	Timeout Duration `json:"timeout,omitempty"`
}

// Prometheus is a server, or what speaks as one.
type Prometheus struct {
	// URL of the server, without /api/v1.
	URL string `json:"url"`
	// Token is sent as a bearer token. Default: none.
	Token *MetricToken `json:"token,omitempty"`
	// Delay is how far its newest samples lie behind: its scrape interval. Default 15s.
	Delay Duration `json:"delay,omitempty"`
}

// MetricToken says where a token comes from. It is never part of a release.
type MetricToken struct {
	// Env is the environment variable of the run that holds it.
	Env string `json:"env"`
}

// AzureMonitor is a Log Analytics workspace, read as whoever the run is in Azure.
type AzureMonitor struct {
	// Workspace is its ID, or the resource ID of it or of an Application Insights component.
	Workspace string `json:"workspace"`
	// Endpoint of the cloud. Default: https://api.loganalytics.io.
	Endpoint string `json:"endpoint,omitempty"`
	// Delay is how long logs take to arrive. Default: measured, between 30s and 15m.
	Delay Duration `json:"delay,omitempty"`
}

// Metric is a question of one's own: of all the part that is bad, or one number with a condition. Exactly one of prometheus and
// azureMonitor is set.
type Metric struct {
	// Name in reports, unique.
	Name string `json:"name"`
	// Prometheus asks a Prometheus.
	Prometheus *PrometheusMetric `json:"prometheus,omitempty"`
	// AzureMonitor asks Log Analytics.
	AzureMonitor *AzureMetric `json:"azureMonitor,omitempty"`
	// Max is the share that may be bad, whatever the live version does. Default: no limit. Not with a condition.
	Max Share `json:"max,omitempty"`
	// Condition is what the number must satisfy, such as "< 100"; the operators are < <= > >= == !=.
	Condition string `json:"condition,omitempty"`
	// Attempts is how often in a row the condition must be broken, ten seconds apart, until the version is taken back. Default 3.
	Attempts int `json:"attempts,omitempty"`
}

// PrometheusMetric is either a pair of counters or one number. The words of PrometheusCounters are put in; in query those of the candidate.
type PrometheusMetric struct {
	// Requests counts all of them.
	Requests string `json:"requests,omitempty"`
	// Failed counts the bad ones.
	Failed string `json:"failed,omitempty"`
	// Query gives the number for the condition.
	Query string `json:"query,omitempty"`
}

// AzureMetric is one number by KQL; the words of PrometheusCounters are put in, those of the candidate.
type AzureMetric struct {
	// Query gives one row with one number.
	Query string `json:"query"`
}

// Judgement is what the analysis has found of a rollout until a moment, as persisted.
type Judgement struct {
	// At is when it was made, Until the moment up to which all sources are complete; zero where one of them has not answered yet.
	At    time.Time `json:"at"`
	Until time.Time `json:"until,omitzero"`
	// Decision is abort, advance or more; Verdict a word such as good, bad, noData, sourceDown or infrastructure, empty while there is none.
	Decision string `json:"decision"`
	Verdict  string `json:"verdict,omitempty"`
	// Step of the plan, and whether the candidate had enough requests in it to be known.
	Step   int  `json:"step"`
	Enough bool `json:"enough"`
	// Sentence says it to people; Evidence are the lines below it: each question, status codes, the course of time.
	Sentence string   `json:"sentence"`
	Evidence []string `json:"evidence,omitempty"`
	// State is what the analysis goes on from.
	State json.RawMessage `json:"state,omitempty"`
}
