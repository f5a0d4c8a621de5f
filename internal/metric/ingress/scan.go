package ingress

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sluice-dev/sluice/internal/metric"
)

// Bounds of what is read of one replica. A controller with 20 000 series answers with about 5 MB.
const (
	maxBytes  = 64 << 20
	maxLine   = 64 << 10
	maxSeries = 200_000
	maxBounds = 1000
)

// kind is what a counter counts.
type kind int

const (
	counted kind = iota // requests, by code
	timed               // requests whose duration is known
	fast                // requests that took no longer than a bound
	both                // requests by code, whose duration is known
)

// series is a counter that somebody wanted.
type series struct {
	kind     kind
	identity []string
	code     string
	// bound of fast requests.
	bound time.Duration
	// labels are all of them, to tell series of one identity apart.
	labels string
	value  uint64
}

// page is what one replica said.
type page struct {
	format *format
	born   time.Time
	// series by who wants them.
	series map[*Source][]series
	// bounds are those that durations are counted by, ascending.
	bounds []time.Duration
}

// wish is what is looked for on a page.
type wish struct {
	// sources are those that want what is counted under the values of a format's identity, which are joined by separators.
	sources func(f *format, key []byte) []*Source
	// limits are the bounds for which fast requests are wanted.
	limits []time.Duration
}

// separator stands between the values of labels; none holds one.
const separator = "\x00"

// scan reads a page in Prometheus' text format or OpenMetrics. Most lines are about others: what is not wanted is passed over without
// being parsed, and the rest is read by Prometheus' own parser.
func scan(r io.Reader, w wish, now time.Time) (*page, error) {
	s := scanner{wish: w, now: now, page: &page{series: map[*Source][]series{}}}
	whole := &io.LimitedReader{R: r, N: maxBytes + 1}
	lines := bufio.NewScanner(whole)
	lines.Buffer(make([]byte, 0, 16<<10), maxLine)
	for lines.Scan() {
		if err := s.line(lines.Bytes()); err != nil {
			return nil, err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("a line of it has more than %d bytes", maxLine)
	case err != nil:
		return nil, err
	case whole.N <= 0:
		return nil, fmt.Errorf("it has more than %d bytes", maxBytes)
	case s.page.format == nil:
		return nil, errStranger
	}
	return s.page, s.parse()
}

// errStranger says that something else answers than an ingress controller.
var errStranger = errors.New("what it answers is no metrics of Traefik, ingress-nginx or Envoy")

type scanner struct {
	wish wish
	now  time.Time
	page *page
	// kept are the lines that are wanted, without what only OpenMetrics has.
	kept  bytes.Buffer
	count int
	// first is the identity whose bounds are collected: all have the same.
	first []byte
	key   []byte
}

// sample is one line in parts, which are parts of the line.
type sample struct {
	name, labels, value []byte
}

// split takes a line apart; false for comments and for what is no sample.
func split(line []byte) (sample, bool) {
	line = bytes.TrimRight(line, " \t\r")
	if len(line) == 0 || line[0] == '#' {
		return sample{}, false
	}
	at := bytes.IndexAny(line, "{ \t")
	if at < 0 {
		return sample{}, false
	}
	s, rest := sample{name: line[:at]}, line[at:]
	if rest[0] == '{' {
		end := closing(rest)
		if end < 0 {
			return sample{}, false
		}
		s.labels, rest = rest[1:end], rest[end+1:]
	}
	// Behind the value there may be a moment, and an exemplar.
	rest = bytes.TrimLeft(rest, " \t")
	if at := bytes.IndexAny(rest, " \t"); at >= 0 {
		rest = rest[:at]
	}
	s.value = rest
	return s, len(rest) > 0
}

// closing is the place of the brace that ends the labels, which may hold braces within quotes.
func closing(text []byte) int {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '}' && !quoted:
			return i
		}
	}
	return -1
}

