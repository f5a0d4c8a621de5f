// Package sops reads and writes variables in files that sops has encrypted; it must not leave clear text anywhere but in memory, nor repeat what the library says about contents.
package sops

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/getsops/sops/v3"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// maxSize bounds an encrypted file in bytes, so that a wrong path fails at once.
const maxSize = 4 << 20

// Store reads an encrypted file. Keys are found as the library finds them: in the process's environment and the user's files.
type Store struct {
	name string
	read func() ([]byte, error)
}

var _ variables.Store = (*Store)(nil)

// New reads a file's content by a function, wherever it comes from. The name's ending says which format it has.
func New(name string, read func() ([]byte, error)) *Store { return &Store{name: name, read: read} }

func (s *Store) String() string { return "sops file " + s.name }

// Resolve answers the queries. The file as a whole is decrypted and its code of authentication checked, whichever entry is asked for.
func (s *Store) Resolve(ctx context.Context, queries []variables.Query) ([]variables.Variable, error) {
	if len(queries) == 0 {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, variables.Failed(s, []error{fault.Wrap(fault.Interrupted, "", err)})
	}
	doc, err := s.load()
	if err != nil {
		return nil, variables.Failed(s, []error{err})
	}
	sealed := doc.sealed()
	var problems []error
	for _, q := range queries {
		problems = append(problems, asked(s.name, q, sealed))
	}
	// What is missing is known without a key; what is there is worth nothing without one.
	_, err = doc.decrypt(ctx)
	if err := variables.Failed(s, append(problems, err)); err != nil {
		return nil, err
	}
	open := doc.values()
	var answers []variables.Variable
	for _, q := range queries {
		text, err := single(q.Name, open[q.Name])
		problems = append(problems, err)
		answers = append(answers, variables.Variable{Name: q.Name, Version: version(q.Name, sealed[q.Name]), Value: variables.NewValue(text), Exposed: exposed(sealed[q.Name])})
	}
	if err := variables.Failed(s, problems); err != nil {
		return nil, err
	}
	return answers, nil
}

// Names lists the variables of the file with their versions. It needs no key.
func (s *Store) Names() (map[string]string, error) {
	doc, err := s.load()
	if err != nil {
		return nil, variables.Failed(s, []error{err})
	}
	versions := map[string]string{}
	for name, text := range doc.sealed() {
		versions[name] = version(name, text)
	}
	return versions, nil
}

func (s *Store) load() (*document, error) {
	data, err := s.read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.NotFound, "", "there is no such file").WithHint("`sluice variables init` makes it")
	case err != nil:
		return nil, fault.New(fault.Unreachable, "", "cannot read it: %w", err).WithHint("make it readable for the user that sluice runs as")
	}
	return parse(s.name, data)
}

// asked says why a query cannot be answered, as far as that is known without a key.
func asked(file string, q variables.Query, sealed map[string]string) error {
	text, ok := sealed[q.Name]
	switch {
	case !ok:
		return variables.Problem(fault.NotFound, q.Name, "`sluice variables set "+q.Name+" --env ENV` writes it", "there is none in %s", file)
	case q.Version != "" && q.Version != version(q.Name, text):
		return variables.Problem(fault.Refused, q.Name, "take the file of the release that had it, or the current version",
			"version %s %w: the file holds %s", q.Version, variables.ErrGone, version(q.Name, text))
	}
	return nil
}

// version names an entry by what stands in the file. A ciphertext is random, so that its hash tells nothing about what it holds; sops
// keeps it for as long as the content is the same.
func version(name, sealed string) string {
	sum := sha256.Sum256([]byte(name + "\x00" + sealed))
	return hex.EncodeToString(sum[:8])
}

// single is the text of an entry that holds one value.
func single(name string, value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case nil:
		return "", variables.Problem(fault.Refused, name, "`sluice variables set "+name+" --env ENV` gives it one", "it has no value")
	case sops.TreeBranch, []any:
		return "", variables.Problem(fault.Refused, name, "write each of them as a variable of its own", "it holds several values")
	default:
		return "", variables.Problem(fault.Refused, name, "write it in quotes", "its content is no text (%T)", v)
	}
}

// File is an encrypted file in a folder, which can be changed.
type File struct {
	// Path in the file system, Name for people.
	Path, Name string
	// Now tells the time that is written into the file.
	Now func() time.Time
}

// Store reads the file.
func (f File) Store() *Store {
	return New(f.Name, func() ([]byte, error) {
		info, err := os.Stat(f.Path)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() || info.Size() > maxSize {
			return nil, fmt.Errorf("it is no regular file of at most %d bytes", maxSize)
		}
		return os.ReadFile(f.Path)
	})
}
