package script_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/script"
	"github.com/sluice-dev/sluice/internal/fault"
)

func inputsOf(t *testing.T, dir string, inputs ...string) build.Inputs {
	t.Helper()
	found, err := script.New(script.Options{}).Inputs(t.Context(), build.Request{Dir: dir, Name: "app", Image: v1alpha1.Image{
		Script: &v1alpha1.Script{Run: []string{"./make.sh", "fast"}, Inputs: inputs},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sources is a project's folder.
func sources(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{
		"make.sh": 0o755, "src/a.c": 0o644, "src/deep/b.c": 0o644, "src/deep/b.h": 0o644, "src/out/a.o": 0o644, "other/x": 0o644, ".git/index": 0o644,
	} {
		write(t, filepath.Join(dir, name), "1", mode)
	}
	return dir
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestInputsAreTheFilesThatAreNamed(t *testing.T) {
	for _, c := range []struct {
		about, changed string
		inputs         []string
		same           bool
	}{
		{"a file of a folder", "src/deep/b.c", []string{"src"}, false},
		{"a new file of a folder", "src/new.c", []string{"src"}, false},
		{"a file elsewhere", "other/x", []string{"src"}, true},
		{"the program", "make.sh", []string{"src"}, false},
		{"a file of a pattern", "src/deep/b.c", []string{"src/**/*.c"}, false},
		{"a file beside a pattern", "src/deep/b.h", []string{"src/**/*.c"}, true},
		{"a file that is taken out", "src/out/a.o", []string{"src", "!src/out"}, true},
		{"a file that is taken out and in again", "src/out/a.o", []string{"src", "!src/out", "src/out/*.o"}, false},
		{"a file of everything", "other/x", []string{"."}, false},
		{"a file of Git", ".git/index", []string{"."}, true},
		{"results of tests", ".sluice/tests/app/junit.xml", []string{"."}, true},
		{"a single file", "src/a.c", []string{"src/a.c"}, false},
		{"a file beside a single one", "src/a.cc", []string{"src/a.c"}, true},
	} {
		t.Run(c.about, func(t *testing.T) {
			dir := sources(t)
			before := inputsOf(t, dir, c.inputs...)
			write(t, filepath.Join(dir, c.changed), "2", 0o644)
			if same := cmp.Equal(before, inputsOf(t, dir, c.inputs...)); same != c.same {
				t.Errorf("the inputs are the same: %t", same)
			}
		})
	}
}

func TestInputsOfALink(t *testing.T) {
	dir := sources(t)
	link := filepath.Join(dir, "src/link")
	if err := os.Symlink("a.c", link); err != nil {
		t.Fatal(err)
	}
	before := inputsOf(t, dir, "src")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("deep/b.c", link); err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(before, inputsOf(t, dir, "src")) {
		t.Error("the link leads elsewhere, but the inputs are the same")
	}
}

func TestInputsThatNobodyNames(t *testing.T) {
	if found := inputsOf(t, sources(t)); len(found) != 0 {
		t.Errorf("%v is known", found)
	}
}

func TestInputsThatCannotBeRead(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ask := func(ctx context.Context, dir string) error {
		_, err := script.New(script.Options{}).Inputs(ctx, build.Request{Dir: dir, Name: "app", Image: v1alpha1.Image{
			Script: &v1alpha1.Script{Run: []string{"make"}, Inputs: []string{"src"}},
		}})
		return err
	}
	if err := ask(ctx, sources(t)); fault.KindOf(err) != fault.Interrupted {
		t.Errorf("a cancelled search fails with %v", err)
	}
	if err := ask(t.Context(), filepath.Join(t.TempDir(), "none")); fault.KindOf(err) != fault.Usage {
		t.Errorf("a folder that is not there fails with %v", err)
	}
}
