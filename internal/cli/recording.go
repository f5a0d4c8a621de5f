package cli

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/metric"
)

// recorded is one line of recorded counters.
type recorded struct {
	at, since time.Time
	slot      string
	// alone says that the candidate has all traffic.
	alone    bool
	counters metric.Counters
}

// replay reads recorded counters, CSV or JSON lines, and hands on what was read at each moment. Errors name the line.
func replay(in io.Reader, look func(analysis.Read)) error {
	buffered := bufio.NewReader(in)
	first, err := buffered.Peek(1)
	if errors.Is(err, io.EOF) {
		return errors.New("there is nothing in it")
	}
	if err != nil {
		return err
	}
	next := jsonLines(buffered)
	if first[0] != '{' {
		if next, err = csvLines(buffered); err != nil {
			return err
		}
	}
	var read analysis.Read
	for {
		s, line, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = join(&read, s, look)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
	}
	if read.At.IsZero() {
		return errors.New("there are no counters in it")
	}
	look(read)
	return nil
}

// usualGap is the time between two reads of a recording from which on something is missing between them: that of a source that is read every
// second, and more where the recording is coarser than that.
func usualGap(reads []analysis.Read) time.Duration {
	const least, longest = 30 * time.Second, 365 * 24 * time.Hour
	var apart []time.Duration
	for i := 1; i < len(reads); i++ {
		apart = append(apart, reads[i].At.Sub(reads[i-1].At))
	}
	if len(apart) == 0 {
		return least
	}
	slices.Sort(apart)
	return max(least, 4*min(apart[len(apart)/2], longest))
}

// join adds a line to the read of its moment, and hands on the read before when a later moment begins.
func join(read *analysis.Read, s recorded, look func(analysis.Read)) error {
	switch {
	case s.at.Before(read.At):
		return fmt.Errorf("%s is before the line above; sort them by time", s.at.Format(time.RFC3339Nano))
	case s.at.After(read.At):
		if !read.At.IsZero() {
			look(*read)
		}
		*read = analysis.Read{At: s.at}
	}
	if !s.since.IsZero() {
		if !read.Since.IsZero() && !read.Since.Equal(s.since) {
			return errors.New("since is another one than in the line above, which is of the same time")
		}
		read.Since = s.since
	}
	read.Alone = read.Alone || s.alone
	to := &read.Candidate
	if s.slot == "live" {
		to = &read.Live
	}
	if *to != nil {
		return fmt.Errorf("a second line of %s at the same time", s.slot)
	}
	*to = &s.counters
	return nil
}

func csvLines(in io.Reader) (func() (recorded, int, error), error) {
	r := csv.NewReader(in)
	r.TrimLeadingSpace = true
	header, err := r.Read()
	if err != nil {
		return nil, err
	}
	known := []string{"time", "slot", "requests", "failed", "slow", "alone", "since"}
	for i, name := range header {
		if !slices.Contains(known, name) || slices.Contains(header[:i], name) {
			return nil, fmt.Errorf("line 1: the first line names the columns time, slot, requests, failed and, if they are there, slow, alone and since; %q is none or there twice", name)
		}
	}
	for _, name := range known[:4] {
		if !slices.Contains(header, name) {
			return nil, fmt.Errorf("line 1: there is no column %s", name)
		}
	}
	header = slices.Clone(header)
	return func() (recorded, int, error) {
		fields, err := r.Read()
		if wrong := (*csv.ParseError)(nil); errors.As(err, &wrong) {
			return recorded{}, wrong.Line, wrong.Err
		}
		if err != nil {
			return recorded{}, 0, err
		}
		line, _ := r.FieldPos(0)
		values := map[string]string{}
		for i, name := range header {
			values[name] = fields[i]
		}
		s, err := parseSample(values)
		return s, line, err
	}, nil
}

func jsonLines(in io.Reader) func() (recorded, int, error) {
	lines := bufio.NewScanner(in)
	line := 0
	return func() (recorded, int, error) {
		for lines.Scan() {
			line++
			text := bytes.TrimSpace(lines.Bytes())
			if len(text) == 0 {
				continue
			}
			d := json.NewDecoder(bytes.NewReader(text))
			d.DisallowUnknownFields()
			var raw struct{ Time, Slot, Requests, Failed, Slow, Alone, Since json.RawMessage }
			if err := d.Decode(&raw); err != nil {
				return recorded{}, line, err
			}
			if d.More() {
				return recorded{}, line, errors.New("there is more than one object")
			}
			values := map[string]string{}
			for name, v := range map[string]json.RawMessage{"time": raw.Time, "slot": raw.Slot, "requests": raw.Requests, "failed": raw.Failed,
				"slow": raw.Slow, "alone": raw.Alone, "since": raw.Since} {
				if v != nil {
					values[name] = strings.Trim(string(v), `"`)
				}
			}
			s, err := parseSample(values)
			return s, line, err
		}
		if err := lines.Err(); err != nil {
			return recorded{}, line + 1, err
		}
		return recorded{}, line, io.EOF
	}
}

func parseSample(values map[string]string) (s recorded, err error) {
	if s.at, err = parseMoment("time", values["time"]); err != nil {
		return s, err
	}
	if s.slot = values["slot"]; s.slot != "candidate" && s.slot != "live" {
		return s, fmt.Errorf("slot is %q; it must be candidate or live", s.slot)
	}
	for name, to := range map[string]*uint64{"requests": &s.counters.Requests, "failed": &s.counters.Failed, "slow": &s.counters.Slow} {
		text, given := values[name]
		if !given && name == "slow" {
			continue
		}
		if *to, err = strconv.ParseUint(text, 10, 64); err != nil {
			return s, fmt.Errorf("%s is %q; it must be a whole number, 0 or more", name, text)
		}
	}
	if s.counters.Failed > s.counters.Requests || s.counters.Slow > s.counters.Requests {
		return s, fmt.Errorf("%d requests, of which %d failed and %d were slow, cannot be", s.counters.Requests, s.counters.Failed, s.counters.Slow)
	}
	return s, s.circumstances(values["alone"], values["since"])
}

// circumstances are what need not be said.
func (s *recorded) circumstances(alone, since string) (err error) {
	switch s.alone = alone == "true"; {
	case s.alone && s.slot == "live":
		return errors.New("alone is true in a line of live; it is said of the candidate")
	case !s.alone && alone != "" && alone != "false":
		return fmt.Errorf("alone is %q; it must be true or false", alone)
	case since == "":
		return nil
	}
	if s.since, err = parseMoment("since", since); err == nil && s.since.After(s.at) {
		err = fmt.Errorf("since is %s, which is after time", since)
	}
	return err
}

// parseMoment takes RFC 3339, or seconds since 1970.
func parseMoment(name, text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil && at.Year() >= 1970 {
		return at, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0 && seconds < 1e11) {
		return time.Time{}, fmt.Errorf("%s is %q; it must be like 2026-01-31T12:00:00Z, or seconds since 1970", name, text)
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)).UTC(), nil
}
