package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/analysis"
)

// export is a recording of a candidate that always fails beside a live slot that does not, with its reads so many seconds apart.
func export(w *world, seconds ...int) string {
	w.t.Helper()
	var b strings.Builder
	b.WriteString("time,slot,requests,failed\n")
	at := 1_700_000_000
	for i := range 60 {
		fmt.Fprintf(&b, "%d,live,%d,0\n%d,candidate,%d,%d\n", at, 1000*i, at, i, i)
		at += seconds[i%len(seconds)]
	}
	path := filepath.Join(w.dir, "export.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func TestACoarseRecordingIsCounted(t *testing.T) {
	for _, seconds := range []int{1, 30, 60, 3600} {
		w := newWorld(t)
		r := w.must(3, "analyze", "--replay", export(w, seconds))
		if strings.Contains(r.stdout, "left out") || !strings.Contains(r.stdout, "  abort    bad") {
			t.Errorf("%d s apart:\n%s", seconds, r.stdout)
		}
	}
}

func TestAnalyzeSaysWhatIsLeftOut(t *testing.T) {
	w := newWorld(t)
	r := w.must(0, "analyze", "--gap", "60s", "--replay", export(w, 60))
	if !strings.Contains(r.stdout, "\nafter 60 reads:\n  left out is what was counted in 59 gaps of 1m0s or more, 59m0s in all (--gap)\n") {
		t.Error(r.stdout)
	}
	r = w.must(3, "analyze", "-o", "json", "--replay", export(w, 600, 60, 60))
	if !strings.Contains(r.stdout, `"gap": "4m0s"`) || !strings.Contains(r.stdout, `"gaps": 1,`) || !strings.Contains(r.stdout, `"time": "10m0s"`) {
		t.Error(r.stdout)
	}
	for _, gap := range []string{"0s", "-1s"} {
		if r := w.must(2, "analyze", "--gap", gap, "--replay", export(w, 60)); !strings.Contains(r.stderr, "--gap is "+gap+"; it must be more than 0") {
			t.Error(r.stderr)
		}
	}
}

func TestUsualGap(t *testing.T) {
	of := func(seconds ...int64) (reads []analysis.Read) {
		for _, s := range seconds {
			reads = append(reads, analysis.Read{At: time.Unix(s, 0)})
		}
		return reads
	}
	for _, c := range []struct {
		reads []analysis.Read
		want  time.Duration
	}{
		{nil, 30 * time.Second},
		{of(5), 30 * time.Second},
		{of(0, 10, 20, 1000), 40 * time.Second},
		{of(1, 99_999_999_999), 4 * 365 * 24 * time.Hour},
	} {
		if got := usualGap(c.reads); got != c.want {
			t.Errorf("%d reads: %s, want %s", len(c.reads), got, c.want)
		}
	}
}
