package build_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluice-dev/sluice/internal/build"
)

func TestTail(t *testing.T) {
	var tail build.Tail
	if got := tail.String(); got != "" {
		t.Errorf("nothing is %q", got)
	}
	tail.Add("one")
	tail.Add("two")
	if got := tail.String(); got != "one\ntwo" {
		t.Errorf("two lines are %q", got)
	}
	for i := range 5000 {
		tail.Add(fmt.Sprintf("zeile ä %d", i))
	}
	got := tail.String()
	if !strings.HasPrefix(got, "…") || !strings.HasSuffix(got, "\nzeile ä 4999") || len(got) > 4100 || len(got) < 3900 || !utf8.ValidString(got) {
		t.Errorf("many lines are %d bytes: %.40q … %q", len(got), got, got[len(got)-40:])
	}
}
