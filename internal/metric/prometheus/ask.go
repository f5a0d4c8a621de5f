package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	// maxBytes bounds one answer.
	maxBytes = 16 << 20
)

// answer is what the server gave.
type answer struct {
	value    model.Value
	warnings []string
	// moment is when the server evaluated it, by its own clock; zero where it does not say.
	moment time.Time
}

// ask evaluates an expression at a moment of the server's clock, or now.
func (s *Server) ask(ctx context.Context, expression string, moment time.Time, cost *metric.Cost) (answer, error) {
	count := &tally{}
	inner, cancel := context.WithTimeout(context.WithValue(ctx, tallyKey{}, count), s.o.AnswerTime)
	defer cancel()
	value, warnings, err := s.api.Query(inner, expression, moment, promv1.WithTimeout(s.o.AnswerTime*9/10))
	*cost = cost.Add(count.Cost)
	if err != nil {
		return answer{}, s.failure(ctx, inner, expression, err)
	}
	a := answer{value: value, warnings: warnings}
	switch v := value.(type) {
	case model.Vector:
		if len(v) > maxSeries {
			return answer{}, fault.New(fault.Usage, "", "the query gave %d series; at most %d are taken", len(v), maxSeries).
				WithHint("select the slot's series only, or sum by a few labels")
		}
		if len(v) > 0 {
			a.moment = v[0].Timestamp.Time()
		}
	case *model.Scalar:
		a.moment = v.Timestamp.Time()
	case nil:
		return answer{}, metric.Down(ctx, "", errors.New("what it answers is no result of a query")).WithHint("is this the URL of a Prometheus?")
	default:
		return answer{}, fault.New(fault.Usage, "", "the query gave a %s, and not numbers of one moment: %s", value.Type(), expression).
			WithHint("leave out the range, as in requests_total, or reduce it, as in increase(requests_total[5m])")
	}
	return a, nil
}

// counters are what was counted, series by series.
func (a answer) counters() (model.Vector, []uint64, error) {
	vector, ok := a.value.(model.Vector)
	if !ok {
		if scalar, is := a.value.(*model.Scalar); is {
			vector = model.Vector{{Metric: model.Metric{}, Value: scalar.Value, Timestamp: scalar.Timestamp}}
		}
	}
	counts := make([]uint64, len(vector))
	for i, sample := range vector {
		if sample.Histogram != nil {
			return nil, nil, fault.New(fault.Usage, "", "%s is a histogram, and no counter", sample.Metric).
				WithHint("take its count: histogram_count(…)")
		}
		n, err := metric.Count(float64(sample.Value))
		if err != nil {
			return nil, nil, fault.New(fault.Usage, "", "%s: %w", sample.Metric, err).
				WithHint("ask for counters as they are, without rate() and without dividing")
		}
		counts[i] = n
	}
	return vector, counts, nil
}

// number is the one number that was asked for.
func (a answer) number() (float64, error) {
	var number float64
	switch v := a.value.(type) {
	case *model.Scalar:
		number = float64(v.Value)
	case model.Vector:
		switch {
		case len(v) == 0:
			return 0, metric.NoData("", "the query found no series").WithHint("does the candidate have requests already? Try the query in the server's own page")
		case len(v) > 1:
			return 0, fault.New(fault.Usage, "", "the query gave %d series, and not one: %s, %s …", len(v), v[0].Metric, v[1].Metric).
				WithHint("make one number of them, for example with sum(…)")
		case v[0].Histogram != nil:
			return 0, fault.New(fault.Usage, "", "the query gave a histogram, and not a number").WithHint("take a quantile of it: histogram_quantile(0.99, …)")
		}
		number = float64(v[0].Value)
	}
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return 0, metric.NoData("", "the query gave %v", number).
			WithHint("that comes from dividing by nothing, which is what there is before the first request")
	}
	return number, nil
}

// failure says why there is no answer.
func (s *Server) failure(ctx, inner context.Context, expression string, err error) error {
	var told *promv1.Error
	var status *statusError
	var outer *url.Error
	switch {
	case inner.Err() != nil:
		return metric.Down(ctx, "", fmt.Errorf("it does not answer within %s", s.o.AnswerTime)).WithHint("ask for less, or look at the load of %s", s.name)
	case errors.As(err, &status):
		return s.refused(ctx, status)
	case errors.As(err, &told) && (told.Type == promv1.ErrBadData || told.Type == promv1.ErrExec):
		return fault.New(fault.Usage, "", "it does not take the query: %s: %s", metric.Short(told.Msg), expression).
			WithHint("try the query in the server's own page")
	case errors.As(err, &told):
		return metric.Down(ctx, "", errors.New(said(told))).WithHint("look at %s", s.name)
	case errors.As(err, &outer):
		err = outer.Err
	case strings.Contains(err.Error(), "unexpected value type"): // the library reads no texts
		return fault.New(fault.Usage, "", "the query gave a string, and not numbers: %s", expression).WithHint("ask for a number")
	}
	return metric.Down(ctx, "", errors.New(metric.Short(err.Error()))).WithHint("check that %s is a Prometheus and can be reached from here", s.name)
}

func (s *Server) refused(ctx context.Context, status *statusError) error {
	down := metric.Down(ctx, "", status)
	switch status.code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return down.WithHint("give the header that %s asks for, such as Authorization, from a variable", s.name)
	case http.StatusNotFound:
		return down.WithHint("is %s the address below which /api/v1/query is? Servers of several tenants have a path before it", s.name)
	case http.StatusTooManyRequests:
		return down.WithHint("it is asked too much: ask for less, or less often")
	}
	if status.code >= 300 && status.code < 400 {
		return down.WithHint("it leads elsewhere, where the headers are not sent: name that address, if it is the server's")
	}
	return down.WithHint("look at the health of %s", s.name)
}

// said are the words of an error; the library keeps those of some for its detail.
func said(e *promv1.Error) string {
	var detail struct{ ErrorType, Error string }
	if json.Unmarshal([]byte(e.Detail), &detail) == nil && detail.Error != "" {
		return metric.Short(detail.ErrorType + ": " + detail.Error)
	}
	return metric.Short(string(e.Type) + ": " + e.Msg)
}

// statusError is an answer that is no API's.
type statusError struct{ code int }

func (s *statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("it answered %d %s", s.code, http.StatusText(s.code)))
}

// errTooMuch says that an answer is larger than what is read of one.
var errTooMuch = fmt.Errorf("its answer has more than %d bytes", maxBytes)

type tallyKey struct{}

type tally struct{ metric.Cost }

// transport sends the headers, and counts and bounds what comes back.
type transport struct {
	next    http.RoundTripper
	headers map[string]variables.Value
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, value := range t.headers {
		r.Header.Set(name, value.Reveal())
	}
	count, _ := r.Context().Value(tallyKey{}).(*tally)
	if count == nil {
		count = &tally{}
	}
	count.Requests++
	response, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	speaks := []int{http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusServiceUnavailable}
	if r.Method == http.MethodPost { // the client asks again by GET
		speaks = append(speaks, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented)
	}
	if !slices.Contains(speaks, response.StatusCode) {
		_ = response.Body.Close()
		return nil, &statusError{response.StatusCode}
	}
	response.Body = &bounded{body: response.Body, count: count, left: maxBytes}
	return response, nil
}

type bounded struct {
	body  io.ReadCloser
	count *tally
	left  int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.body.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.count.Bytes += int64(n)
	return n, err
}

func (b *bounded) Close() error { return b.body.Close() }
