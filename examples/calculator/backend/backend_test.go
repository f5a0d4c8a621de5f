package main

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/examples/calculator/internal/api"
	"github.com/sluice-dev/sluice/examples/calculator/internal/chaos"
	"github.com/sluice-dev/sluice/examples/calculator/internal/env"
	"github.com/sluice-dev/sluice/examples/calculator/internal/serving"
)

func TestFactorize(t *testing.T) {
	for n, want := range map[uint64][]uint64{
		1:                 {},
		2:                 {2},
		12:                {2, 2, 3},
		97:                {97},
		221:               {13, 17},
		361:               {19, 19},
		1_000_000_000_000: append(slices.Repeat([]uint64{2}, 12), slices.Repeat([]uint64{5}, 12)...),
		999_999_999_989:   {999_999_999_989},
		999_966_000_289:   {999_983, 999_983},
	} {
		if diff := cmp.Diff(want, factorize(n)); diff != "" {
			t.Errorf("factorize(%d) (-want +got):\n%s", n, diff)
		}
	}
}

func FuzzFactorize(f *testing.F) {
	f.Add(uint64(221))
	f.Add(uint64(api.MaxNumber))
	f.Fuzz(func(t *testing.T, n uint64) {
		n %= api.MaxNumber + 1
		product := uint64(1)
		factors := factorize(n)
		for _, factor := range factors {
			product *= factor
		}
		if n > 0 && product != n {
			t.Errorf("factors %v of %d multiply to %d", factors, n, product)
		}
		if !slices.IsSorted(factors) {
			t.Errorf("factors %v of %d are not ascending", factors, n)
		}
	})
}

func serveContext(vars map[string]string) serving.Context {
	reader := env.NewReader(func(name string) string { return vars[name] })
	return serving.Context{
		Env:      reader,
		Faults:   &chaos.Injector{Faults: chaos.FromEnv(reader), Random: func() float64 { return 0 }},
		Identity: &api.Identity{Version: "1.0.0", Slot: "blue"},
		Log:      slog.New(slog.DiscardHandler),
	}
}

func TestHandler(t *testing.T) {
	const identity = `"backend":{"version":"1.0.0","slot":"blue"}`
	for _, tt := range []struct {
		name   string
		vars   map[string]string
		path   string
		status int
		body   string // exact where it begins with "{", else a part
	}{
		{"factors", nil, "/factors?number=221", 200, `{"number":221,"factors":[13,17],` + identity + "}\n"},
		{"none is a list", nil, "/factors?number=1", 200, `{"number":1,"factors":[],` + identity + "}\n"},
		{"missing", nil, "/factors", 400, `is missing`},
		{"not a number", nil, "/factors?number=x", 400, `from 1 to 1000000000000`},
		{"unknown path", nil, "/other", 404, `404`},
		{"no journal without a volume", nil, "/journal", 404, `404`},
		{"failing", map[string]string{"FAULT_FAILURE_RATE": "1"}, "/factors?number=221", 500, `on purpose`},
		{"wrong body", map[string]string{"FAULT_WRONG_BODY": "true"}, "/factors?number=221", 200,
			`{"number":221,"factors":[13,19],` + identity + "}\n"},
		{"bug at 19", map[string]string{"FAULT_BUG_AT_19": "true"}, "/factors?number=323", 200,
			`{"number":323,"factors":[17],` + identity + "}\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			newHandler(serveContext(tt.vars)).ServeHTTP(rec, httptest.NewRequest("GET", tt.path, nil))
			got := rec.Body.String()
			ok := got == tt.body || tt.body[0] != '{' && strings.Contains(got, tt.body)
			if rec.Code != tt.status || !ok {
				t.Errorf("GET %s: %d %s; want %d %s", tt.path, rec.Code, got, tt.status, tt.body)
			}
		})
	}
}

func TestOnlyWhoShowsTheTokenIsAnswered(t *testing.T) {
	h := newHandler(serveContext(map[string]string{"BACKEND_TOKEN": "secret"}))
	for shown, want := range map[string]int{"": 401, "Bearer other": 401, "secret": 401, "Bearer secret": 200} {
		rec, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/factors?number=221", nil)
		r.Header.Set("Authorization", shown)
		h.ServeHTTP(rec, r)
		if rec.Code != want {
			t.Errorf("with %q: %d, want %d", shown, rec.Code, want)
		}
	}
}

func TestQuietHandlerSaysNothingOfItself(t *testing.T) {
	c := serveContext(nil)
	c.Identity = nil
	rec := httptest.NewRecorder()
	newHandler(c).ServeHTTP(rec, httptest.NewRequest("GET", "/factors?number=221", nil))
	if got, want := rec.Body.String(), "{\"number\":221,\"factors\":[13,17]}\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestJournal(t *testing.T) {
	dir := t.TempDir()
	vars := map[string]string{"DATA_DIR": dir}
	newHandler(serveContext(vars))
	rec := httptest.NewRecorder()
	newHandler(serveContext(vars)).ServeHTTP(rec, httptest.NewRequest("GET", "/journal", nil))
	var got journal
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := journal{File: filepath.Join(dir, "starts.log"), Starts: 2}
	if diff := cmp.Diff(want, got); diff != "" || rec.Code != 200 {
		t.Errorf("status %d (-want +got):\n%s", rec.Code, diff)
	}
}

func TestJournalLine(t *testing.T) {
	dir := t.TempDir()
	startJournal(dir, &api.Identity{Version: "1.0.0", Slot: "blue"}, time.Unix(0, 0))
	got, err := os.ReadFile(filepath.Join(dir, "starts.log"))
	if want := "1970-01-01T00:00:00Z blue 1.0.0\n"; err != nil || string(got) != want {
		t.Errorf("journal %q, %v; want %q", got, err, want)
	}
}

func TestJournalThatCannotBeKept(t *testing.T) {
	h := newHandler(serveContext(map[string]string{"DATA_DIR": filepath.Join(t.TempDir(), "absent")}))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/journal", nil))
	if rec.Code != 500 || !strings.Contains(rec.Body.String(), "absent") {
		t.Errorf("journal: %d %s; want 500 naming the folder", rec.Code, rec.Body)
	}
	rec = httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/factors?number=221", nil))
	if rec.Code != 200 {
		t.Errorf("without its journal the calculator answers %d, want 200", rec.Code)
	}
}

func TestArgumentsAreRefused(t *testing.T) {
	if code := run(t.Context(), []string{"serve"}); code != serving.ExitUsage {
		t.Errorf("exit code %d, want %d", code, serving.ExitUsage)
	}
}
