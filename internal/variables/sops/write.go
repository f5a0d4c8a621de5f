package sops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/getsops/sops/v3"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// Set writes one variable; everything else keeps its place, its comments and its ciphertext. It says whether there was something to write.
// It fails with fault.Refused where a hidden one would lie in clear text in the file: sops encrypts only what its rules tell it to.
func (f File) Set(ctx context.Context, name string, value variables.Value, hidden bool) (bool, error) {
	op := "write " + name + " to " + f.Store().String()
	doc, err := f.open(ctx, op)
	if err != nil {
		return false, err
	}
	if doc.reserved(name) || strings.ContainsAny(name, "=\n\r") {
		return false, fault.New(fault.Usage, op, "sops keeps this name for itself, or the file cannot hold it").WithHint("choose another name")
	}
	switch before := doc.values()[name].(type) {
	case sops.TreeBranch, []any:
		return false, fault.New(fault.Refused, op, "it holds several values there").WithHint("choose another name, or use `sluice variables edit`")
	case string:
		if value.Equal(variables.NewValue(before)) {
			return false, nil
		}
	}
	doc.tree.Branches[0], _ = doc.tree.Branches[0].Set([]any{name}, value.Reveal())
	if !hidden {
		return true, f.replace(op, doc)
	}
	return true, f.replace(op, doc, name)
}

// reserved says that a name at the top of the file is the library's own.
func (d *document) reserved(name string) bool {
	return name == "sops" || d.format.Name() == "dotenv" && strings.HasPrefix(name, "sops_")
}

// Opened is a file in clear text, in memory.
type Opened struct {
	file File
	doc  *document
	text variables.Value
}

// Open decrypts the file for an editor.
func (f File) Open(ctx context.Context) (*Opened, error) {
	op := "open " + f.Store().String()
	doc, err := f.open(ctx, op)
	if err != nil {
		return nil, err
	}
	text, again := []byte(nil), sops.TreeBranches(nil)
	err = guarded(func() (err error) {
		if text, err = doc.format.EmitPlainFile(doc.tree.Branches); err == nil {
			again, err = doc.format.LoadPlainFile(text)
		}
		return err
	})
	if len(doc.tree.Branches[0]) == 0 {
		// What is empty is written in more than one way.
		return &Opened{file: f, doc: doc}, nil
	}
	if err != nil || !reflect.DeepEqual(plain(again), plain(doc.tree.Branches)) {
		return nil, fault.New(fault.Refused, op, "it holds what its format cannot show, for example a \\n in a dotenv file, so an editor would change it unseen").
			WithHint("use `sluice variables set`, or a YAML file")
	}
	return &Opened{file: f, doc: doc, text: variables.NewValue(string(text))}, nil
}

// plain are the entries without comments, which a format may put elsewhere.
func plain(branches sops.TreeBranches) []sops.TreeItem {
	var items []sops.TreeItem
	for _, branch := range branches {
		for _, item := range branch {
			if _, comment := item.Key.(sops.Comment); !comment {
				items = append(items, item)
			}
		}
	}
	return items
}

// Text is the file in clear text.
func (o *Opened) Text() variables.Value { return o.text }

// Check says what is wrong with a text that is to become the file's content, as fault.Usage. It never repeats the text.
func (o *Opened) Check(text variables.Value) error {
	_, err := o.parse(text)
	return err
}

func (o *Opened) parse(text variables.Value) (*document, error) {
	op := "read the edited text of " + o.file.Store().String()
	next := *o.doc
	var branches sops.TreeBranches
	err := guarded(func() (err error) {
		branches, err = next.format.LoadPlainFile([]byte(text.Reveal()))
		return err
	})
	if err != nil {
		return nil, fault.New(fault.Usage, op, "it is no valid %s%s", next.format.Name(), place(err)).WithHint("correct it, or leave it as it was")
	}
	if len(branches) == 0 {
		branches = sops.TreeBranches{sops.TreeBranch{}}
	}
	next.tree.Branches = branches
	if err := next.shape(); err != nil {
		return nil, &fault.Error{Op: op, Kind: fault.Usage, Err: err, Hint: fault.HintOf(err)}
	}
	for name := range next.values() {
		if next.reserved(name) {
			return nil, fault.New(fault.Usage, op, "sops keeps the name %s for itself", name).WithHint("choose another name")
		}
	}
	return &next, nil
}

