package build_test

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sluice-dev/sluice/internal/build"
)

type file struct {
	name, content string
	mode          fs.FileMode
}

func digest(t *testing.T, files ...file) string {
	t.Helper()
	tree := build.NewTree()
	for _, f := range files {
		if err := tree.Add(f.name, f.mode, strings.NewReader(f.content)); err != nil {
			t.Fatal(err)
		}
	}
	return tree.Digest()
}

func TestTreeTellsApart(t *testing.T) {
	seen := map[string]string{}
	for about, files := range map[string][]file{
		"nothing":             nil,
		"a file":              {{"a", "x", 0o644}},
		"another name":        {{"b", "x", 0o644}},
		"another content":     {{"a", "y", 0o644}},
		"a program":           {{"a", "x", 0o755}},
		"a link":              {{"a", "x", fs.ModeSymlink | 0o777}},
		"a folder":            {{"a", "", fs.ModeDir | 0o755}},
		"an empty file":       {{"a", "", 0o644}},
		"a pipe":              {{"a", "", fs.ModeNamedPipe | 0o644}},
		"two files":           {{"a", "x", 0o644}, {"b", "x", 0o644}},
		"a name of two lines": {{"a\nfile \"b\"", "x", 0o644}},
	} {
		got := digest(t, files...)
		if other, ok := seen[got]; ok {
			t.Errorf("%s has the digest of %s", about, other)
		}
		seen[got] = about
	}
}

func TestTreeForgetsWhatACheckoutDecides(t *testing.T) {
	if digest(t, file{"a", "x", 0o644}) != digest(t, file{"a", "x", 0o600}) {
		t.Error("who may read a file changes the digest")
	}
	if digest(t, file{"a", "x", 0o755}) != digest(t, file{"a", "x", 0o700}) {
		t.Error("who may run a program changes the digest")
	}
}

func TestTreeCannotBeRead(t *testing.T) {
	err := build.NewTree().Add("a", 0o644, iotest.ErrReader(io.ErrUnexpectedEOF))
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "a") {
		t.Errorf("got %v", err)
	}
}
