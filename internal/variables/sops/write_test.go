package sops_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/sops"
)

func TestUntouchedEntriesStayAsTheyAre(t *testing.T) {
	for _, name := range []string{"dev.yaml", "dev.json", "dev.env"} {
		t.Run(name, func(t *testing.T) {
			f := created(t, home(t), name)
			for _, entry := range []string{"first", "second", "third"} {
				set(t, f, entry, "content of "+entry)
			}
			before := lines(text(t, f))
			set(t, f, "second", "another")
			after := lines(text(t, f))
			for entry, line := range before {
				if changed := line != after[entry]; changed != (entry == "second") {
					t.Errorf("%s: %q became %q", entry, line, after[entry])
				}
			}
			whole := text(t, f)
			if written, err := f.Set(t.Context(), "second", variables.NewValue("another"), true); err != nil || written || text(t, f) != whole {
				t.Errorf("the same content was written again (%v, %v)", written, err)
			}
			if order := regexp.MustCompile(`first|second|third`).FindAllString(whole, -1); fmt.Sprint(order) != "[first second third]" {
				t.Errorf("the order became %v", order)
			}
		})
	}
}

// lines are the lines that hold entries.
func lines(text string) map[string]string {
	found := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		if name := regexp.MustCompile(`first|second|third`).FindString(line); name != "" {
			found[name] = line
		}
	}
	return found
}

func TestEditingKeepsCommentsAndCiphertext(t *testing.T) {
	f := created(t, home(t), "dev.yaml")
	edit(t, f, func(string) string { return "# about first\nfirst: one\n# about second\nsecond: two\nthird: three\n" })
	before := lines(text(t, f))
	if len(before) != 3 || strings.Contains(text(t, f), "about") {
		t.Fatalf("comments are not encrypted, or entries are missing:\n%s", text(t, f))
	}
	edit(t, f, func(clear string) string {
		if clear != "# about first\nfirst: one\n# about second\nsecond: two\nthird: three\n" {
			t.Errorf("the editor was shown %q", clear)
		}
		return strings.Replace(clear, "two", "zwei", 1)
	})
	after := lines(text(t, f))
	for name, line := range before {
		if changed := line != after[name]; changed != (name == "second") {
			t.Errorf("%s: %q became %q", name, line, after[name])
		}
	}
	edit(t, f, func(clear string) string {
		if !strings.Contains(clear, "# about first\n") {
			t.Errorf("comments are lost: %q", clear)
		}
		return clear
	})
}

func edit(t *testing.T, f sops.File, change func(clear string) string) {
	t.Helper()
	o, err := f.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Replace(variables.NewValue(change(o.Text().Reveal()))); err != nil {
		t.Fatal(err)
	}
}

func TestWhatCannotBeContentIsNotWritten(t *testing.T) {
	f := created(t, home(t), "dev.yaml")
	set(t, f, "A", "kept")
	whole := text(t, f)
	o, err := f.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"no YAML": "A: 'c4nary\n", "a list": "- c4nary\n", "twice the same": "A: c4nary\nA: c4nary\n", "a name of sops": "sops: c4nary\n",
		"a number as name": "1: c4nary\n", "two documents": "A: c4nary\n---\nB: c4nary\n", "a text": "c4nary\n",
	} {
		_, err := o.Replace(variables.NewValue(bad))
		if !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v (%v)", name, err, fault.KindOf(err))
		}
		if err != nil && strings.Contains(err.Error()+fault.HintOf(err), "c4nary") {
			t.Errorf("%s: the error repeats the text: %v", name, err)
		}
	}
	if text(t, f) != whole {
		t.Error("the file was written")
	}
	aside, err := o.Aside(variables.NewValue("A: 'c4nary\n"))
	if err != nil {
		t.Fatal(err)
	}
	kept := sops.File{Path: aside, Name: aside, Now: f.Now}
	if data := text(t, kept); strings.Contains(data, "c4nary") {
		t.Errorf("what was kept aside lies open: %s", data)
	}
	if got, err := kept.Store().Resolve(t.Context(), []variables.Query{{Name: "text"}}); err != nil || got[0].Value.Reveal() != "A: 'c4nary\n" {
		t.Errorf("what was kept aside is %v, %v", got, err)
	}
	if again, err := o.Aside(variables.NewValue("another")); err != nil || again == aside {
		t.Errorf("the second text went to %s, %v", again, err)
	}
	if err := os.RemoveAll(aside); err != nil {
		t.Fatal(err)
	}
	set(t, f, "B", "of somebody else")
	if _, err := o.Replace(variables.NewValue("A: mine\n")); !fault.Is(err, fault.Conflict) {
		t.Errorf("what somebody else wrote was lost: %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(f.Path))
	if err != nil || len(entries) != 2 {
		t.Errorf("something was left beside the file: %v, %v", entries, err)
	}
}

func TestWhatAFormatCannotShowIsNotEdited(t *testing.T) {
	f := created(t, home(t), "dev.env")
	set(t, f, "A", `not a \n line`)
	if _, err := f.Open(t.Context()); !fault.Is(err, fault.Refused) {
		t.Errorf("it was opened: %v", err)
	}
}
