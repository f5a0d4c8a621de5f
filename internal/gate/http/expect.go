package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// expectation is what a passing answer looks like.
type expectation struct {
	status  int
	headers map[string]string
	body    *regexp.Regexp
	json    any
	hasJSON bool
	text    string
}

func newExpectation(spec v1alpha1.HTTPExpect) (expectation, error) {
	e := expectation{status: spec.Status, headers: spec.Headers}
	if e.status == 0 {
		e.status = http.StatusOK
	}
	words := []string{"status " + strconv.Itoa(e.status)}
	for _, name := range slices.Sorted(maps.Keys(e.headers)) {
		words = append(words, fmt.Sprintf("header %s: %s", name, e.headers[name]))
	}
	if spec.Body != "" {
		re, err := regexp.Compile(spec.Body)
		if err != nil {
			return e, fmt.Errorf("expect.body: %w", err)
		}
		e.body = re
		words = append(words, fmt.Sprintf("a body that matches %q", spec.Body))
	}
	if len(spec.JSON) > 0 {
		value, err := parse(spec.JSON)
		if err != nil {
			return e, fmt.Errorf("expect.json: %w", err)
		}
		e.json, e.hasJSON = value, true
		words = append(words, "JSON with "+clip(show(value)))
	}
	e.text = strings.Join(words, " and ")
	return e, nil
}

func (e expectation) String() string { return e.text }

// problem says in words what is not as expected, or "".
func (e expectation) problem(a answer) string {
	if a.status != e.status {
		return fmt.Sprintf("expected status %d, got %d", e.status, a.status)
	}
	for _, name := range slices.Sorted(maps.Keys(e.headers)) {
		values := a.header.Values(name)
		if slices.Contains(values, e.headers[name]) {
			continue
		}
		got := "none"
		if len(values) > 0 {
			got = clip(strings.Join(values, ", "))
		}
		return fmt.Sprintf("expected header %s: %s, got %s", name, e.headers[name], got)
	}
	if e.body != nil && !e.body.Match(a.body) {
		if a.cut {
			return fmt.Sprintf("expected a body that matches %q, got none within the first %d bytes", e.body, bodyLimit)
		}
		return fmt.Sprintf("expected a body that matches %q, got none", e.body)
	}
	if e.hasJSON {
		return e.jsonProblem(a)
	}
	return ""
}

func (e expectation) jsonProblem(a answer) string {
	if a.cut {
		return fmt.Sprintf("expected JSON, got more than the %d bytes that are read", bodyLimit)
	}
	got, err := parse(a.body)
	if err != nil {
		return fmt.Sprintf("expected JSON with %s, got what is no JSON: %v", clip(show(e.json)), err)
	}
	return contains("$", e.json, got)
}

// contains says where got lacks what is wanted, or "": objects by their named keys, everything else equal.
func contains(path string, want, got any) string {
	switch w := want.(type) {
	case map[string]any:
		return containsObject(path, w, got)
	case []any:
		return containsArray(path, w, got)
	case json.Number:
		if g, ok := got.(json.Number); ok && sameNumber(w, g) {
			return ""
		}
	default:
		// Strings, booleans and null; values of different types are never equal.
		if want == got {
			return ""
		}
	}
	return fmt.Sprintf("expected JSON %s at %s, got %s", clip(show(want)), path, clip(show(got)))
}

func containsObject(path string, want map[string]any, got any) string {
	g, ok := got.(map[string]any)
	if !ok {
		return fmt.Sprintf("expected a JSON object at %s, got %s", path, clip(show(got)))
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		inner := path + "." + key
		value, ok := g[key]
		if !ok {
			return fmt.Sprintf("expected JSON %s at %s, got no such key", clip(show(want[key])), inner)
		}
		if problem := contains(inner, want[key], value); problem != "" {
			return problem
		}
	}
	return ""
}

func containsArray(path string, want []any, got any) string {
	g, ok := got.([]any)
	if !ok || len(g) != len(want) {
		return fmt.Sprintf("expected JSON %s at %s, got %s", clip(show(want)), path, clip(show(got)))
	}
	for i := range want {
		if problem := contains(fmt.Sprintf("%s[%d]", path, i), want[i], g[i]); problem != "" {
			return problem
		}
	}
	return ""
}

// sameNumber compares by value, large integers by their digits because a float64 would blur them.
func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	if integer(a) && integer(b) {
		return false
	}
	x, errX := a.Float64()
	y, errY := b.Float64()
	return errX == nil && errY == nil && x == y
}

func integer(n json.Number) bool { return !strings.ContainsAny(n.String(), ".eE") }

// parse reads one JSON value and keeps numbers as they are written.
func parse(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("something follows the value at byte %d", d.InputOffset())
	}
	return value, nil
}

func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}

// clip bounds what a message quotes.
func clip(s string) string {
	const limit = 200
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
