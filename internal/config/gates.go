package config

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// gates checks gates that are asked together with the others; entry is the path of the entry that they need, "" for none.
func (v *validator) gates(path, entry string, gates, others []v1alpha1.Gate) {
	seen := map[string]bool{}
	for _, g := range others {
		seen[g.DisplayName()] = true
	}
	for i, g := range gates {
		here := item(path, i)
		if g.HTTP == nil && g.HelmTest == nil {
			continue
		}
		if name := g.DisplayName(); seen[name] {
			v.report(here, "give it a name of its own by `name:`", "another gate asked at the same time is called %q too", name)
		} else {
			seen[name] = true
		}
		if g.HTTP != nil {
			v.httpGate(child(here, "http"), entry, *g.HTTP)
		}
		if timeout := child(child(here, "helmTest"), "timeout"); g.HelmTest != nil && v.positions.has(timeout) && g.HelmTest.Timeout == 0 {
			v.report(timeout, "", "must be more than 0")
		}
	}
}

func (v *validator) httpGate(path, entry string, h v1alpha1.HTTPGate) {
	if v.positions.has(child(path, "url")) {
		v.absoluteURL(child(path, "url"), h.URL, false)
	}
	if v.positions.has(child(path, "path")) {
		v.gatePath(child(path, "path"), h.Path)
		if entry != "" && !v.positions.has(entry) {
			v.report(child(path, "path"), "add `entry:` to the environment, or give the gate a `url:`", "the environment has no entry to which the path could be joined")
		}
	}
	if h.Method != "" && (!headerToken(h.Method) || strings.ToUpper(h.Method) != h.Method) {
		v.report(child(path, "method"), "", "%q is no HTTP method such as GET or POST", h.Method)
	}
	if v.positions.has(child(path, "timeout")) && h.Timeout == 0 {
		v.report(child(path, "timeout"), "", "must be more than 0")
	}
	if v.positions.has(child(path, "attempts")) && h.Attempts < 1 {
		v.report(child(path, "attempts"), "", "must be 1 or more, not %d", h.Attempts)
	}
	v.headers(child(path, "headers"), h.Headers)
	v.expect(child(path, "expect"), h.Expect)
}

func (v *validator) gatePath(path, text string) {
	u, err := url.Parse(text)
	if err != nil || !strings.HasPrefix(text, "/") || u.Host != "" || u.Fragment != "" {
		v.report(path, "", "%q is no path such as /api/calculate?number=221", text)
	}
}

func (v *validator) headers(path string, headers map[string]string) {
	for _, name := range sorted(headers) {
		if !headerToken(name) {
			v.reportKey(child(path, name), "", "%q is no name of an HTTP header", name)
		}
		if strings.ContainsAny(headers[name], "\r\n") {
			v.report(child(path, name), "", "a header's value is a single line")
		}
	}
}

func (v *validator) expect(path string, x v1alpha1.HTTPExpect) {
	if status := child(path, "status"); v.positions.has(status) && (x.Status < 100 || x.Status > 599) {
		v.report(status, "", "%d is no HTTP status between 100 and 599", x.Status)
	}
	v.headers(child(path, "headers"), x.Headers)
	if _, err := regexp.Compile(x.Body); err != nil {
		v.report(child(path, "body"), "the syntax is that of RE2", "no regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
}
