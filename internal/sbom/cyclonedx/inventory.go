package cyclonedx

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	// maxDatabase bounds the database of a package manager, maxProgram a program that is looked into, in bytes.
	maxDatabase = 64 << 20
	maxProgram  = 2 << 30
	// maxPackages bounds what one file may list.
	maxPackages = 100_000
	whiteout    = ".wh."
	opaque      = ".wh..wh..opq"
)

// found is one package, as one file tells it.
type found struct {
	kind    kind
	name    string
	version string
	arch    string
	source  string
}

type kind string

const (
	goModule kind = "golang"
	debian   kind = "deb"
	alpine   kind = "apk"
)

// release is what os-release says.
type release struct{ id, version string }

// inventory is what the layers read so far leave visible, by the path of the file that tells it.
type inventory struct {
	packages map[string][]found
	releases map[string]release
	// unread are files that would tell more and could not be understood, with the reason.
	unread map[string]string
}

func newInventory() *inventory {
	return &inventory{packages: map[string][]found{}, releases: map[string]release{}, unread: map[string]string{}}
}

// layer puts a layer on top.
func (v *inventory) layer(ctx context.Context, layer v1.Layer) error {
	stream, err := layer.Uncompressed()
	if err != nil {
		return fmt.Errorf("read a layer: %w", err)
	}
	defer stream.Close()
	files := tar.NewReader(&interruptible{ctx, stream})
	// What a layer hides is hidden below it only: its own files stay, whatever their order.
	own := map[string]bool{}
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a layer: %w", err)
		}
		if err := v.entry(header, files, own); err != nil {
			return fmt.Errorf("read /%s in a layer: %w", clean(header.Name), err)
		}
	}
}

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

func (v *inventory) entry(header *tar.Header, content io.Reader, own map[string]bool) error {
	name := clean(header.Name)
	dir, base := path.Split(name)
	switch {
	case base == opaque:
		v.hide(strings.TrimSuffix(dir, "/"), own)
		return nil
	case strings.HasPrefix(base, whiteout):
		hidden := dir + strings.TrimPrefix(base, whiteout)
		v.forget(hidden, own)
		v.hide(hidden, own)
		return nil
	case header.Typeflag == tar.TypeDir:
		return nil
	}
	// A file takes the place of whatever was there.
	v.forget(name, nil)
	v.hide(name, own)
	own[name] = true
	if header.Typeflag != tar.TypeReg {
		return nil
	}
	return v.file(name, header.Size, content)
}

func (v *inventory) forget(name string, own map[string]bool) {
	if own[name] {
		return
	}
	delete(v.packages, name)
	delete(v.releases, name)
	delete(v.unread, name)
}

// hide forgets everything below a folder but what this layer brought.
func (v *inventory) hide(folder string, own map[string]bool) {
	prefix := folder + "/"
	if folder == "" {
		prefix = ""
	}
	for _, names := range []map[string]bool{keysOf(v.packages), keysOf(v.releases), keysOf(v.unread)} {
		for name := range names {
			if strings.HasPrefix(name, prefix) {
				v.forget(name, own)
			}
		}
	}
}

func keysOf[V any](m map[string]V) map[string]bool {
	names := map[string]bool{}
	for name := range m {
		names[name] = true
	}
	return names
}

// file looks into one file where it is of a kind that tells something.
func (v *inventory) file(name string, size int64, content io.Reader) error {
	var err error
	var list []found
	switch {
	case name == "etc/os-release", name == "usr/lib/os-release":
		v.releases[name], err = osRelease(io.LimitReader(content, 1<<16))
		return err
	case name == "var/lib/dpkg/status", path.Dir(name) == "var/lib/dpkg/status.d" && path.Ext(name) != ".md5sums":
		list, err = v.database(name, size, content, dpkg)
	case name == "lib/apk/db/installed", name == "usr/lib/apk/db/installed":
		list, err = v.database(name, size, content, apk)
	default:
		list, err = v.program(name, size, content)
	}
	if len(list) > 0 {
		v.packages[name] = list
	}
	return err
}

// database reads a package manager's list. One that cannot be understood is said to be so: the document is then known to be incomplete.
func (v *inventory) database(name string, size int64, content io.Reader, parse func(io.Reader) ([]found, error)) ([]found, error) {
	if size > maxDatabase {
		v.unread[name] = fmt.Sprintf("it has %d bytes, more than are read", size)
		return nil, nil
	}
	list, err := parse(content)
	if errors.Is(err, errForm) {
		v.unread[name] = err.Error()
		return nil, nil
	}
	return list, err
}

func (v *inventory) program(name string, size int64, content io.Reader) ([]found, error) {
	magic := []byte("\x7fELF")
	head := bufio.NewReader(content)
	// What is shorter than a program is none. What went wrong with the stream itself comes again with the next entry.
	if start, _ := head.Peek(len(magic)); !bytes.Equal(start, magic) {
		return nil, nil
	}
	if size > maxProgram {
		v.unread[name] = fmt.Sprintf("it has %d bytes, more than are read", size)
		return nil, nil
	}
	return goModules(head)
}

// interruptible ends a stream when its context ends.
type interruptible struct {
	//nolint:containedctx // a reader has no other way to hear of it
	ctx  context.Context
	next io.Reader
}

func (r *interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.next.Read(p)
}
