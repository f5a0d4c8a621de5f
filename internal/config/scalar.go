package config

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// entry is one key of a mapping with its value.
type entry struct {
	key   string
	at    position
	value ast.Node
}

// entries lists the keys of a mapping in the file's order and reports those that appear twice.
func (d *decoder) entries(n ast.Node, path string) ([]entry, bool) {
	var nodes []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		nodes = m.Values
	case *ast.MappingValueNode:
		nodes = []*ast.MappingValueNode{m}
	default:
		d.mismatch(n, path, "keys and values")
		return nil, false
	}
	var entries []entry
	first := map[string]position{}
	for _, e := range nodes {
		key, at := e.Key.GetToken().Value, where(e.Key)
		if before, twice := first[key]; twice {
			d.report(at, child(path, key), "remove one of them", "appears twice, first in line %d", before.line)
			continue
		}
		first[key] = at
		d.positions.keys[child(path, key)] = at
		entries = append(entries, entry{key, at, e.Value})
	}
	return entries, true
}

// text returns the string that stands in a node, with its variables expanded.
func (d *decoder) text(n ast.Node, path string) (string, bool) {
	s, ok := literal(n)
	if !ok {
		hint := ""
		if scalar, isScalar := n.(ast.ScalarNode); isScalar {
			hint = fmt.Sprintf("put it in quotes: %q", scalar.GetToken().Value)
		}
		d.report(where(n), path, hint, "must be a string, not %s", describe(n))
		return "", false
	}
	s, wrong := expand(s, d.getenv)
	for _, w := range wrong {
		d.report(where(n), path, "", "%s", w)
	}
	return s, len(wrong) == 0
}

func literal(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	default:
		return "", false
	}
}

// raw keeps any value as JSON, strings expanded.
func (d *decoder) raw(n ast.Node, v reflect.Value, path string) {
	before := len(d.problems)
	value := d.generic(n, path)
	if len(d.problems) > before {
		return
	}
	data, err := json.Marshal(value)
	if err != nil {
		d.report(where(n), path, "", "cannot be written as JSON: %s", err)
		return
	}
	v.SetBytes(data)
}

func (d *decoder) generic(n ast.Node, path string) any {
	switch v := n.(type) {
	case nil, *ast.NullNode:
		return nil
	case *ast.MappingNode, *ast.MappingValueNode:
		object := map[string]any{}
		entries, _ := d.entries(n, path)
		for _, e := range entries {
			object[e.key] = d.generic(e.value, child(path, e.key))
		}
		return object
	case *ast.SequenceNode:
		list := make([]any, len(v.Values))
		for i, e := range v.Values {
			list[i] = d.generic(e, item(path, i))
		}
		return list
	case *ast.IntegerNode:
		return v.Value
	case *ast.FloatNode:
		return v.Value
	case *ast.BoolNode:
		return v.Value
	default:
		s, _ := d.text(n, path)
		return s
	}
}

func integer(n ast.Node) (int, bool) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch v := i.Value.(type) {
	case int64:
		return int(v), true
	case uint64:
		return int(v), v <= math.MaxInt
	default:
		return 0, false
	}
}

// number is what a node says as a finite number, whole or not.
func number(n ast.Node) (float64, bool) {
	if f, ok := n.(*ast.FloatNode); ok {
		return f.Value, !math.IsInf(f.Value, 0) && !math.IsNaN(f.Value)
	}
	i, ok := integer(n)
	return float64(i), ok
}

func (d *decoder) mismatch(n ast.Node, path, want string) {
	hint := ""
	text, isText := literal(n)
	switch {
	case !isText || want == "a list" || want == "keys and values":
	case strings.Contains(text, "${"):
		hint = "${NAME} is expanded in strings only"
	case n.GetToken().Type == token.SingleQuoteType, n.GetToken().Type == token.DoubleQuoteType:
		hint = "write it without quotes"
	}
	d.report(where(n), path, hint, "must be %s, not %s", want, describe(n))
}

// describe names what a node is, for a message.
func describe(n ast.Node) string {
	switch v := n.(type) {
	case *ast.StringNode:
		return fmt.Sprintf("the string %q", snippet(v.Value))
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + snippet(n.GetToken().Value)
	case *ast.BoolNode:
		return n.GetToken().Value
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys and values"
	case *ast.NullNode, nil:
		return "nothing"
	default:
		return n.Type().String()
	}
}

// emptyHint says how to write a value that has no members.
func emptyHint(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct {
		return "write {} where its defaults are meant"
	}
	return "give it one, or remove the key"
}
