package cyclonedx

import (
	"bufio"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
)

// errForm says that a list is not in the form that its place promises.
var errForm = errors.New("it is not in the form that its place promises")

// goModules reads what the linker of Go left in a program, stripped or not; a program that is none of Go's has no modules.
func goModules(program io.Reader) ([]found, error) {
	// The reader of build information jumps about in the file, which a stream does not allow.
	file, err := os.CreateTemp("", "sluice-sbom-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := io.Copy(file, program); err != nil {
		return nil, err
	}
	info, err := buildinfo.Read(file)
	if err != nil {
		// The library has no way to tell "not made by Go" from "damaged"; neither has modules to list.
		return nil, nil
	}
	var list []found
	add := func(m *debug.Module) {
		if m.Replace != nil {
			m = m.Replace
		}
		// A module that was replaced by a folder, or is the one that was built, has no version that anybody else knows.
		version := m.Version
		if version == "(devel)" {
			version = ""
		}
		list = append(list, found{kind: goModule, name: m.Path, version: version})
	}
	if info.Main.Path != "" {
		add(&info.Main)
	}
	for _, m := range info.Deps {
		add(m)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	return append(list, found{kind: goModule, name: "stdlib", version: version}), nil
}

// dpkg reads the stanzas of /var/lib/dpkg/status, or of a file in status.d, where distroless images keep one for each package.
func dpkg(r io.Reader) ([]found, error) {
	var list []found
	err := stanzas(r, func(fields map[string]string) {
		status, tracked := fields["Status"]
		if tracked && !strings.HasSuffix(status, " installed") {
			return
		}
		source, _, _ := strings.Cut(fields["Source"], " ")
		list = append(list, found{kind: debian, name: fields["Package"], version: fields["Version"], arch: fields["Architecture"], source: source})
	}, "Package", "Version", "Architecture", "Source", "Status")
	return list, err
}

// apk reads the stanzas of Alpine's database.
func apk(r io.Reader) ([]found, error) {
	var list []found
	err := stanzas(r, func(fields map[string]string) {
		list = append(list, found{kind: alpine, name: fields["P"], version: fields["V"], arch: fields["A"], source: fields["o"]})
	}, "P", "V", "A", "o")
	return list, err
}

// stanzas reads blocks of "Key: value" lines with an empty line between them. The first two keys are those that every block has.
func stanzas(r io.Reader, each func(map[string]string), keys ...string) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<16), maxDatabase)
	list := stanzaList{each: each, keys: keys, fields: map[string]string{}}
	for lines.Scan() {
		if err := list.line(lines.Text()); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%w: one line has more than %d bytes", errForm, maxDatabase)
	} else if err != nil {
		return err
	}
	return list.end()
}

// stanzaList is a list being read.
type stanzaList struct {
	each   func(map[string]string)
	keys   []string
	fields map[string]string
	count  int
}

func (l *stanzaList) line(text string) error {
	if strings.TrimSpace(text) == "" {
		return l.end()
	}
	key, value, ok := strings.Cut(text, ":")
	if ok && slices.Contains(l.keys, key) {
		l.fields[key] = strings.TrimSpace(value)
	}
	if len(l.fields) == 0 && l.count == 0 && !ok && !strings.HasPrefix(text, " ") {
		return fmt.Errorf("%w: %.40q is no line of it", errForm, text)
	}
	return nil
}

// end is the end of a block.
func (l *stanzaList) end() error {
	if len(l.fields) == 0 {
		return nil
	}
	if l.fields[l.keys[0]] == "" || l.fields[l.keys[1]] == "" {
		return fmt.Errorf("%w: entry %d has no %s or no %s", errForm, l.count+1, l.keys[0], l.keys[1])
	}
	if l.count++; l.count > maxPackages {
		return fmt.Errorf("%w: it lists more than %d packages", errForm, maxPackages)
	}
	l.each(l.fields)
	l.fields = map[string]string{}
	return nil
}

// osRelease reads which distribution an image is of.
func osRelease(r io.Reader) (release, error) {
	var rel release
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), "=")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch key {
		case "ID":
			rel.id = value
		case "VERSION_ID":
			rel.version = value
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return rel, err
	}
	return rel, nil
}
