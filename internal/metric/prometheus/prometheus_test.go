package prometheus_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/prometheus"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/test/proxy"
)

func queriesOf(requests string) prometheus.Queries { return prometheus.Queries{Requests: requests} }

const secret = "s3cret-0123456789"

func vector(result string) http.HandlerFunc {
	return proxy.Answer(200, `{"status":"success","data":{"resultType":"vector","result":[`+result+`]}}`)
}

func failure(code int, kind, text string) http.HandlerFunc {
	return proxy.Answer(code, `{"status":"error","errorType":"`+kind+`","error":"`+text+`"}`)
}

func TestAnswers(t *testing.T) {
	sample := func(value string) string {
		return `{"metric":{"instance":"a"},"value":[1767323045.781,"` + value + `"]}`
	}
	for name, test := range map[string]struct {
		fault http.HandlerFunc
		kind  fault.Kind
		says  string
	}{
		"NaN":                     {vector(sample("NaN")), fault.Usage, "NaN is no count"},
		"infinity":                {vector(sample("+Inf")), fault.Usage, "+Inf is no count"},
		"negative":                {vector(sample("-3")), fault.Usage, "-3 is no count"},
		"a rate":                  {vector(sample("0.25")), fault.Usage, "0.25 is no whole number"},
		"a histogram":             {vector(`{"metric":{},"histogram":[1767323045,{"count":"5","sum":"1"}]}`), fault.Usage, "is a histogram"},
		"too many":                {vector(strings.TrimSuffix(strings.Repeat(sample("1")+",", 10_001), ",")), fault.Usage, "gave 10001 series"},
		"too much":                {proxy.Answer(200, `{"status":"success","x":"`+strings.Repeat("x", 17<<20)), fault.Unreachable, "more than 16777216 bytes"},
		"a wrong query":           {failure(400, "bad_data", "parse error: x"), fault.Usage, "does not take the query: parse error: x"},
		"a query that fails":      {failure(422, "execution", "many-to-many"), fault.Usage, "does not take the query: many-to-many"},
		"a query that is slow":    {failure(503, "timeout", "query timed out"), fault.Unreachable, "timeout: query timed out"},
		"a server that starts":    {failure(503, "unavailable", "TSDB not ready"), fault.Unreachable, "TSDB not ready"},
		"no credentials":          {proxy.Answer(401, secret), fault.Unreachable, "it answered 401 Unauthorized"},
		"no rights":               {proxy.Answer(403, secret), fault.Unreachable, "it answered 403 Forbidden"},
		"no such path":            {proxy.Answer(404, ""), fault.Unreachable, "it answered 404"},
		"asked too much":          {proxy.Answer(429, ""), fault.Unreachable, "it answered 429"},
		"broken":                  {proxy.Answer(502, "<html>"), fault.Unreachable, "it answered 502"},
		"elsewhere":               {proxy.Answer(302, "", "Location", "http://127.0.0.1:1/"), fault.Unreachable, "it answered 302"},
		"a web page":              {proxy.Answer(200, "<html>"), fault.Unreachable, "bad_response"},
		"another API":             {proxy.Answer(200, `{"status":"success"}`), fault.Unreachable, "it could not be read"},
		"nothing":                 {proxy.Answer(204, ""), fault.Unreachable, "it answered 204"},
		"half":                    {proxy.Cut(`{"status":"succ`), fault.Unreachable, "unexpected EOF"},
		"a broken line":           {proxy.Reset, fault.Unreachable, "EOF"},
		"a value without a value": {vector(`{"metric":{}}`), fault.Waiting, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := startFake(t)
			s, err := b.server(t, func(o *prometheus.Options) {
				o.Headers = map[string]variables.Value{"Authorization": variables.NewValue("Bearer " + secret)}
			}).Source(subject(), queries())
			if err != nil {
				t.Fatal(err)
			}
			b.Always(test.fault)
			r, err := s.Read(t.Context())
			if name == "a value without a value" { // that is a sample of zero at the beginning of time, as the library reads it
				if err != nil || r.Slots[blue].Requests != 0 {
					t.Errorf("it gave %+v, %v", r, err)
				}
				return
			}
			if !fault.Is(err, test.kind) || errors.Is(err, metric.ErrDown) != (test.kind == fault.Unreachable) || !strings.Contains(err.Error(), test.says) || fault.HintOf(err) == "" {
				t.Fatalf("it gave %+v, %v (%s)", r, err, fault.HintOf(err))
			}
			if text := err.Error() + fault.HintOf(err); strings.Contains(text, secret) || strings.Contains(text, "\n") || !strings.Contains(text, "slot blue") {
				t.Errorf("it says %s", text)
			}
		})
	}
}

