package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
)

// Tree digests files as a build sees them: by name, kind, whether they can be run, and content. Times and owners are no part of it.
// Files are added in an order that is the same everywhere.
type Tree struct{ sum hash.Hash }

// NewTree makes an empty one.
func NewTree() *Tree { return &Tree{sum: sha256.New()} }

// Add takes a file, folder or link with its name in the tree, with slashes. The content is that of a file, the target of a link, and
// not read of anything else; nil for none.
func (t *Tree) Add(name string, mode fs.FileMode, content io.Reader) error {
	kind, inner := "special", sha256.New()
	switch {
	case mode.IsDir():
		kind, content = "folder", nil
	case mode&fs.ModeSymlink != 0:
		kind = "link"
	case mode.IsRegular() && mode&0o111 != 0:
		kind = "program"
	case mode.IsRegular():
		kind = "file"
	default:
		content = nil
	}
	if content != nil {
		if _, err := io.Copy(inner, content); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	fmt.Fprintf(t.sum, "%s %q %x\n", kind, name, inner.Sum(nil))
	return nil
}

// Digest of all that was added, sha256:…
func (t *Tree) Digest() string { return "sha256:" + hex.EncodeToString(t.sum.Sum(nil)) }
