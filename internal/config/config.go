// Package config turns a sluice.yaml into the nouns of api/v1alpha1; it must not look at anything but the file and the files it names.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// FileName is the name that Find looks for.
const FileName = "sluice.yaml"

// maxSize bounds the file, so that a wrong path (a log, a disk image) fails at once.
const maxSize = 1 << 20

// File is a loaded and validated sluice.yaml.
type File struct {
	Project v1alpha1.Project
	// Dir is the folder of the file; every path in the file is relative to it.
	Dir string
	// Path of the file, as it was given to Load.
	Path string
}

// Load reads the file, expands ${NAME} from the environment, fills in the defaults and validates.
// What is wrong with the content is reported all at once, as a fault.Usage error from which ProblemsOf returns the problems.
// A file that does not exist is fault.NotFound.
func Load(path string, getenv func(string) (string, bool)) (*File, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return decode(path, data, getenv)
}

func decode(path string, data []byte, getenv func(string) (string, bool), options ...func(*validator)) (*File, error) {
	f, d, err := form(path, data, getenv)
	if err != nil {
		return nil, err
	}
	v := newValidator(f, d)
	for _, option := range options {
		option(v)
	}
	v.project()
	if err := append(d.problems, v.problems...).err(); err != nil {
		return nil, err
	}
	applyDefaults(&f.Project)
	return f, nil
}

// form reads the content as far as its form goes: what does not fit is among the decoder's problems. An error says that it is no YAML.
func form(path string, data []byte, getenv func(string) (string, bool)) (*File, *decoder, error) {
	root, problems := parse(path, data)
	if len(problems) > 0 {
		return nil, nil, problems.err()
	}
	f := &File{Dir: filepath.Dir(path), Path: path}
	d := &decoder{file: path, getenv: getenv, positions: newPositions()}
	d.decode(root, reflect.ValueOf(&f.Project).Elem(), "")
	return f, d, nil
}

func read(path string) ([]byte, error) {
	op := "read " + path
	file, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.NotFound, op, "no such file").WithHint("`sluice init` writes one")
	case err != nil:
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	if len(data) > maxSize {
		return nil, Problems{{File: path, Message: fmt.Sprintf("larger than %d bytes, which no %s is", maxSize, FileName)}}.err()
	}
	return data, nil
}
