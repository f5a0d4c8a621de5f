package v1alpha1

import (
	"encoding/json"
	"time"
)

// Gate is a question asked of a new version. Exactly one kind is set.
type Gate struct {
	// Name in reports, unique among the gates asked together. Default: the kind and, for http, the path.
	Name string `json:"name,omitempty"`
	// HTTP calls the service as its users do and looks at the answer.
	HTTP *HTTPGate `json:"http,omitempty"`
	// HelmTest runs the chart's test hooks.
	HelmTest *HelmTestGate `json:"helmTest,omitempty"`
}

// HTTPGate calls the service through its real entry point, the candidate by the canary header. Exactly one of path and url is set.
type HTTPGate struct {
	// Path and query, for example /api/calculate?number=221. Joined to the entry of the environment; where the router knows no header, asked of the candidate's own Service.
	Path string `json:"path,omitempty"`
	// URL replaces entry and path where the call goes elsewhere. A host that is the name of one of the chart's Services
	// leads to the candidate's own, through the API server: http://calculator-backend/ping.
	URL string `json:"url,omitempty"`
	// Method of the request. Default GET.
	Method string `json:"method,omitempty"`
	// Headers sent besides the canary header.
	Headers map[string]string `json:"headers,omitempty"`
	// Body sent with the request.
	Body string `json:"body,omitempty"`
	// Expect says what a passing answer looks like. Default: status 200.
	Expect HTTPExpect `json:"expect,omitzero"`
	// Timeout of one call. Default 5s.
	Timeout Duration `json:"timeout,omitempty"`
	// Attempts until the gate fails; an attempt a second. Default 3.
	Attempts int `json:"attempts,omitempty"`
}

// HTTPExpect says what a passing answer looks like; what is left out is not looked at.
type HTTPExpect struct {
	// Status code. Default 200.
	Status int `json:"status,omitempty"`
	// Headers that must be present with these values.
	Headers map[string]string `json:"headers,omitempty"`
	// Body is a regular expression that must match somewhere in the body.
	Body string `json:"body,omitempty"`
	// JSON that must be contained in the body: objects by their named keys, everything else equal.
	JSON json.RawMessage `json:"json,omitempty"`
}

// HelmTestGate runs the chart's test hooks against the candidate.
type HelmTestGate struct {
	// Timeout of all tests together. Default 5m.
	Timeout Duration `json:"timeout,omitempty"`
}

// Verdict is a gate's answer.
type Verdict string

// The three answers. Waiting is not an error.
const (
	Passed  Verdict = "passed"
	Failed  Verdict = "failed"
	Waiting Verdict = "waiting"
)

// GateResult is a verdict with its evidence, as persisted.
type GateResult struct {
	Gate     string    `json:"gate"`
	Verdict  Verdict   `json:"verdict"`
	Evidence string    `json:"evidence,omitempty"`
	Step     int       `json:"step"`
	At       time.Time `json:"at"`
}

// DisplayName is the gate's name, or what it does where it has none.
func (g Gate) DisplayName() string {
	switch {
	case g.Name != "":
		return g.Name
	case g.HTTP != nil && g.HTTP.URL != "":
		return "http " + g.HTTP.URL
	case g.HTTP != nil:
		return "http " + g.HTTP.Path
	case g.HelmTest != nil:
		return "helmTest"
	default:
		return "empty"
	}
}
