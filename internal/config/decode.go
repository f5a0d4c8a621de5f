package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// decoder fills nouns from a syntax tree. It goes on after a problem, so that all of them are found in one go.
type decoder struct {
	file      string
	getenv    func(string) (string, bool)
	positions positions
	problems  Problems
}

func (d *decoder) report(at position, path, hint, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.file, Line: at.line, Column: at.column, Path: path,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

// decode fills v from the node that stands at the path.
func (d *decoder) decode(n ast.Node, v reflect.Value, path string) {
	at := where(n)
	if n == nil || n.Type() == ast.NullType {
		at = d.positions.key(path)
	}
	d.positions.values[path] = at
	switch {
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		d.raw(n, v, path)
	case n == nil || n.Type() == ast.NullType:
		d.report(at, path, emptyHint(v.Type()), "has no value")
	case v.Type() == reflect.TypeFor[v1alpha1.Duration]():
		d.spelled(n, v, path)
	case v.Type() == reflect.TypeFor[v1alpha1.Share]():
		d.share(n, v, path)
	default:
		d.kind(n, v, path)
	}
}

func (d *decoder) kind(n ast.Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.kind(n, v.Elem(), path)
	case reflect.Struct:
		d.object(n, v, path)
	case reflect.Map:
		d.dictionary(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.String:
		if s, ok := d.text(n, path); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			v.SetBool(b.Value)
			return
		}
		d.mismatch(n, path, "true or false")
	case reflect.Int:
		if i, ok := integer(n); ok {
			v.SetInt(int64(i))
			return
		}
		d.mismatch(n, path, "a whole number")
	case reflect.Float64:
		if f, ok := number(n); ok {
			v.SetFloat(f)
			return
		}
		d.mismatch(n, path, "a number")
	default:
		d.report(where(n), path, "", "cannot be set in a file (%s)", v.Type())
	}
}

func (d *decoder) object(n ast.Node, v reflect.Value, path string) {
	entries, ok := d.entries(n, path)
	if !ok {
		return
	}
	fields := Fields(v.Type())
	names := make([]string, len(fields))
	byName := map[string]Field{}
	for i, f := range fields {
		names[i], byName[f.Name] = f.Name, f
	}
	for _, e := range entries {
		f, known := byName[e.key]
		if !known {
			d.report(e.at, child(path, e.key), didYouMean(e.key, names), "unknown key")
			continue
		}
		d.decode(e.value, v.Field(f.Index), child(path, e.key))
	}
	for _, f := range fields {
		if f.Required && !d.positions.has(child(path, f.Name)) {
			d.report(d.positions.key(path), child(path, f.Name), "", "is missing")
		}
	}
	d.union(v.Type(), path)
}

// union checks that exactly one of the members of a union is there.
func (d *decoder) union(t reflect.Type, path string) {
	members := Union(t)
	var set []string
	for _, m := range members {
		if d.positions.has(child(path, m)) {
			set = append(set, m)
		}
	}
	switch {
	case len(members) == 0 || len(set) == 1:
	case len(members) == 1:
		d.report(d.positions.key(path), path, "", "needs the key %s", members[0])
	case len(set) == 0:
		d.report(d.positions.key(path), path, "", "needs exactly one of %s", strings.Join(members, ", "))
	default:
		d.report(d.positions.key(child(path, set[1])), path, "remove all but one", "has %s, and needs exactly one of them", strings.Join(set, " and "))
	}
}

func (d *decoder) dictionary(n ast.Node, v reflect.Value, path string) {
	entries, ok := d.entries(n, path)
	if !ok {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range entries {
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(e.value, value, child(path, e.key))
		v.SetMapIndex(reflect.ValueOf(e.key), value)
	}
}

func (d *decoder) list(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.mismatch(n, path, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values)))
	for i, e := range s.Values {
		d.decode(e, v.Index(i), item(path, i))
	}
}

// spelled decodes a string whose type reads it itself.
func (d *decoder) spelled(n ast.Node, v reflect.Value, path string) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	quoted, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(quoted, v.Addr().Interface())
	}
	if err != nil {
		d.report(where(n), path, "", "%s", err)
	}
}

// share decodes a share. A number may mean a part of 1 or of 100, so it is not guessed at, but the one that is likely is named.
func (d *decoder) share(n ast.Node, v reflect.Value, path string) {
	text, isText := literal(n)
	f, isNumber := number(n)
	if isText {
		var err error
		f, err = strconv.ParseFloat(text, 64)
		isNumber = err == nil
	}
	if !isNumber {
		d.spelled(n, v, path)
		return
	}
	hint := ""
	switch {
	case f > 0 && f < 1:
		hint = "write " + v1alpha1.Share(f).String()
	case f >= 1 && f < 100:
		hint = "write " + v1alpha1.Share(f/100).String()
	}
	d.report(where(n), path, hint, "must be a share such as 1%%, not %s", describe(n))
}
