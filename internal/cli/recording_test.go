package cli

import (
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/metric"
)

func TestReplayReads(t *testing.T) {
	want := []string{"1970-01-01T00:00:10Z 5/1/0 -", "1970-01-01T00:00:11.5Z 9/2/3 100/4/0"}
	for name, text := range map[string]string{
		"CSV":           "time,slot,requests,failed,slow\n10,candidate,5,1,0\n11.5,live,100,4,0\n11.5,candidate,9,2,3\n",
		"other order":   "slot, requests, slow, failed, time\ncandidate,5,0,1,1970-01-01T00:00:10Z\nlive,100,0,4,11.5\ncandidate,9,3,2,11.5\n",
		"lines of JSON": `{"time":10,"slot":"candidate","requests":5,"failed":1}` + "\n\n" + `{"time":"11.5","slot":"live","requests":100,"failed":4,"slow":0}` + "\n" + `{"time":11.5,"slot":"candidate","requests":9,"failed":2,"slow":3}`,
	} {
		var got []string
		err := replay(strings.NewReader(text), func(r analysis.Read) { got = append(got, line(r)) })
		if err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: %v %q", name, err, got)
		}
	}
}

func TestReplayReadsWhatNeedNotBeSaid(t *testing.T) {
	want := "1970-01-01T00:00:10Z since 5 7/1/0 5/1/0|1970-01-01T00:00:11Z alone 9/2/0 -"
	for name, text := range map[string]string{
		"CSV": "time,slot,requests,failed,alone,since\n10,live,5,1,false,5\n10,candidate,7,1,,\n11,candidate,9,2,true,\n",
		"lines of JSON": `{"time":10,"slot":"candidate","requests":7,"failed":1,"since":"1970-01-01T00:00:05Z"}` + "\n" +
			`{"time":10,"slot":"live","requests":5,"failed":1,"since":5}` + "\n" + `{"time":11,"slot":"candidate","requests":9,"failed":2,"alone":true}`,
	} {
		var got []string
		err := replay(strings.NewReader(text), func(r analysis.Read) { got = append(got, line(r)) })
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%s: %v %q", name, err, got)
		}
	}
}

func line(r analysis.Read) string {
	text := r.At.UTC().Format(time.RFC3339Nano)
	if !r.Since.IsZero() {
		text += fmt.Sprintf(" since %d", r.Since.Unix())
	}
	if r.Alone {
		text += " alone"
	}
	for _, c := range []*metric.Counters{r.Candidate, r.Live} {
		if c == nil {
			text += " -"
			continue
		}
		text += fmt.Sprintf(" %d/%d/%d", c.Requests, c.Failed, c.Slow)
	}
	return text
}

func TestReplayRefuses(t *testing.T) {
	const head = "time,slot,requests,failed\n"
	for text, want := range map[string]string{
		"":                                     "there is nothing in it",
		head:                                   "there are no counters in it",
		"time,slot,requests\n":                 "line 1: there is no column failed",
		"time,slot,requests,errors\n":          `line 1: the first line names the columns time, slot, requests, failed and, if they are there, slow, alone and since; "errors"`,
		"time,time,requests,failed\n":          `"time" is none or there twice`,
		head + "1,live,1,0\n1,live,2,0\n":      "line 3: a second line of live at the same time",
		head + "2,live,1,0\n1,candidate,2,0\n": "line 3: 1970-01-01T00:00:01Z is before the line above",
		head + "1,live,NaN,0\n":                `line 2: requests is "NaN"; it must be a whole number`,
		head + "1,live,1,-1\n":                 `line 2: failed is "-1"`,
		head + "1,live,1,2\n":                  "line 2: 1 requests, of which 2 failed",
		head + "1,green,1,0\n":                 `line 2: slot is "green"`,
		head + "yesterday,live,1,0\n":          `line 2: time is "yesterday"`,
		"time,slot,requests,failed,alone\n1,live,1,0,true\n":                 "line 2: alone is true in a line of live",
		"time,slot,requests,failed,alone\n1,candidate,1,0,1\n":               `line 2: alone is "1"; it must be true or false`,
		"time,slot,requests,failed,since\n1,live,1,0,yesterday\n":            `line 2: since is "yesterday"`,
		"time,slot,requests,failed,since\n1,live,1,0,2\n":                    "line 2: since is 2, which is after time",
		"time,slot,requests,failed,since\n3,live,1,0,1\n3,candidate,1,0,2\n": "line 3: since is another one than in the line above",
		head + "NaN,live,1,0\n":                                              `line 2: time is "NaN"`,
		head + "1,live,1\n":                                                  "line 2: wrong number of fields",
		head + "1,live,1,0\n\"1,live,1,0\n":                                  "line 3: extraneous or missing \" in quoted-field",
		`{"time":1,"slot":"live","requests":1}`:                              `line 1: failed is ""`,
		`{"time":1,"slt":"live"}`:                                            `line 1: json: unknown field "slt"`,
		`{"time":1}{"time":2}`:                                               "line 1: there is more than one object",
		"{\"time\":1":                                                        "line 1: unexpected EOF",
		"{\"a\":\"" + strings.Repeat("x", 100_000):                           "line 1: bufio.Scanner: token too long",
	} {
		err := replay(strings.NewReader(text), func(analysis.Read) {})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v; want %s", text, err, want)
		}
	}
	if err := replay(iotest.ErrReader(iotest.ErrTimeout), func(analysis.Read) {}); err == nil {
		t.Error("a file that cannot be read is no error")
	}
}
