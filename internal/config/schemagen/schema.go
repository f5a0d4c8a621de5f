package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/config"
)

// object is a JSON object; the encoder sorts its keys, so that the output is stable.
type object = map[string]any

// generate returns the schema of a project; folder holds the sources of the nouns, for their comments.
func generate(folder string) ([]byte, error) {
	comments, err := readComments(folder)
	if err != nil {
		return nil, fmt.Errorf("read comments: %w", err)
	}
	g := generator{comments: comments, definitions: object{}}
	root := g.structure(reflect.TypeFor[v1alpha1.Project]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = config.FileName
	root["$defs"] = g.definitions
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return out.Bytes(), nil
}

type generator struct {
	comments    comments
	definitions object
}

// of is the schema of a value of the type.
func (g generator) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[v1alpha1.Duration]():
		return object{"type": "string", "pattern": `^\+?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$|\$\{`, "examples": []string{"30s", "5m"}}
	case t == reflect.TypeFor[v1alpha1.Share]():
		return object{"type": "string", "pattern": `^\s*\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*%\s*$|\$\{`, "examples": []string{"1%", "0.1%"}}
	case t == reflect.TypeFor[json.RawMessage]():
		return object{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.of(t.Elem())
	case reflect.Struct:
		if _, known := g.definitions[t.Name()]; !known {
			g.definitions[t.Name()] = object{} // ends the recursion of a type that holds itself
			g.definitions[t.Name()] = g.structure(t)
		}
		return object{"$ref": "#/$defs/" + t.Name()}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": g.of(t.Elem())}
	case reflect.Slice:
		return object{"type": "array", "items": g.of(t.Elem())}
	case reflect.Int:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Bool:
		return object{"type": "boolean"}
	default:
		return object{"type": "string"}
	}
}

// structure is the schema of a struct: its keys, those that are required, and the choice among the members of a union.
func (g generator) structure(t reflect.Type) object {
	properties := object{}
	var required []string
	for _, f := range config.Fields(t) {
		field := t.Field(f.Index)
		property := g.of(field.Type)
		if text := g.comments.field(t.Name(), field.Name); text != "" {
			property["description"] = text
		}
		maps.Copy(property, limits(t.Name()+"."+f.Name))
		properties[f.Name] = property
		if f.Required {
			required = append(required, f.Name)
		}
	}
	s := object{"type": "object", "additionalProperties": false, "properties": properties}
	if text := g.comments.structure(t.Name()); text != "" {
		s["description"] = text
	}
	switch members := config.Union(t); len(members) {
	case 0:
	case 1:
		required = append(required, members[0])
	default:
		var choices []object
		for _, m := range members {
			choices = append(choices, object{"required": []string{m}})
		}
		s["oneOf"] = choices
	}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// limits are what the type of a key does not say and the loader demands.
func limits(key string) object {
	switch key {
	case "Project.apiVersion":
		return object{"const": v1alpha1.APIVersion}
	case "Project.kind":
		return object{"const": v1alpha1.KindProject}
	case "Project.services", "Project.environments":
		return object{"minProperties": 1}
	case "Canary.steps":
		return object{"minItems": 1}
	case "Step.weight":
		return object{"minimum": 0, "maximum": 100}
	case "HTTPGate.attempts", "Metric.attempts":
		return object{"minimum": 1}
	case "Probe.rate":
		return object{"exclusiveMinimum": 0, "maximum": 50}
	case "HTTPExpect.status":
		return object{"minimum": 100, "maximum": 599}
	case "Cluster.inCluster":
		return object{"const": true}
	default:
		return nil
	}
}
