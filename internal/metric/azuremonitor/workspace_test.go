package azuremonitor_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/azuremonitor"
	"github.com/sluice-dev/sluice/test/proxy"
)

const (
	blue  = v1alpha1.SlotBlue
	green = v1alpha1.SlotGreen

	workspaceID = "63613592-b6f7-4c3d-a390-22ba13102111"
)

func subject() metric.Subject {
	return metric.Subject{Service: "shop", Environment: "prod", Namespace: "prod", Live: blue, Candidate: green}
}

// record is a row of AppRequests.
type record struct {
	generated, arrived time.Time
	instance, code     string
	millis             float64
	items              int
}

// workspace answers Source's query over its records, as the Logs query API documents requests and answers. Its clock is its own.
type workspace struct {
	*proxy.Proxy
	t *testing.T

	mu      sync.Mutex
	now     time.Time
	skew    time.Duration
	records []record
	// lag is how long what is logged takes to arrive.
	lag     time.Duration
	queries []string
	// value is the answer to any other query.
	value string
}

func newWorkspace(t *testing.T) *workspace {
	w := &workspace{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), skew: -7 * time.Minute, lag: 40 * time.Second}
	w.Proxy = proxy.NewTLS(t, http.HandlerFunc(w.answer))
	return w
}

func (w *workspace) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *workspace) move(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// serve logs requests of a pod; three in one record are sampled.
func (w *workspace) serve(slot v1alpha1.Slot, requests, failed, slow uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.now.Add(w.skew)
	for i := range requests {
		r := record{generated: at, arrived: at.Add(w.lag), instance: slot.HelmRelease("shop") + "-web-7d69dddb49-hmk9n", code: "200", millis: 20, items: 1}
		if i < failed {
			r.code = "503"
		}
		if i < slow {
			r.millis = 500.5
		}
		w.records = append(w.records, r)
	}
	w.records = append(w.records, record{at, at.Add(w.lag), "other-pod", "500", 900, 1})
}

func (w *workspace) answer(rw http.ResponseWriter, r *http.Request) {
	var body struct{ Query, Timespan string }
	text, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(text, &body); err != nil || r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/query") || !strings.HasPrefix(r.URL.Path, "/v1/") ||
		r.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") || !strings.HasPrefix(r.Header.Get("Prefer"), "wait=") {
		w.t.Errorf("it asked %s %s with %v: %s", r.Method, r.URL, r.Header, text)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queries = append(w.queries, body.Query)
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	if !strings.Contains(body.Query, "extend slot = case(") {
		_, _ = io.WriteString(rw, w.value)
		return
	}
	_ = json.NewEncoder(rw).Encode(map[string]any{"tables": []any{w.count(body.Query)}})
}

// count does what the query says.
func (w *workspace) count(query string) map[string]any {
	now := w.now.Add(w.skew)
	find := func(pattern string) []string { return regexp.MustCompile(pattern).FindStringSubmatch(query) }
	delay := 180 * time.Second
	if m := find(`let delay = ([\d.]+) \* 1s;`); m != nil {
		seconds, _ := strconv.ParseFloat(m[1], 64)
		delay = time.Duration(seconds * float64(time.Second))
	} else if strings.Contains(query, "percentile((ingestion_time() - TimeGenerated) / 1s, 99)") {
		measured := time.Duration(-1)
		for _, r := range w.records {
			if !r.arrived.After(now) {
				measured = max(measured, r.arrived.Sub(r.generated))
			}
		}
		if measured >= 0 {
			delay = max(30*time.Second, min(15*time.Minute, measured))
		}
	} else {
		w.t.Errorf("no delay in %s", query)
	}
	until, since := now.Add(-delay), now.Add(-delay)
	if m := find(`max_of\(now\(\) - delay, datetime\(([^)]+)\)\);\nlet since = datetime\(([^)]+)\);`); m != nil {
		before, err := time.Parse(time.RFC3339Nano, m[1])
		if err == nil {
			since, err = time.Parse(time.RFC3339Nano, m[2])
		}
		if err != nil {
			w.t.Error(err)
		}
		if before.After(until) {
			until = before
		}
	}
	type key struct{ slot, code string }
	sums := map[key][2]int{}
	slots := regexp.MustCompile(`AppRoleInstance startswith "([\w-]+)"((?: and not\(AppRoleInstance startswith "[\w-]+"\))*), "(\w+)"`).FindAllStringSubmatch(query, -1)
	limit := 1e9
	if m := find(`DurationMs > ([\d.]+)`); m != nil {
		limit, _ = strconv.ParseFloat(m[1], 64)
	}
	for _, r := range w.records {
		for _, s := range slots {
			if begins(r.instance, s[1], s[2]) && !r.arrived.After(now) && !r.generated.Before(since) && r.generated.Before(until) {
				k := key{s[3], r.code}
				n, items := sums[k], 1
				if strings.Contains(query, "requests = sum(ItemCount), slow = sumif(ItemCount, ") {
					items = r.items
				}
				n[0] += items
				if r.millis > limit {
					n[1] += items
				}
				sums[k] = n
				break
			}
		}
	}
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.9999999Z") }
	rows := [][]any{{"", "", 0, 0, stamp(since), stamp(until), now.Sub(until).Seconds()}}
	for k, n := range sums {
		rows = append(rows, []any{k.slot, k.code, n[0], n[1], stamp(since), stamp(until), now.Sub(until).Seconds()})
	}
	columns := []map[string]string{}
	for _, c := range []string{"slot string", "code string", "requests long", "slow long", "since datetime", "until datetime", "behind real"} {
		name, kind, _ := strings.Cut(c, " ")
		columns = append(columns, map[string]string{"name": name, "type": kind})
	}
	return map[string]any{"name": "PrimaryResult", "columns": columns, "rows": rows}
}

// begins says whether a pod's name begins so, and not as conditions say that it must not.
func begins(instance, prefix, but string) bool {
	for _, m := range regexp.MustCompile(`startswith "([\w-]+)"`).FindAllStringSubmatch(but, -1) {
		if strings.HasPrefix(instance, m[1]) {
			return false
		}
	}
	return strings.HasPrefix(instance, prefix)
}

// open reads through the library's real pipeline. Whatever host is asked for is found on loopback.
func (w *workspace) open(t *testing.T, change func(*azuremonitor.Options)) *azuremonitor.Workspace {
	t.Helper()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.Server.Listener.Addr().String())
		},
		TLSClientConfig: &tls.Config{RootCAs: w.Server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"},
	}
	t.Cleanup(transport.CloseIdleConnections)
	o := azuremonitor.Options{
		Workspace: workspaceID, Credential: &azfake.TokenCredential{}, Now: w.Now, AnswerTime: time.Minute, Transport: &http.Client{Transport: transport},
	}
	if change != nil {
		change(&o)
	}
	opened, err := azuremonitor.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func (w *workspace) source(t *testing.T, question metric.Question, change func(*azuremonitor.Options)) *azuremonitor.Source {
	t.Helper()
	s, err := w.open(t, change).Source(subject(), question, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// one is the answer to a query of one's own: a cell as JSON.
func one(cells string) string {
	return fmt.Sprintf(`{"tables":[{"name":"PrimaryResult","columns":[{"name":"value","type":"real"}],"rows":[%s]}]}`, cells)
}
