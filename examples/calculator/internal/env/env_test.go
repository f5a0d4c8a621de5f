package env

import (
	"strings"
	"testing"
	"time"
)

func TestReaderValues(t *testing.T) {
	vars := map[string]string{
		"TEXT": "x", "BOOL": "true", "HALF": "500ms", "SECONDS": "5", "SHARE": "0.25", "COUNT": "7", "URL": "http://backend:80",
	}
	r := NewReader(func(name string) string { return vars[name] })
	for name, ok := range map[string]bool{
		"text":             r.Text("TEXT", "d") == "x",
		"text default":     r.Text("NONE", "d") == "d",
		"url":              r.URL("URL", "") == "http://backend:80",
		"bool":             r.Bool("BOOL", false),
		"bool default":     r.Bool("NONE", true),
		"duration":         r.Duration("HALF", 0) == 500*time.Millisecond,
		"bare seconds":     r.Duration("SECONDS", 0) == 5*time.Second,
		"duration default": r.Duration("NONE", time.Minute) == time.Minute,
		"share":            r.Share("SHARE", 0) == 0.25,
		"count":            r.Count("COUNT", 0) == 7,
	} {
		if !ok {
			t.Errorf("%s: wrong value", name)
		}
	}
	if err := r.Err(); err != nil {
		t.Errorf("good values gave %v", err)
	}
}

func TestReaderReportsAllProblems(t *testing.T) {
	vars := map[string]string{
		"B": "maybe", "D": "soon", "D2": "-1s", "S": "1.5", "S2": "NaN", "C": "-1", "C2": "many", "U": "backend:80", "U2": "http://",
	}
	r := NewReader(func(name string) string { return vars[name] })
	r.Bool("B", false)
	r.Duration("D", 0)
	r.Duration("D2", 0)
	r.Share("S", 0)
	r.Share("S2", 0)
	r.Count("C", 0)
	r.Count("C2", 0)
	r.URL("U", "")
	r.URL("U2", "")
	err := r.Err()
	if err == nil {
		t.Fatal("bad values gave no error")
	}
	for name, value := range vars {
		if !strings.Contains(err.Error(), "environment variable "+name+"=\""+value+"\": want ") {
			t.Errorf("%s=%s is not reported in:\n%v", name, value, err)
		}
	}
}