// label finds the value of a label, as it is written.
func label(labels []byte, name string) []byte {
	for len(labels) > 0 {
		equals := bytes.IndexByte(labels, '=')
		if equals < 0 || equals+1 >= len(labels) || labels[equals+1] != '"' {
			return nil
		}
		key := bytes.Trim(labels[:equals], " \t,")
		value := labels[equals+2:]
		end := 0
		for end < len(value) && value[end] != '"' {
			if value[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(value) {
			return nil
		}
		if string(key) == name {
			return value[:end]
		}
		labels = value[end+1:]
	}
	return nil
}

func (s *scanner) line(line []byte) error {
	one, ok := split(line)
	if !ok {
		return nil
	}
	if s.page.format == nil {
		for _, f := range formats() {
			if bytes.HasPrefix(one.name, []byte(f.prefix)) {
				s.page.format = f
			}
		}
	}
	if string(one.name) == "process_start_time_seconds" {
		if seconds, err := strconv.ParseFloat(string(one.value), 64); err == nil && seconds > 0 && seconds < 1<<40 {
			s.page.born = time.UnixMilli(int64(seconds * 1000))
		}
		return nil
	}
	f := s.page.format
	if f == nil || !bytes.HasPrefix(one.name, []byte(f.prefix)) {
		return nil
	}
	if string(one.name) == f.age {
		if seconds, err := strconv.ParseFloat(string(one.value), 64); err == nil && seconds >= 0 && seconds < 1<<31 {
			s.page.born = s.now.Add(-time.Duration(seconds * float64(time.Second)))
		}
		return nil
	}
	return s.counter(f, one)
}

// counter keeps a line that is wanted.
func (s *scanner) counter(f *format, one sample) error {
	bucket := false
	switch rest, duration := bytes.CutPrefix(one.name, []byte(f.duration)); {
	case string(one.name) == f.requests:
	case !duration || len(s.wish.limits) == 0:
		return nil
	case string(rest) == "_bucket":
		bucket = true
	case string(rest) != "_count":
		return nil
	}
	s.key = s.key[:0]
	for i, name := range f.identity {
		if i > 0 {
			s.key = append(s.key, separator...)
		}
		s.key = append(s.key, label(one.labels, name)...)
	}
	if bucket && !s.bucket(f, one) || len(s.wish.sources(f, s.key)) == 0 {
		return nil
	}
	if s.count++; s.count > maxSeries {
		return fmt.Errorf("it has more than %d series of the slots", maxSeries)
	}
	for _, part := range [][]byte{one.name, {'{'}, one.labels, {'}', ' '}, one.value, {'\n'}} {
		s.kept.Write(part)
	}
	return nil
}

// bucket notes the bound of a bucket, and says whether somebody wants it.
func (s *scanner) bucket(f *format, one sample) bool {
	bound, ok := f.bound(label(one.labels, "le"))
	if !ok {
		return false
	}
	if s.first == nil {
		s.first = bytes.Clone(s.key)
	}
	if bytes.Equal(s.first, s.key) && len(s.page.bounds) < maxBounds && !slices.Contains(s.page.bounds, bound) {
		s.page.bounds = append(s.page.bounds, bound)
	}
	return slices.Contains(s.wish.limits, bound)
}

// bound reads the upper end of a bucket; false for the last one, which has none.
func (f *format) bound(text []byte) (time.Duration, bool) {
	bound, err := strconv.ParseFloat(string(text), 64)
	nanoseconds := math.Round(bound * float64(f.unit))
	if err != nil || !(nanoseconds > 0 && nanoseconds < 1<<62) {
		return 0, false
	}
	return time.Duration(nanoseconds), true
}

// parse reads what was kept.
func (s *scanner) parse() error {
	slices.Sort(s.page.bounds)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(&s.kept)
	if err != nil {
		return err
	}
	f := s.page.format
	for name, family := range families {
		what := counted
		switch name {
		case f.duration + "_count":
			what = timed
		case f.duration + "_bucket":
			what = fast
		}
		for _, m := range family.GetMetric() {
			one, err := f.read(what, m)
			if err != nil {
				return fmt.Errorf("%s of %q: %w", name, one.identity, err)
			}
			for _, source := range s.wish.sources(f, []byte(strings.Join(one.identity, separator))) {
				s.page.series[source] = append(s.page.series[source], one)
			}
		}
	}
	return nil
}

// read makes a series of a sample.
func (f *format) read(what kind, m *dto.Metric) (series, error) {
	one := series{kind: what, identity: make([]string, len(f.identity))}
	var labels []byte
	for _, l := range m.GetLabel() {
		switch name := l.GetName(); name {
		case f.code:
			one.code = l.GetValue()
		case "le":
			one.bound, _ = f.bound([]byte(l.GetValue()))
		default:
			if at := slices.Index(f.identity, name); at >= 0 {
				one.identity[at] = l.GetValue()
			}
		}
		labels = strconv.AppendQuote(append(labels, l.GetName()...), l.GetValue())
	}
	one.labels = string(labels)
	var err error
	one.value, err = metric.Count(m.GetUntyped().GetValue())
	return one, err
}
