package azuremonitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/metric"
)

const (
	// maxBytes bounds an answer, maxRows what of it is read: a slot's requests by code are few.
	maxBytes = 8 << 20
	maxRows  = 10_000
)

// table is what a query gave.
type table struct {
	Name    string `json:"name"`
	Columns []struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"columns"`
	Rows [][]any `json:"rows"`
}

// problem is what the service says in an error.
type problem struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Inner   *problem `json:"innererror"`
}

// String gives the code and the innermost message, which says most.
func (p *problem) String() string {
	text := p.Message
	for inner := p.Inner; inner != nil; inner = inner.Inner {
		if inner.Message != "" {
			text = inner.Message
		}
	}
	return metric.Short(p.Code + ": " + text)
}

// ask runs a query.
func (w *Workspace) ask(ctx context.Context, query string) (table, metric.Cost, error) {
	inner, cancel := context.WithTimeout(ctx, w.o.AnswerTime)
	defer cancel()
	cost := metric.Cost{Requests: 1}
	request, err := runtime.NewRequest(inner, http.MethodPost, w.url)
	if err == nil {
		request.Raw().Header.Set("Prefer", "wait="+strconv.Itoa(max(1, int(w.o.AnswerTime.Seconds())*9/10)))
		runtime.SkipBodyDownload(request) // it is read below, up to a bound
		err = runtime.MarshalAsJSON(request, map[string]string{"query": query})
	}
	if err != nil {
		return table{}, cost, fault.Wrap(fault.Internal, "", err)
	}
	response, err := w.pipeline.Do(request)
	var body []byte
	if err == nil {
		defer func() { _ = response.Body.Close() }()
		body, err = io.ReadAll(io.LimitReader(response.Body, maxBytes+1))
	}
	cost.Bytes = int64(len(body))
	switch {
	case err != nil:
		return table{}, cost, w.lost(ctx, inner, err)
	case len(body) > maxBytes:
		return table{}, cost, metric.Down(ctx, "", fmt.Errorf("its answer has more than %d bytes", maxBytes)).WithHint("summarize in the query")
	}
	var said struct {
		Tables []table  `json:"tables"`
		Error  *problem `json:"error"`
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	err = decoder.Decode(&said)
	switch {
	case response.StatusCode != http.StatusOK:
		return table{}, cost, w.refused(ctx, response, said.Error)
	case err != nil || len(said.Tables) == 0:
		return table{}, cost, metric.Down(ctx, "", errors.New("what it answers is no result of a query")).
			WithHint("does a proxy or a sign-in page answer in place of %s?", w.url)
	case said.Error != nil:
		return table{}, cost, metric.Down(ctx, "", fmt.Errorf("it answered a part only: %s", said.Error)).
			WithHint("the query takes too much: let it look at less")
	}
	for _, t := range said.Tables {
		if t.Name == "PrimaryResult" {
			return t, cost, nil
		}
	}
	return said.Tables[0], cost, nil
}

// lost says why there is no answer.
func (w *Workspace) lost(ctx, inner context.Context, err error) error {
	var noToken *identity.NoToken
	var outer *url.Error
	switch {
	case errors.As(err, &noToken) && inner.Err() == nil:
		return metric.Down(ctx, "", fmt.Errorf("there is no token for it: %w", noToken.Err)).
			WithHint("sign in as somebody who may read it, for example with az login, or give the run a federated or managed identity")
	case inner.Err() != nil:
		err = fmt.Errorf("it does not answer within %s", w.o.AnswerTime)
	case errors.As(err, &outer):
		err = outer.Err
	}
	return metric.Down(ctx, "", err).WithHint("check the network and the proxy between here and %s", w.o.Endpoint)
}

func (w *Workspace) refused(ctx context.Context, response *http.Response, said *problem) error {
	text := fmt.Sprintf("it answered %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	if said != nil && said.Code != "" {
		text += ": " + said.String()
	}
	down := metric.Down(ctx, "", errors.New(text))
	switch code := response.StatusCode; {
	case code == http.StatusBadRequest && said != nil:
		return fault.New(fault.Usage, "", "it does not take the query: %s", said).WithHint("try the query in the portal, under Logs")
	case code == http.StatusNotFound && said != nil:
		return fault.New(fault.Usage, "", "there is no workspace %s: %s", w.name, said).
			WithHint("az monitor log-analytics workspace list --query '[].customerId'")
	case code == http.StatusUnauthorized:
		return down.WithHint("sign in to the directory that %s belongs to", w.name)
	case code == http.StatusForbidden:
		return down.WithHint("grant the role: az role assignment create --role 'Log Analytics Reader' --assignee-object-id OBJECT-ID --scope WORKSPACE-RESOURCE-ID")
	case code == http.StatusTooManyRequests:
		after := ""
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
			after = fmt.Sprintf(", in %d s at the earliest", seconds)
		}
		return down.WithHint("it takes 200 queries in 30 seconds of one identity: read less often%s", after)
	}
	return down.WithHint("look at the health of Azure Monitor in the region of %s", w.name)
}

// row counts one slot's requests of one code.
type row struct {
	slot     v1alpha1.Slot
	code     string
	requests uint64
	slow     uint64
}

// moment is what rows are of, by the service's clock.
type moment struct {
	since, until string
	behind       time.Duration
}

// cells gives a row's cells by the names of their columns.
func (t table) cells(row []any) map[string]any {
	cells := map[string]any{}
	for i, c := range t.Columns {
		if i < len(row) {
			cells[c.Name] = row[i]
		}
	}
	return cells
}

// counters reads the rows of Source's query.
func (t table) counters(slots []v1alpha1.Slot) ([]row, moment, error) {
	if len(t.Rows) == 0 || len(t.Rows) > maxRows {
		return nil, moment{}, fmt.Errorf("it gave %d rows", len(t.Rows))
	}
	var rows []row
	var when moment
	for _, cells := range t.Rows {
		one, of, err := readRow(t.cells(cells))
		if err != nil {
			return nil, when, err
		}
		when = of
		if slices.Contains(slots, one.slot) {
			rows = append(rows, one)
		}
	}
	return rows, when, nil
}

// readRow reads one row. The moments are put into the next query as they are: what is none must not get there.
func readRow(cells map[string]any) (row, moment, error) {
	var texts [4]string
	for i, name := range []string{"slot", "code", "since", "until"} {
		texts[i], _ = cells[name].(string)
	}
	one := row{slot: v1alpha1.Slot(texts[0]), code: texts[1]}
	for _, stamp := range texts[2:] {
		if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil {
			return one, moment{}, errors.New("it does not say of when its answer is")
		}
	}
	behind, ok := number(cells["behind"])
	if !ok || !(behind >= 0 && behind <= 24*3600) {
		return one, moment{}, errors.New("it does not say how old its answer is")
	}
	for name, into := range map[string]*uint64{"requests": &one.requests, "slow": &one.slow} {
		n, ok := number(cells[name])
		if !ok {
			return one, moment{}, fmt.Errorf("%v is no count of requests", cells[name])
		}
		var err error
		if *into, err = metric.Count(n); err != nil {
			return one, moment{}, err
		}
	}
	return one, moment{texts[2], texts[3], time.Duration(behind * float64(time.Second))}, nil
}

// number is the one number that a query gave.
func (t table) number() (float64, error) {
	switch {
	case len(t.Columns) != 1:
		return 0, fault.New(fault.Usage, "", "the query gave %d columns, and not one", len(t.Columns)).WithHint("end it with | project value")
	case len(t.Rows) == 0:
		return 0, metric.NoData("", "the query gave no row").WithHint("does the candidate have requests already, and have their logs arrived?")
	case len(t.Rows) > 1:
		return 0, fault.New(fault.Usage, "", "the query gave %d rows, and not one", len(t.Rows)).WithHint("make one number of them with summarize")
	}
	var cell any
	if len(t.Rows[0]) == 1 {
		cell = t.Rows[0][0]
	}
	n, ok := number(cell)
	switch {
	case cell == nil, ok && (math.IsNaN(n) || math.IsInf(n, 0)):
		return 0, metric.NoData("", "the query gave %v", cell).WithHint("that comes from dividing by nothing, which is what there is before the first request")
	case !ok:
		return 0, fault.New(fault.Usage, "", "the query gave %q, and not a number", fmt.Sprint(cell)).WithHint("end it with a number: | project toreal(value)")
	}
	return n, nil
}

// number reads a cell. JSON has no words for some numbers, and the service writes them as texts.
func number(cell any) (float64, bool) {
	switch v := cell.(type) {
	case json.Number:
		n, err := v.Float64()
		return n, err == nil
	case string:
		switch v {
		case "NaN":
			return math.NaN(), true
		case "Infinity":
			return math.Inf(1), true
		case "-Infinity":
			return math.Inf(-1), true
		}
	}
	return 0, false
}