// Replace writes a text in place of the content; entries that stay the same keep their ciphertext. It says whether there was something to
// write, and fails with fault.Usage where the text is no content, with fault.Refused where one of the hidden entries would lie in clear text,
// with fault.Conflict where somebody else has changed the file.
func (o *Opened) Replace(text variables.Value, hidden ...string) (bool, error) {
	if text.Equal(o.text) {
		return false, nil
	}
	next, err := o.parse(text)
	if err != nil {
		return false, err
	}
	return true, o.file.replace("write "+o.file.Store().String(), next, hidden...)
}

// Aside keeps a text that cannot be the content, encrypted for the same keys as the file, in a new file beside it. It returns that file's path;
// `sops decrypt --extract '["text"]'` gives the text back.
func (o *Opened) Aside(text variables.Value) (string, error) {
	op := "keep the text aside"
	for n := 1; ; n++ {
		path := fmt.Sprintf("%s.rejected-%d.json", o.file.Path, n)
		format, err := formatOf(path, nil)
		if err != nil {
			return "", err
		}
		aside := *o.doc
		aside.format, aside.tree.Branches = format, sops.TreeBranches{sops.TreeBranch{{Key: "text", Value: text.Reveal()}}}
		// The rules of the file say by their names what is encrypted, and this name is none of them.
		encryptAll(&aside.tree.Metadata)
		data, err := aside.encrypt(o.file.Now())
		if err != nil {
			return "", fault.Wrap(fault.KindOf(err), op, err)
		}
		if err := aside.refuseOpen("text"); err != nil {
			return "", fault.Wrap(fault.KindOf(err), op, err)
		}
		if err := write(path, data, 0o600, false); !errors.Is(err, fs.ErrExist) {
			return path, fault.Wrap(fault.Refused, op, err)
		}
	}
}

func (f File) open(ctx context.Context, op string) (*document, error) {
	doc, err := f.Store().load()
	if err == nil {
		doc, err = doc.decrypt(ctx)
	}
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), op, err)
	}
	return doc, nil
}

// replace encrypts a document and puts it in the place of the file that it was read from. The hidden entries must not lie open in it.
func (f File) replace(op string, doc *document, hidden ...string) error {
	data, err := doc.encrypt(f.Now())
	if err != nil {
		return fault.Wrap(fault.KindOf(err), op, err)
	}
	for _, name := range hidden {
		if err := doc.refuseOpen(name); err != nil {
			return fault.Wrap(fault.KindOf(err), op, err)
		}
	}
	path, err := filepath.EvalSymlinks(f.Path)
	if err != nil {
		return fault.Wrap(fault.Refused, op, err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, doc.data) {
		return fault.New(fault.Conflict, op, "somebody else changed the file in the meantime").WithHint("call it again")
	}
	info, err := os.Stat(path)
	if err != nil {
		return fault.Wrap(fault.Refused, op, err)
	}
	return fault.Wrap(fault.Refused, op, write(path, data, info.Mode().Perm(), true))
}

// write puts a file in place as a whole or not at all. Without over, it fails with fs.ErrExist where there is one.
func write(path string, data []byte, mode fs.FileMode, over bool) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gone(os.Remove(file.Name()))) }()
	_, err = file.Write(data)
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
	switch {
	case err != nil:
		return err
	case over:
		return os.Rename(file.Name(), path)
	default:
		return os.Link(file.Name(), path)
	}
}

// gone takes the absence of what is to be removed for success.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
