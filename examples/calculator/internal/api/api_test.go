package api

import (
	"errors"
	"net/http/httptest"
	"testing"
)

func TestParseNumber(t *testing.T) {
	for _, tt := range []struct {
		text string
		want uint64
		bad  bool
	}{
		{text: "1", want: 1},
		{text: "221", want: 221},
		{text: "1000000000000", want: MaxNumber},
		{text: "1000000000001", bad: true},
		{text: "0", bad: true},
		{text: "-3", bad: true},
		{text: "2.5", bad: true},
		{text: "abc", bad: true},
		{text: "99999999999999999999999", bad: true},
		{text: "", bad: true},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseNumber(tt.text)
			if errors.Is(err, ErrNumber) != tt.bad || got != tt.want {
				t.Errorf("ParseNumber(%q) = %d, %v; want %d, bad=%t", tt.text, got, err, tt.want, tt.bad)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	rec := httptest.NewRecorder()
	Write(rec, 418, Problem{Error: "no coffee"})
	if rec.Code != 418 || rec.Body.String() != "{\"error\":\"no coffee\"}\n" {
		t.Errorf("got %d %q", rec.Code, rec.Body)
	}
	if got := rec.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control = %q, want no-store", got)
	}
}

func TestWriteUnencodable(t *testing.T) {
	rec := httptest.NewRecorder()
	Write(rec, 200, make(chan int))
	if rec.Code != 500 {
		t.Errorf("a document that cannot be encoded gave %d, want 500", rec.Code)
	}
}
