package config

import (
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// position counts from 1; its zero value is the file as a whole.
type position struct{ line, column int }

// positions remember where the value of each path stands, and its key.
type positions struct{ keys, values map[string]position }

func newPositions() positions {
	return positions{keys: map[string]position{}, values: map[string]position{}}
}

// value is where the value of the path stands, or that of the nearest path above which the file has.
func (p positions) value(path string) position { return nearest(path, p.values) }

// key is where the key of the path stands, or that of the nearest path above which the file has.
func (p positions) key(path string) position { return nearest(path, p.keys, p.values) }

// has says whether the file sets the path.
func (p positions) has(path string) bool {
	_, ok := p.values[path]
	return ok
}

func nearest(path string, maps ...map[string]position) position {
	for {
		for _, m := range maps {
			if at, ok := m[path]; ok {
				return at
			}
		}
		if path == "" {
			return position{1, 1}
		}
		path = parent(path)
	}
}

// child is the path of a key below a path.
func child(path, key string) string {
	if !plain(key) {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// item is the path of a list's entry.
func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// parent undoes child and item.
func parent(path string) string {
	if strings.HasSuffix(path, "\"]") {
		for at := 0; at < len(path); at++ {
			if path[at] != '[' {
				continue
			}
			if quoted, err := strconv.QuotedPrefix(path[at+1:]); err == nil {
				if at+1+len(quoted)+1 == len(path) {
					return path[:at]
				}
				at += len(quoted)
			}
		}
	}
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

func plain(key string) bool {
	for _, r := range key {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && r != '-' && r != '_' {
			return false
		}
	}
	return key != ""
}

// where is the first character of a node.
func where(n ast.Node) position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return where(m.Values[0].Key)
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		return where(m.Key)
	}
	if n == nil || n.GetToken() == nil {
		return position{}
	}
	p := n.GetToken().Position
	return position{p.Line, p.Column}
}
