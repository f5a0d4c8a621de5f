package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/config"
)

// reference returns the page of the documentation about every key; folder holds the sources of the nouns, for their comments.
func reference(folder string) ([]byte, error) {
	comments, err := readComments(folder)
	if err != nil {
		return nil, fmt.Errorf("read comments: %w", err)
	}
	p := page{comments: comments}
	p.text.WriteString(`# sluice.yaml

Every key, printed from the code by ` + "`make generate`" + `. The file is strict: an unknown key, a wrong type or a reference that leads
nowhere is an error with its line and column. ` + "`${NAME}`" + ` in a string is the environment variable of that name; one that is not set,
or is empty, is an error; ` + "`$${`" + ` is a literal ` + "`${`" + `. Paths are relative to the file's folder.
`)
	queue := []reflect.Type{reflect.TypeFor[v1alpha1.Project]()}
	seen := map[reflect.Type]bool{queue[0]: true}
	for len(queue) > 0 {
		t := queue[0]
		queue = queue[1:]
		p.section(t)
		for _, f := range config.Fields(t) {
			if inner := structOf(t.Field(f.Index).Type); inner != nil && !seen[inner] {
				seen[inner] = true
				queue = append(queue, inner)
			}
		}
	}
	return []byte(p.text.String()), nil
}

type page struct {
	comments comments
	text     strings.Builder
}

func (p *page) section(t reflect.Type) {
	fmt.Fprintf(&p.text, "\n## %s\n\n%s\n", t.Name(), escape(p.comments.structure(t.Name())))
	fields := config.Fields(t)
	if len(fields) == 0 {
		p.text.WriteString("\nIt has no keys: write `{}`.\n")
		return
	}
	p.text.WriteString("\n| key | value | meaning |\n|---|---|---|\n")
	for _, f := range fields {
		field := t.Field(f.Index)
		required := ""
		if f.Required {
			required = "**required** "
		}
		meaning := escape(p.comments.field(t.Name(), field.Name))
		fmt.Fprintf(&p.text, "| `%s` | %s | %s%s |\n", f.Name, valueOf(field.Type), required, meaning)
	}
}

// valueOf says in words what stands behind a key.
func valueOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[v1alpha1.Duration]():
		return "duration, such as `30s` or `5m`"
	case t == reflect.TypeFor[v1alpha1.Share]():
		return "share, such as `1%` or `0.1%`"
	case t == reflect.TypeFor[json.RawMessage]():
		return "anything"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return valueOf(t.Elem())
	case reflect.Struct:
		return fmt.Sprintf("[%s](#%s)", t.Name(), strings.ToLower(t.Name()))
	case reflect.Map:
		return "name: " + valueOf(t.Elem())
	case reflect.Slice:
		return "list of " + valueOf(t.Elem())
	case reflect.Int:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.Bool:
		return "`true`"
	default:
		return "string"
	}
}

// structOf is the struct that stands behind a key, nil where there is none.
func structOf(t reflect.Type) reflect.Type {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		return structOf(t.Elem())
	case reflect.Struct:
		return t
	default:
		return nil
	}
}

// escape keeps a comment from being read as Markdown's tables and tags.
func escape(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(text)
}
