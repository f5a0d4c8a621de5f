package v1alpha1

import "time"

// Rollout is the act of bringing one release into one environment: the record of its progress, persisted in the cluster.
// It has no field that could hold a secret value. What can be observed is not recorded.
type Rollout struct {
	APIVersion  string `json:"apiVersion"`
	Kind        string `json:"kind"`
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Namespace   string `json:"namespace"`
	// Number counts the rollouts of a service in an environment, from 1.
	Number int `json:"number"`

	Release ReleaseRef `json:"release"`
	// DeployDigest is what a slot of this rollout must carry: release, environment and variable versions.
	DeployDigest string `json:"deployDigest"`
	// Variables are the versions of the variables that the candidate gets, by their names. A version names a content and does not tell it.
	Variables map[string]string `json:"variables,omitempty"`
	Plan      Plan              `json:"plan"`
	Candidate Slot              `json:"candidate"`
	// By is who asked for the rollout, Reason what they gave as the reason.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Back says that this rollout went back to an earlier release; a further rollback goes back from there.
	Back bool `json:"back,omitempty"`
	// Return is where a rollback goes; its zero value says that this is a first installation.
	Return ReturnTarget `json:"return,omitzero"`

	Phase      Phase     `json:"phase"`
	Step       int       `json:"step"`
	CreatedAt  time.Time `json:"createdAt"`
	PhaseSince time.Time `json:"phaseSince"`
	StepSince  time.Time `json:"stepSince,omitzero"`
	// DrivenSince is when the run began that drives it.
	DrivenSince time.Time `json:"drivenSince,omitzero"`
	// UnreadySince is when the candidate was last seen not ready without a gap; zero while it is ready.
	UnreadySince time.Time `json:"unreadySince,omitzero"`
	// Acts counts the acts begun by this rollout; it grows before each act, so that every act follows a successful write.
	Acts int `json:"acts,omitempty"`
	// Attempts counts the acts that failed in this phase and step.
	Attempts int `json:"attempts,omitempty"`
	// LastError is what the last failed act said, ErrorKind its class.
	LastError string `json:"lastError,omitempty"`
	ErrorKind string `json:"errorKind,omitempty"`
	// HelmRevision of the candidate when the rollout was verified.
	HelmRevision int `json:"helmRevision,omitempty"`
	// VerifiedAt is when the rollout entered Settling.
	VerifiedAt time.Time `json:"verifiedAt,omitzero"`
	// FinishedAt is when a final phase was entered.
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	// Cause says in one sentence why the rollout was cancelled, rolled back or failed; Evidence is what was seen, and Next what to do.
	Cause    string   `json:"cause,omitempty"`
	Evidence []string `json:"evidence,omitempty"`
	// Testimony is what was to be seen of the candidate before it was taken away: how its values differ, what its pods said last.
	Testimony []string `json:"testimony,omitempty"`

	// Judgement is what the analysis has found, written now and then.
	Judgement *Judgement   `json:"judgement,omitempty"`
	Results   []GateResult `json:"results,omitempty"`
	Requests  []Request    `json:"requests,omitempty"`
	History   []Event      `json:"history,omitempty"`
	// Announced is the highest sequence number of the history that was announced.
	Announced int `json:"announced"`
	// Holder and Generation are those of the lease under which the record was last written.
	Holder     string `json:"holder,omitempty"`
	Generation int64  `json:"generation"`
}

// Plan is a strategy expanded to data and frozen at the start.
type Plan struct {
	// Strategy is direct, blueGreen or canary.
	Strategy string `json:"strategy"`
	Router   Router `json:"router"`
	// Slots says whether the service has two slots.
	Slots    bool         `json:"slots"`
	Header   Header       `json:"header,omitzero"`
	Steps    []Step       `json:"steps"`
	Gates    []Gate       `json:"gates,omitempty"`
	Analysis *Analysis    `json:"analysis,omitempty"`
	KeepOld  Duration     `json:"keepOld,omitempty"`
	Timeout  Duration     `json:"timeout"`
	Entry    string       `json:"entry,omitempty"`
	Traffic  Traffic      `json:"traffic,omitzero"`
	Spec     Service      `json:"spec,omitzero"`
	Policies PlanPolicies `json:"policies,omitzero"`
}

// PlanPolicies are limits of a plan.
type PlanPolicies struct {
	// Attempts of one act until it counts as failed. Default 3.
	Attempts int `json:"attempts,omitempty"`
	// Grace is how long a candidate under traffic may be not ready. Default 10s.
	Grace Duration `json:"grace,omitempty"`
}

// ReturnTarget is the place a rollback goes to.
type ReturnTarget struct {
	// Slot that was live when the rollout began. SlotNone: a first installation.
	Slot Slot `json:"slot,omitempty"`
	// DeployDigest the slot carried.
	DeployDigest string `json:"deployDigest,omitempty"`
	// Release the slot carried; empty for a foreign one.
	Release ReleaseRef `json:"release,omitzero"`
	// HelmRevision is the Helm revision the slot had; what direct goes back to.
	HelmRevision int `json:"helmRevision,omitempty"`
	// Foreign says that Helm installed it without Sluice.
	Foreign bool `json:"foreign,omitempty"`
}

// Phase of a rollout.
type Phase string

// The phases. The last four are final.
const (
	Pending     Phase = "Pending"
	Deploying   Phase = "Deploying"
	Shifting    Phase = "Shifting"
	Analyzing   Phase = "Analyzing"
	Settling    Phase = "Settling"
	RollingBack Phase = "RollingBack"
	Succeeded   Phase = "Succeeded"
	Cancelled   Phase = "Cancelled"
	RolledBack  Phase = "RolledBack"
	FailedPhase Phase = "Failed"
)

// Final says whether nothing more happens in the phase.
func (p Phase) Final() bool {
	return p == Succeeded || p == Cancelled || p == RolledBack || p == FailedPhase
}

// Request is something a person asked of a running rollout.
type Request struct {
	Kind   RequestKind `json:"kind"`
	By     string      `json:"by"`
	At     time.Time   `json:"at"`
	Reason string      `json:"reason,omitempty"`
}

// RequestKind is what a person can ask.
type RequestKind string

// The requests.
const (
	// RequestAbort takes an unfinished rollout back.
	RequestAbort RequestKind = "abort"
	// RequestRollback is an abort of a verified rollout whose old slot is still kept.
	RequestRollback RequestKind = "rollback"
	// RequestSupersede ends the rollout for a newer one: a verified one early, an unverified one by taking it back.
	RequestSupersede RequestKind = "supersede"
)

// Event is one entry of a rollout's history.
type Event struct {
	Seq   int       `json:"seq"`
	At    time.Time `json:"at"`
	Phase Phase     `json:"phase"`
	Step  int       `json:"step"`
	// Row of the transition table that decided, for example "10".
	Row     string `json:"row"`
	Action  string `json:"action,omitempty"`
	Message string `json:"message"`
}
