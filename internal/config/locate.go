package config

import (
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// Locate returns the line and column, from 1, at which a YAML file has what a path of keys and list indexes leads to, or the nearest
// thing above it; 0 and 0 where the file cannot be read.
func Locate(data []byte, path []string) (line, column int) {
	node, problems := parse("", data)
	if len(problems) > 0 || node == nil {
		return 0, 0
	}
	at := where(node)
	for _, key := range path {
		next, place, ok := step(node, key)
		if !ok {
			break
		}
		node, at = next, place
	}
	return at.line, at.column
}

// step goes from a node to what it has under a key or index, and says where the key, or the entry, stands.
func step(node ast.Node, key string) (ast.Node, position, bool) {
	switch n := node.(type) {
	case *ast.MappingNode:
		for _, entry := range n.Values {
			if entry.Key.GetToken().Value == key {
				return entry.Value, where(entry.Key), true
			}
		}
	case *ast.MappingValueNode:
		if n.Key.GetToken().Value == key {
			return n.Value, where(n.Key), true
		}
	case *ast.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.Values) {
			return n.Values[i], where(n.Values[i]), true
		}
	}
	return nil, position{}, false
}
