package helm

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// legacyClass is how an Ingress named its class before it had a field.
const legacyClass = "kubernetes.io/ingress.class"

// spot is a set of requests as one match of a route describes it. Two routes compete where they describe the same set; where one
// is more specific than the other, the other still gets all the rest.
type spot struct {
	// entry is where the requests come in: an Ingress class; or a Gateway, its section and its port. An empty part is any.
	entry [3]string
	host  string
	match string
}

func (s spot) String() string {
	if s.host == "" {
		return "any host, path " + s.match
	}
	return "host " + s.host + ", path " + s.match
}

func (s spot) meets(o spot) bool {
	for i, part := range s.entry {
		// An Ingress without a class gets the cluster's default one when it is created, which may be the other's.
		if part != o.entry[i] && part != "" && o.entry[i] != "" {
			return false
		}
	}
	return s.host == o.host && s.match == o.match
}

// meeting returns the first set of requests that two routes of one kind both describe.
func meeting(a, b object, namespace string) (spot, bool) {
	others := spots(b, namespace)
	for _, s := range spots(a, namespace) {
		if slices.ContainsFunc(others, s.meets) {
			return s, true
		}
	}
	return spot{}, false
}

func spots(o object, namespace string) []spot {
	if o.GetKind() == "Ingress" {
		return ingressSpots(o)
	}
	return httpRouteSpots(o, namespace)
}

func ingressSpots(o object) []spot {
	// What has another type than a string has been refused, or will be, by the API server.
	class, _, _ := unstructured.NestedString(o.Object, "spec", "ingressClassName")
	entry := [3]string{cmp.Or(class, o.GetAnnotations()[legacyClass])}
	spec, _ := o.Object["spec"].(map[string]any)
	var out []spot
	for _, rule := range list(spec, "rules") {
		http, _ := rule["http"].(map[string]any)
		for _, p := range list(http, "paths") {
			out = append(out, spot{entry: entry, host: strings.ToLower(scalar(rule, "host")), match: pathMatch(scalar(p, "path"), scalar(p, "pathType"))})
		}
	}
	return out
}

func httpRouteSpots(o object, namespace string) []spot {
	spec, _ := o.Object["spec"].(map[string]any)
	hosts, _, _ := unstructured.NestedStringSlice(o.Object, "spec", "hostnames")
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	var out []spot
	for _, parent := range list(spec, "parentRefs") {
		gateway := strings.Join([]string{
			cmp.Or(scalar(parent, "group"), "gateway.networking.k8s.io"), cmp.Or(scalar(parent, "kind"), "Gateway"),
			cmp.Or(scalar(parent, "namespace"), namespace), scalar(parent, "name"),
		}, "/")
		entry := [3]string{gateway, scalar(parent, "sectionName"), scalar(parent, "port")}
		for _, host := range hosts {
			for _, match := range httpRouteMatches(spec) {
				out = append(out, spot{entry: entry, host: strings.ToLower(host), match: match})
			}
		}
	}
	return out
}

// httpRouteMatches are the matches of all rules; a rule without any matches every path.
func httpRouteMatches(spec map[string]any) []string {
	const everything = "PathPrefix"
	rules := list(spec, "rules")
	if len(rules) == 0 {
		return []string{pathMatch("", everything)}
	}
	var out []string
	for _, rule := range rules {
		matches := list(rule, "matches")
		if len(matches) == 0 {
			out = append(out, pathMatch("", everything))
		}
		for _, m := range matches {
			path, _ := m["path"].(map[string]any)
			match := pathMatch(scalar(path, "value"), cmp.Or(scalar(path, "type"), everything))
			if method := scalar(m, "method"); method != "" {
				match += ", method " + method
			}
			out = append(out, match+conditions(m, "headers", "header")+conditions(m, "queryParams", "parameter"))
		}
	}
	return out
}

// conditions describes further conditions of a match in an order of their own.
func conditions(match map[string]any, member, what string) string {
	var out []string
	for _, c := range list(match, member) {
		name := scalar(c, "name")
		if what == "header" {
			name = strings.ToLower(name)
		}
		out = append(out, fmt.Sprintf(", %s %s: %s (%s)", what, name, scalar(c, "value"), cmp.Or(scalar(c, "type"), "Exact")))
	}
	slices.Sort(out)
	return strings.Join(out, "")
}

// pathMatch describes a path; to a prefix a slash at its end means nothing.
func pathMatch(path, kind string) string {
	if strings.HasSuffix(kind, "Prefix") {
		path = strings.TrimRight(path, "/")
	}
	return cmp.Or(path, "/") + " (" + kind + ")"
}

// scalar is a scalar member as text, "" where there is none.
func scalar(in map[string]any, member string) string {
	switch v := in[member].(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}
