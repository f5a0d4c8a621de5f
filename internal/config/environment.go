package config

import (
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

func (v *validator) environment(name string, e v1alpha1.Environment) {
	path := child("environments", name)
	if why := notLabel(name); why != "" {
		v.reportKey(path, "", "the environment's name %s", why)
	}
	v.after(path, name, e.After)
	v.cluster(child(path, "cluster"), e.Cluster)
	if v.positions.has(child(path, "registry")) {
		v.registry(child(path, "registry"), e.Registry)
	}
	if v.positions.has(child(path, "namespace")) {
		v.label(child(path, "namespace"), e.Namespace)
	}
	for i, file := range e.Values {
		v.valuesFile(item(child(path, "values"), i), file, e.Values[:i])
	}
	if v.positions.has(child(path, "entry")) {
		v.absoluteURL(child(path, "entry"), e.Entry, true)
	}
	if v.positions.has(child(path, "timeout")) && e.Timeout == 0 {
		v.report(child(path, "timeout"), "", "must be more than 0")
	}
	entry := child(path, "entry")
	if reachedByService(e.Strategy) {
		entry = ""
	}
	v.strategy(child(path, "strategy"), entry, e)
	v.gates(child(path, "gates"), entry, e.Gates, nil)
	if e.Analysis != nil {
		v.analysis(path, e)
	}
	if e.Variables != nil {
		v.variableStore(child(path, "variables"), *e.Variables)
	}
	if e.Verify != nil {
		v.verification(child(path, "verify"), e.Verify)
	}
}

func (v *validator) after(path, name string, after []string) {
	known := slices.DeleteFunc(sorted(v.file.Project.Environments), func(n string) bool { return n == name })
	for i, before := range after {
		here := item(child(path, "after"), i)
		if _, ok := v.file.Project.Environments[before]; !ok {
			v.report(here, didYouMean(before, known), "there is no environment %q", before)
		}
		if slices.Contains(after[:i], before) {
			v.report(here, "remove it", "names %s twice", before)
		}
	}
}

func (v *validator) cluster(path string, c v1alpha1.Cluster) {
	switch {
	case v.positions.has(child(path, "inCluster")) && !c.InCluster:
		v.report(child(path, "inCluster"), "name the context instead", "can only be true")
	case v.positions.has(child(path, "context")) && c.Context == "":
		v.report(child(path, "context"), "`kubectl config get-contexts` lists them", "is empty")
	case c.InCluster && c.Kubeconfig != "":
		v.report(child(path, "kubeconfig"), "remove one of the two", "means nothing together with inCluster")
	case c.AKS != nil:
		v.aks(path, c)
	}
	uid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	if c.Identity != "" && !uid.MatchString(c.Identity) {
		v.absoluteURL(child(path, "identity"), c.Identity, true)
	}
}

func (v *validator) valuesFile(path, name string, before []string) {
	if slices.Contains(before, name) {
		v.report(path, "remove it", "names %q twice", name)
	}
	if !filepath.IsAbs(name) && name != "" && !filepath.IsLocal(name) {
		v.report(path, "move it there: it travels with the release", "%q lies outside of the folder of %s", name, FileName)
		return
	}
	v.inside(path, name, regular)
}

// absoluteURL checks a URL that people call; bare: it has neither query nor fragment.
func (v *validator) absoluteURL(path, text string, bare bool) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		v.report(path, "", "%q is no absolute URL such as https://calculator.example.com", text)
	case u.User != nil:
		v.report(path, "remove them", "holds credentials, which do not belong into a file")
	case bare && (u.RawQuery != "" || u.Fragment != ""):
		v.report(path, "", "%q has a query or fragment, which would get lost", text)
	}
}

// reachedByService says that gates reach the candidate by its own Service, because the router knows no header.
func reachedByService(s v1alpha1.Strategy) bool {
	switch {
	case s.BlueGreen != nil:
		return !byWeight(s.BlueGreen.Traffic.Router())
	case s.Canary != nil:
		return !byWeight(s.Canary.Traffic.Router())
	default:
		return false
	}
}

func (v *validator) strategy(path, entry string, e v1alpha1.Environment) {
	if b := e.Strategy.BlueGreen; b != nil {
		v.traffic(child(path, "blueGreen"), b.Traffic, b.Header)
	}
	c := e.Strategy.Canary
	if c == nil {
		return
	}
	path = child(path, "canary")
	v.traffic(path, c.Traffic, c.Header)
	v.steps(path, c)
	for i, s := range c.Steps {
		v.gates(child(item(child(path, "steps"), i), "gates"), entry, s.Gates, e.Gates)
	}
}

func (v *validator) traffic(path string, t v1alpha1.Traffic, h v1alpha1.Header) {
	header := child(path, "header")
	if !byWeight(t.Router()) {
		if v.positions.has(header) {
			v.reportKey(header, "remove it, or choose gateway or nginx", "the router %s knows no header", t.Router())
		}
		return
	}
	switch {
	case (h.Name == "") != (h.Value == ""):
		v.reportKey(header, "", "needs both a name and a value")
	case h.Name != "" && !headerToken(h.Name):
		v.report(child(header, "name"), "", "%q is no name of an HTTP header", h.Name)
	case strings.ContainsAny(h.Value, "\r\n"):
		v.report(child(header, "value"), "", "a header's value is a single line")
	}
}

// byWeight says whether a router knows weights between 0 and 100, and headers.
func byWeight(r v1alpha1.Router) bool {
	return r == v1alpha1.RouterGateway || r == v1alpha1.RouterNginx
}

func (v *validator) steps(canary string, c *v1alpha1.Canary) {
	path, steps, router := child(canary, "steps"), c.Steps, c.Traffic.Router()
	chosen := v.positions.has(child(child(canary, "traffic"), string(router)))
	if len(steps) == 0 {
		v.report(path, "end them with {weight: 100}", "needs steps")
		return
	}
	for i, s := range steps {
		weight := child(item(path, i), "weight")
		switch {
		case s.Weight < 0 || s.Weight > 100:
			v.report(weight, "", "%d is no percentage between 0 and 100", s.Weight)
		case i > 0 && s.Weight <= steps[i-1].Weight:
			v.report(weight, "weights ascend from step to step", "%d is not more than the %d of the step before", s.Weight, steps[i-1].Weight)
		case i == 0 && s.Weight != 0:
			v.report(weight, "put {weight: 0} before it: there the gates see the new version before any user does", "the first step must have weight 0, not %d", s.Weight)
		case s.Weight%100 != 0 && chosen && !byWeight(router):
			v.report(weight, "use blueGreen, or the router gateway or nginx", "the router %s knows the weights 0 and 100 only", router)
		}
	}
	if last := len(steps) - 1; steps[last].Weight < 100 {
		v.report(child(item(path, last), "weight"), "add {weight: 100}", "the last step must have weight 100, not %d", steps[last].Weight)
	}
}

// headerToken says whether a text can be the name of an HTTP header or method (RFC 9110, section 5.6.2).
func headerToken(s string) bool {
	return regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$").MatchString(s)
}
