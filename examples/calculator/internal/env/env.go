// Package env reads settings from environment variables; it must not give them a meaning.
package env

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// Reader reads variables and remembers every problem, so that all of them are reported at once.
type Reader struct {
	get      func(string) string
	problems []error
}

// NewReader reads through get, which is os.Getenv but in tests.
func NewReader(get func(string) string) *Reader { return &Reader{get: get} }

// Err returns all problems found so far, or nil.
func (r *Reader) Err() error { return errors.Join(r.problems...) }

// Text returns a variable, or the default where it is empty.
func (r *Reader) Text(name, def string) string {
	if text := r.get(name); text != "" {
		return text
	}
	return def
}

// URL returns the address of an HTTP service.
func (r *Reader) URL(name, def string) string {
	return read(r, name, def, "an address such as http://backend:8080", func(text string) (string, error) {
		u, err := url.Parse(text)
		if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			err = strconv.ErrSyntax
		}
		return text, err
	})
}

// Bool returns a switch; the default is used where the variable is empty.
func (r *Reader) Bool(name string, def bool) bool {
	return read(r, name, def, "true or false", strconv.ParseBool)
}

// Duration returns a length of time such as "500ms" or "5s"; a bare number counts seconds.
func (r *Reader) Duration(name string, def time.Duration) time.Duration {
	return read(r, name, def, "a duration such as 500ms or 5s, not negative", func(text string) (time.Duration, error) {
		if _, err := strconv.Atoi(text); err == nil {
			text += "s"
		}
		d, err := time.ParseDuration(text)
		if err == nil && d < 0 {
			err = strconv.ErrRange
		}
		return d, err
	})
}

// Share returns a part of a whole, from 0 (none) to 1 (all).
func (r *Reader) Share(name string, def float64) float64 {
	return read(r, name, def, "a share from 0 to 1, such as 0.2", func(text string) (float64, error) {
		share, err := strconv.ParseFloat(text, 64)
		if err == nil && !(share >= 0 && share <= 1) { // written so that NaN is refused, too
			err = strconv.ErrRange
		}
		return share, err
	})
}

// Count returns a whole number that is not negative.
func (r *Reader) Count(name string, def int) int {
	return read(r, name, def, "a whole number, not negative", func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err == nil && n < 0 {
			err = strconv.ErrRange
		}
		return n, err
	})
}

func read[T any](r *Reader, name string, def T, want string, parse func(string) (T, error)) T {
	text := r.get(name)
	if text == "" {
		return def
	}
	value, err := parse(text)
	if err != nil {
		r.problems = append(r.problems, fmt.Errorf("environment variable %s=%q: want %s", name, text, want))
		return def
	}
	return value
}