// The header goes to the server and to nobody else.
func TestHeaders(t *testing.T) {
	var asked, elsewhere atomic.Int64
	other := proxy.New(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	b := startFake(t)
	b.Fault(func(_ int, r *http.Request) http.HandlerFunc {
		if r.Header.Get("Authorization") != "Bearer "+secret || r.Header.Get("X-Scope-OrgID") != "shop" {
			t.Errorf("it sent %v", r.Header)
		}
		asked.Add(1)
		return proxy.Answer(307, "", "Location", other.Server.URL)
	})
	s, err := b.server(t, func(o *prometheus.Options) {
		o.Headers = map[string]variables.Value{"Authorization": variables.NewValue("Bearer " + secret), "X-Scope-OrgID": variables.NewValue("shop")}
	}).Source(subject(), queries())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context()); !errors.Is(err, metric.ErrDown) || asked.Load() != 1 || elsewhere.Load() != 0 {
		t.Errorf("%v; %d and %d requests", err, asked.Load(), elsewhere.Load())
	}
}

// Some who stand before a Prometheus let only GET pass.
func TestGetWherePostIsForbidden(t *testing.T) {
	b := startFake(t)
	b.Fault(func(_ int, r *http.Request) http.HandlerFunc {
		if r.Method == http.MethodPost {
			return proxy.Answer(403, "no")
		}
		return vector("")
	})
	if _, err := b.source(t).Read(t.Context()); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("it says %v", err)
	}
}

func TestWarnings(t *testing.T) {
	b := startFake(t)
	b.Always(proxy.Answer(200, `{"status":"success","warnings":["one store is away"],"data":{"resultType":"vector","result":[{"metric":{},"value":[1,"5"]}]}}`))
	r, err := b.source(t).Read(t.Context())
	if err != nil || r.Lacking != "one store is away" || r.Cost.Requests != 6 {
		t.Errorf("it gave %+v, %v", r, err)
	}
	q, err := b.server(t, nil).Query(subject(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := q.Value(t.Context()); !errors.Is(err, metric.ErrDown) || !strings.Contains(err.Error(), "one store is away") {
		t.Errorf("it gave %+v, %v", v, err)
	}
}

// A scrape that fails makes series vanish that come back with what they counted.
func TestSeriesThatWereAway(t *testing.T) {
	b := startFake(t)
	s := b.source(t)
	read := func() metric.Counters {
		t.Helper()
		b.advance(t)
		r, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r.Slots[blue]
	}
	b.target.serve(blue, 100, 0, 0)
	read()
	b.Always(vector(""))
	if got := read(); got.Requests != 0 {
		t.Errorf("away: %+v", got)
	}
	b.Fault(nil)
	b.target.serve(blue, 7, 0, 0)
	if got := read(); got.Requests != 7 {
		t.Errorf("back: %+v", got)
	}
}

func TestNoAnswerInTime(t *testing.T) {
	b := startFake(t)
	b.Always(b.Hang)
	s, err := b.server(t, func(o *prometheus.Options) { o.AnswerTime = time.Millisecond }).Source(subject(), queries())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context()); !errors.Is(err, metric.ErrDown) || !strings.Contains(err.Error(), "does not answer within 1ms") {
		t.Errorf("it says %v", err)
	}
}

func TestUsage(t *testing.T) {
	b := startFake(t)
	source := func(q prometheus.Queries) error {
		_, err := b.server(t, nil).Source(subject(), q)
		return err
	}
	server := func(url string) error {
		_, err := prometheus.New(prometheus.Options{URL: url})
		return err
	}
	for name, err := range map[string]error{
		"no query":            source(prometheus.Queries{Failed: "x{{.Slot}}"}),
		"no slot in it":       source(queriesOf("requests_total")),
		"the same for a part": source(prometheus.Queries{Requests: "x{{.Slot}}", Failed: "x{{.Slot}}"}),
		"no template":         source(queriesOf("x{{.Slot")),
		"no such word":        source(queriesOf("x{{.Slott}}")),
		"no URL":              server(""),
		"no scheme":           server("prometheus:9090"),
		"with the API's path": server("http://prometheus:9090/api/v1/"),
		"with a query":        server("http://prometheus:9090/?token=" + secret),
	} {
		if !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v (%s)", name, err, fault.HintOf(err))
		}
	}
	if _, err := b.server(t, nil).Query(subject(), " "); !fault.Is(err, fault.Usage) {
		t.Errorf("an empty one: %v", err)
	}
}
