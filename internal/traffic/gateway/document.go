package gateway

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

func rulesOf(route *unstructured.Unstructured) []document {
	if route == nil {
		return nil
	}
	spec, _ := route.Object["spec"].(document)
	return documents(spec, "rules")
}

// documents are the documents of a list member; changing one changes it where it lies.
func documents(in document, member string) []document {
	items, _ := in[member].([]any)
	var out []document
	for _, item := range items {
		if m, ok := item.(document); ok {
			out = append(out, m)
		}
	}
	return out
}

func name(in document) string { return text(in, "name") }

func text(in document, member string) string {
	s, _ := in[member].(string)
	return s
}

func number(in document, member string, otherwise int64) int64 {
	switch n := in[member].(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	default:
		return otherwise
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// withDefaults fills in what the API server would, so that a route as read can be compared with the one wanted.
func withDefaults(spec document) {
	for _, parent := range documents(spec, "parentRefs") {
		set(parent, "group", group)
		set(parent, "kind", "Gateway")
	}
	for _, rule := range documents(spec, "rules") {
		if len(documents(rule, "matches")) == 0 {
			rule["matches"] = []any{document{}}
		}
		for _, match := range documents(rule, "matches") {
			defaultMatch(match)
		}
		for _, ref := range documents(rule, "backendRefs") {
			defaultBackend(ref)
			set(ref, "weight", int64(1))
			defaultFilters(documents(ref, "filters"))
		}
		defaultFilters(documents(rule, "filters"))
	}
}

func defaultMatch(match document) {
	set(match, "path", document{})
	if path, ok := match["path"].(document); ok {
		set(path, "type", "PathPrefix")
		set(path, "value", "/")
	}
	for _, member := range []string{"headers", "queryParams"} {
		for _, m := range documents(match, member) {
			set(m, "type", "Exact")
		}
	}
}

func defaultFilters(filters []document) {
	for _, f := range filters {
		if mirror, ok := f["requestMirror"].(document); ok {
			if ref, ok := mirror["backendRef"].(document); ok {
				defaultBackend(ref)
			}
		}
		if redirect, ok := f["requestRedirect"].(document); ok {
			set(redirect, "statusCode", int64(302))
		}
	}
}

func defaultBackend(ref document) {
	set(ref, "group", "")
	set(ref, "kind", "Service")
}

func set(in document, member string, value any) {
	if _, has := in[member]; !has {
		in[member] = value
	}
}
