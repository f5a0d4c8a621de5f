package azuremonitor_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/azuremonitor"
	"github.com/sluice-dev/sluice/internal/metric/metrictest"
	"github.com/sluice-dev/sluice/test/proxy"
)

func TestContract(t *testing.T) {
	metrictest.Contract(t, func(t *testing.T) metrictest.World {
		w := newWorkspace(t)
		return metrictest.World{
			Source: w.source(t, metric.Question{SlowerThan: 500 * time.Millisecond}, nil), Slow: true, Codes: true,
			Serve: func(_ *testing.T, slot v1alpha1.Slot, requests, failed, slow uint64) {
				w.move(20 * time.Minute) // so that the first reading's moment lies before
				w.serve(slot, requests, failed, slow)
			},
			Advance: func(*testing.T) { w.move(20 * time.Minute) },
			Down: func(_ *testing.T, down bool) {
				if down {
					w.Always(proxy.Reset)
				} else {
					w.Fault(nil)
				}
			},
		}
	})
}

// What has not arrived is not zero: it is counted when it is complete, and what arrives later still is not lost.
func TestIngestionDelay(t *testing.T) {
	w := newWorkspace(t)
	w.serve(blue, 1, 0, 0)
	w.move(time.Hour / 2)
	s := w.source(t, metric.Question{}, nil)
	if _, err := s.Read(t.Context()); !errors.Is(err, metric.ErrNoData) || !strings.Contains(err.Error(), "as of 40s ago") {
		t.Errorf("at the beginning: %v", err)
	}
	read := func(after time.Duration) metric.Reading {
		t.Helper()
		w.move(after)
		r, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	w.move(time.Second)
	w.serve(blue, 5, 0, 0)
	if _, err := s.Read(t.Context()); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("before they arrive: %v", err)
	}
	r := read(41 * time.Second)
	if r.Slots[blue].Requests != 5 || w.Now().Sub(r.At) != 40*time.Second {
		t.Errorf("as they arrive: %+v, now %s", r, w.Now())
	}
	// The service becomes slower: the moment of the reading must not go back.
	w.set(func() { w.lag = 10 * time.Minute })
	w.serve(green, 3, 1, 0)
	at := r.At
	if r = read(time.Minute); r.Slots[green].Requests != 0 || r.At.Before(at) {
		t.Errorf("while it is slow: %+v", r)
	}
	at = r.At
	if r = read(9 * time.Minute); r.Slots[green].Requests != 3 || r.Slots[green].Failed != 1 || r.Slots[blue].Requests != 5 || r.At.Before(at) {
		t.Errorf("when they have arrived: %+v", r)
	}
	if r = read(time.Minute); r.Slots[green].Requests != 3 || !r.Since.Before(r.At) {
		t.Errorf("a minute later: %+v", r)
	}
	// A delay that is given is not measured.
	fixed := w.source(t, metric.Question{}, func(o *azuremonitor.Options) { o.Delay = 90 * time.Second })
	if _, err := fixed.Read(t.Context()); !errors.Is(err, metric.ErrNoData) || !strings.Contains(err.Error(), "as of 1m30s ago") {
		t.Errorf("with a delay of its own: %v", err)
	}
}

func TestSampledRecords(t *testing.T) {
	w := newWorkspace(t)
	s := w.source(t, metric.Question{Failed: []string{"404"}}, nil)
	if _, err := s.Read(t.Context()); !errors.Is(err, metric.ErrNoData) {
		t.Fatal(err)
	}
	w.serve(green, 2, 1, 0)
	w.set(func() {
		w.records[0].items, w.records[0].code = 10, "404"
		w.records[1].items = 5
	})
	w.move(time.Hour)
	r, err := s.Read(t.Context())
	if c := r.Slots[green]; err != nil || c.Requests != 15 || c.Failed != 10 || r.Codes[green]["404"] != 10 {
		t.Errorf("it gave %+v, %v", r, err)
	}
}

// On the way from one slot to two, and back, the release of the one is how those of the others begin.
func TestDirectIsNoOtherSlot(t *testing.T) {
	const direct = v1alpha1.SlotDirect
	for _, subject := range []metric.Subject{
		{Service: "shop", Environment: "prod", Namespace: "prod", Live: direct, Candidate: blue},
		{Service: "shop", Environment: "prod", Namespace: "prod", Live: blue, Candidate: direct},
	} {
		w := newWorkspace(t)
		s, err := w.open(t, nil).Source(subject, metric.Question{}, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(t.Context()); !errors.Is(err, metric.ErrNoData) {
			t.Fatal(err)
		}
		w.serve(direct, 3, 0, 0)
		w.serve(blue, 5, 2, 0)
		w.serve(green, 7, 7, 0)
		w.move(time.Hour)
		r, err := s.Read(t.Context())
		if err != nil || r.Slots[direct].Requests != 3 || r.Slots[direct].Failed != 0 || r.Slots[blue].Requests != 5 || r.Slots[blue].Failed != 2 {
			t.Errorf("live %s: %+v, %v", subject.Live, r.Slots, err)
		}
	}
}

func (w *workspace) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

type noToken struct{}

func (noToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, errors.New("nobody is signed in")
}

func refusal(code int, kind, text string, headers ...string) http.HandlerFunc {
	return proxy.Answer(code, `{"error":{"code":"`+kind+`","message":"The request had some invalid properties","innererror":{"code":"SemanticError","message":"`+text+`"}}}`, headers...)
}

func TestAnswers(t *testing.T) {
	page := func(rows string) http.HandlerFunc {
		return proxy.Answer(200, `{"tables":[{"name":"PrimaryResult","columns":[{"name":"slot"},{"name":"code"},{"name":"requests"},{"name":"slow"},{"name":"since"},{"name":"until"},{"name":"behind"}],"rows":[`+rows+`]}]}`)
	}
	const moment = `"2026-01-02T03:00:00Z","2026-01-02T03:01:00.1234567Z",60`
	for name, test := range map[string]struct {
		fault      http.HandlerFunc
		kind       fault.Kind
		says, cure string
	}{
		"a wrong query":      {refusal(400, "BadArgumentError", "'where' operator failed"), fault.Usage, "does not take the query: BadArgumentError: 'where' operator failed", "in the portal"},
		"no workspace":       {refusal(404, "WorkspaceNotFoundError", "not found"), fault.Usage, "there is no workspace " + workspaceID, "workspace list"},
		"a stranger's 404":   {proxy.Answer(404, "<html>"), fault.Unreachable, "answered 404", "health"},
		"a stranger's 400":   {proxy.Answer(400, "<html>"), fault.Unreachable, "answered 400", "health"},
		"no rights":          {refusal(403, "InsufficientAccessError", "The provided credentials have insufficient access"), fault.Unreachable, "InsufficientAccessError", "Log Analytics Reader"},
		"a wrong token":      {proxy.Answer(401, `{"error":{"code":"InvalidTokenError","message":"x"}}`), fault.Unreachable, "answered 401 Unauthorized: InvalidTokenError", "directory"},
		"throttled":          {refusal(429, "ThrottledError", "x", "Retry-After", "17"), fault.Unreachable, "ThrottledError", "in 17 s at the earliest"},
		"broken":             {proxy.Answer(503, ""), fault.Unreachable, "answered 503", "health"},
		"slow":               {refusal(504, "GatewayTimeout", "x"), fault.Unreachable, "answered 504", "health"},
		"a part":             {proxy.Answer(200, `{"tables":[{"name":"PrimaryResult"}],"error":{"code":"PartialError","message":"x","innererror":{"code":"E","message":"too large"}}}`), fault.Unreachable, "a part only: PartialError: too large", "takes too much"},
		"a sign-in page":     {proxy.Answer(200, "<html>"), fault.Unreachable, "no result of a query", "sign-in page"},
		"half":               {proxy.Cut(`{"tables":[`), fault.Unreachable, "unexpected EOF", "check the network"},
		"a broken line":      {proxy.Reset, fault.Unreachable, "EOF", "check the network"},
		"too much":           {proxy.Answer(200, `{"x":"`+strings.Repeat("x", 9<<20)), fault.Unreachable, "more than 8388608 bytes", "summarize"},
		"no row":             {page(""), fault.Unreachable, "gave 0 rows", "portal"},
		"too many rows":      {page(strings.TrimSuffix(strings.Repeat(`["green","200",1,0,`+moment+"],", 10_001), ",")), fault.Unreachable, "10001 rows", "portal"},
		"no moment":          {page(`["green","200",1,0,"","",0]`), fault.Unreachable, "of when its answer is", "portal"},
		"a moment to come":   {page(`["green","200",1,0,"2026-01-02T03:00:00Z","2026-01-02T03:00:00Z",-5]`), fault.Unreachable, "how old its answer is", "portal"},
		"an injected moment": {page(`["green","200",1,0,"2026-01-02T03:00:00Z","x) | union *",5]`), fault.Unreachable, "of when its answer is", "portal"},
		"negative":           {page(`["green","200",-1,0,` + moment + `]`), fault.Unreachable, "-1 is no count", "portal"},
		"not a number":       {page(`["green","200","NaN",0,` + moment + `]`), fault.Unreachable, "NaN is no count", "portal"},
		"a part of one":      {page(`["green","200",1.5,0,` + moment + `]`), fault.Unreachable, "1.5 is no whole number", "portal"},
		"null":               {page(`["green","200",null,0,` + moment + `]`), fault.Unreachable, "is no count of requests", "portal"},
		"a short row":        {page(`["green"]`), fault.Unreachable, "of when its answer is", "portal"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t)
			s := w.source(t, metric.Question{}, nil)
			w.Always(test.fault)
			r, err := s.Read(t.Context())
			if !fault.Is(err, test.kind) || errors.Is(err, metric.ErrDown) != (test.kind == fault.Unreachable) || !strings.Contains(err.Error(), test.says) || !strings.Contains(fault.HintOf(err), test.cure) {
				t.Fatalf("it gave %+v, %v (%s)", r, err, fault.HintOf(err))
			}
			if n := len(w.Seen()); n != 1 && name != "a broken line" { // which Go's client may try once more
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestNoToken(t *testing.T) {
	w := newWorkspace(t)
	_, err := w.source(t, metric.Question{}, func(o *azuremonitor.Options) { o.Credential = noToken{} }).Read(t.Context())
	if !errors.Is(err, metric.ErrDown) || !strings.Contains(err.Error(), "no token for it: nobody is signed in") || !strings.Contains(fault.HintOf(err), "az login") {
		t.Errorf("it says %v (%s)", err, fault.HintOf(err))
	}
}

func TestNoAnswerInTime(t *testing.T) {
	w := newWorkspace(t)
	w.Always(w.Hang)
	_, err := w.source(t, metric.Question{}, func(o *azuremonitor.Options) { o.AnswerTime = 50 * time.Millisecond }).Read(t.Context())
	if !errors.Is(err, metric.ErrDown) || !strings.Contains(err.Error(), "does not answer within 50ms") {
		t.Errorf("it says %v", err)
	}
}

func TestValues(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		want   float64
		kind   fault.Kind
		says   string
	}{
		"a number":     {one("[0.25]"), 0.25, 0, ""},
		"a whole one":  {one("[7]"), 7, 0, ""},
		"null":         {one("[null]"), 0, fault.Waiting, "gave <nil>"},
		"not a number": {one(`["NaN"]`), 0, fault.Waiting, "gave NaN"},
		"infinity":     {one(`["-Infinity"]`), 0, fault.Waiting, "gave -Infinity"},
		"no row":       {one(""), 0, fault.Waiting, "gave no row"},
		"two rows":     {one("[1],[2]"), 0, fault.Usage, "gave 2 rows"},
		"a text":       {one(`["many"]`), 0, fault.Usage, `gave "many"`},
		"two columns":  {`{"tables":[{"columns":[{"name":"a"},{"name":"b"}],"rows":[[1,2]]}]}`, 0, fault.Usage, "gave 2 columns"},
		"an empty row": {one("[]"), 0, fault.Waiting, "gave <nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t)
			w.value = test.answer
			q, err := w.open(t, nil).Query(subject(), `AppRequests | where AppRoleName == "{{.Release}}" | summarize avg(DurationMs)`)
			if err != nil {
				t.Fatal(err)
			}
			v, err := q.Value(t.Context())
			if test.says == "" {
				if err != nil || v.Number != test.want || v.Cost.Requests != 1 || v.Cost.Bytes == 0 {
					t.Errorf("it gave %+v, %v", v, err)
				}
				if got := w.queries[0]; got != `AppRequests | where AppRoleName == "shop-green" | summarize avg(DurationMs)` {
					t.Errorf("it asked %s", got)
				}
				return
			}
			if !fault.Is(err, test.kind) || errors.Is(err, metric.ErrNoData) != (test.kind == fault.Waiting) || !strings.Contains(err.Error(), test.says) || fault.HintOf(err) == "" {
				t.Errorf("it gave %+v, %v (%s)", v, err, fault.HintOf(err))
			}
		})
	}
}

func TestPaths(t *testing.T) {
	const component = "/subscriptions/11111111-2222-4333-8444-555555555555/resourceGroups/my-rg/providers/microsoft.insights/components/shop"
	for workspace, path := range map[string]string{workspaceID: "/v1/workspaces/" + workspaceID + "/query", component: "/v1" + component + "/query"} {
		w := newWorkspace(t)
		s := w.source(t, metric.Question{}, func(o *azuremonitor.Options) { o.Workspace = workspace })
		if _, err := s.Read(t.Context()); !errors.Is(err, metric.ErrNoData) {
			t.Error(err)
		}
		if seen := w.Seen(); len(seen) != 1 || seen[0] != "POST "+path {
			t.Errorf("it asked %v", seen)
		}
	}
}

func TestUsage(t *testing.T) {
	w := newWorkspace(t)
	open := func(o azuremonitor.Options) error {
		_, err := azuremonitor.New(o)
		return err
	}
	source := func(where string) error {
		_, err := w.open(t, nil).Source(subject(), metric.Question{}, where)
		return err
	}
	for name, err := range map[string]error{
		"no workspace":       open(azuremonitor.Options{}),
		"a name":             open(azuremonitor.Options{Workspace: "prod-logs"}),
		"another resource":   open(azuremonitor.Options{Workspace: "/subscriptions/11111111-2222-4333-8444-555555555555/resourceGroups/a/providers/microsoft.keyvault/vaults/b"}),
		"no encryption":      open(azuremonitor.Options{Workspace: workspaceID, Endpoint: "http://api.loganalytics.io"}),
		"less than no delay": open(azuremonitor.Options{Workspace: workspaceID, Delay: -1}),
		"no slot in it":      source("AppRoleName == 'shop'"),
		"no such word":       source("{{.Pod}}"),
	} {
		if !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.open(t, nil).Query(subject(), ""); !fault.Is(err, fault.Usage) {
		t.Errorf("an empty query: %v", err)
	}
}
