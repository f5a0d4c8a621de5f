package helm

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/check"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// Examiner is the check.Layer of charts: it finds what Deploy would refuse of a service that is deployed for the first time, by the
// same code, without a cluster. What only a cluster knows, such as its version and the kinds that were added to it, is not looked at.
type Examiner struct{}

var _ check.Layer = Examiner{}

// Check implements check.Layer. Values that do not fit a schema, and templates that do not render, are found all at once; what the
// slots would fight over only where there are none of them.
func (Examiner) Check(ctx context.Context, subject check.Subject) (check.Report, error) {
	e := examination{subject: subject}
	s, req := examining(ctx, subject)
	slots := []v1alpha1.Slot{req.Slot}
	if req.Slot != v1alpha1.SlotDirect {
		slots = []v1alpha1.Slot{v1alpha1.SlotDirect, v1alpha1.SlotBlue, v1alpha1.SlotGreen}
	}
	for _, slot := range slots {
		e.render(s, req, slot)
		if err := ctx.Err(); err != nil {
			return check.Report{}, fault.Wrap(fault.Interrupted, "check the chart of "+req.Service, err)
		}
	}
	if len(e.report.Findings) == 0 && len(subject.Missing) == 0 {
		_, err := s.design(req)
		e.found(err)
	}
	e.report.Sort()
	return e.report, nil
}

// examining is a session without a cluster, and the first deployment of a subject.
func examining(ctx context.Context, subject check.Subject) (*session, deploy.Request) {
	rel := subject.Release
	s := &session{
		ctx: ctx, history: history{}, caps: &capabilities{found: common.DefaultCapabilities},
		scope: deploy.Scope{Service: rel.Service, Environment: subject.Environment, Namespace: rel.Environments[subject.Environment].Namespace},
	}
	req := deploy.Request{Scope: s.scope, Slot: v1alpha1.SlotBlue, Live: v1alpha1.SlotNone, Release: rel, Settings: map[string]string{}}
	if values := rel.Spec.VariableValues; values != nil && values.SecretName != "" {
		// What the stores hold is not looked at; that the chart takes the name is.
		req.Settings[values.SecretName] = "variables"
	}
	if rel.Environments[subject.Environment].Strategy.Direct != nil {
		req.Slot = v1alpha1.SlotDirect
	}
	return s, req
}

// examination is one look at a subject.
type examination struct {
	subject check.Subject
	report  check.Report
}

// render finds what is wrong with the chart and its values in one slot.
func (e *examination) render(s *session, req deploy.Request, slot v1alpha1.Slot) {
	req.Slot = slot
	v, err := values(req, slot)
	if err != nil {
		e.found(err)
		return
	}
	c, err := loadChart(req)
	if err != nil {
		e.found(err)
		return
	}
	r := rendering{release: slot.HelmRelease(req.Service), values: v, revision: 1}
	// From here on, also in what comes after, nothing is fetched.
	s.anyValues = s.anyValues || e.farSchemas(c)
	c, rendered, err := s.ingredients(req, r)
	if wrong := (*misfit)(nil); errors.As(err, &wrong) {
		// What is wrong with the templates is told along with the values.
		e.found(err)
		blind := *s
		blind.anyValues = true
		c, rendered, err = blind.ingredients(req, r)
	}
	if err != nil {
		e.found(err)
		return
	}
	if len(e.subject.Missing) > 0 {
		// A template may need what is missing.
		return
	}
	files := e.templates(s, c, rendered)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		_, err := parseFiles(map[string]string{name: files[name]})
		e.found(err)
	}
}

// templates renders the templates that can be rendered. Helm ends at the first that cannot; it is asked again without that one.
func (e *examination) templates(s *session, c *chart.Chart, values common.Values) map[string]string {
	for {
		files, err := s.engine().RenderWithContext(s.ctx, c, values)
		if err == nil {
			return files
		}
		found, culprit := e.locate(err)
		e.add(found)
		// Without a file of definitions the others would fail only because of that.
		if strings.HasPrefix(path.Base(culprit), "_") || !leaveOut(c, culprit) {
			return nil
		}
	}
}

// leaveOut takes a template out of a chart or what it brings along, and says whether it was there.
func leaveOut(c *chart.Chart, name string) bool {
	before := len(c.Templates)
	c.Templates = slices.DeleteFunc(c.Templates, func(f *common.File) bool { return path.Join(c.ChartFullPath(), f.Name) == name })
	return len(c.Templates) < before || slices.ContainsFunc(c.Dependencies(), func(d *chart.Chart) bool { return leaveOut(d, name) })
}

// locate reads the place out of what Helm says of a template: the outermost template, which is the one to leave out, and
// the innermost place, which is the one to correct.
func (e *examination) locate(err error) (check.Finding, string) {
	places := regexp.MustCompile(`([^\s():"]+/[^\s():"]+):(\d+)(?::(\d+))?`).FindAllStringSubmatch(err.Error(), -1)
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	message := strings.TrimSpace(lines[len(lines)-1])
	if len(places) == 0 {
		return check.Finding{File: e.subject.Release.Spec.Chart, Message: message}, ""
	}
	inner := places[len(places)-1]
	if len(lines) == 1 {
		// "execution error at (shop/templates/a.yaml:3:4): what the template says"
		if _, what, ok := strings.Cut(message, inner[0]+"): "); ok {
			message = what
		}
	}
	found := check.Finding{File: e.file(inner[1]), Message: message}
	// What is no number has not matched.
	found.Line, _ = strconv.Atoi(inner[2])
	found.Column, _ = strconv.Atoi(inner[3])
	if inner[3] != "" {
		// Helm counts columns from 0.
		found.Column++
	}
	return found, places[0][1]
}

// file is a template's path below the project's folder: Helm names it after the chart, not after the folder.
func (e *examination) file(template string) string {
	_, rest, _ := strings.Cut(template, "/")
	return path.Join(e.subject.Release.Spec.Chart, rest)
}

func (e *examination) add(f check.Finding) {
	f.Service, f.Environments = e.subject.Release.Service, []string{e.subject.Environment}
	e.report.Add(check.Report{Findings: []check.Finding{f}})
}

// found adds what an error of rendering says, nil for nothing.
func (e *examination) found(err error) {
	var values *misfit
	var file *unreadable
	switch {
	case err == nil:
	case errors.As(err, &values):
		for _, v := range values.values {
			e.add(e.value(v))
		}
	case errors.As(err, &file):
		name := file.name
		if _, ok := e.subject.Release.Files[name]; !ok {
			name = e.file(name)
		}
		hint := ""
		if _, ok := e.subject.Release.Files[name]; !ok {
			hint = fault.HintOf(err)
		}
		e.add(check.Finding{File: name, Message: file.err.Error(), Hint: hint})
	default:
		e.add(check.Finding{File: e.subject.Release.Spec.Chart, Message: err.Error(), Hint: fault.HintOf(err)})
	}
}

// value is the finding of a value that does not fit.
func (e *examination) value(v mismatch) check.Finding {
	f := check.Finding{Path: strings.Join(v.path, "."), Message: v.what, Keys: v.path}
	key, isKey := strings.CutPrefix(v.origin, "imageValues.")
	switch {
	case v.origin == fromNowhere:
		f.File, f.Keys = path.Join(e.subject.Release.Spec.Chart, "values.schema.json"), nil
		f.Message += " in every values file and in the chart's own"
		f.Hint = "set it in a values file of the environment"
	case v.origin == fromChart:
		f.File = path.Join(e.subject.Release.Spec.Chart, "values.yaml")
	case isKey:
		f.Path, f.Keys = "services."+e.subject.Release.Service+".imageValues."+key, nil
		f.Message = "the chart's schema does not take an image's reference at " + strings.Join(v.path, ".") + ": " + v.what
	case strings.HasPrefix(v.origin, "slotValues."):
		f.Path, f.Keys = "services."+e.subject.Release.Service+"."+v.origin, nil
		f.Message = "the chart's schema does not take it: " + v.what
	default:
		f.File = v.origin
	}
	return f
}

// farSchemas says whether a schema of the chart refers to another that would have to be fetched, and reports that it was not.
func (e *examination) farSchemas(c *chart.Chart) bool {
	found := false
	var walk func(c *chart.Chart)
	walk = func(c *chart.Chart) {
		var schema any
		// What is no JSON is reported by Helm.
		if err := json.Unmarshal(c.Schema, &schema); err == nil {
			if far := farReference(schema, &url.URL{}); far != "" {
				found = true
				e.report.Add(check.Report{Unchecked: []check.Finding{{
					Service: e.subject.Release.Service, Environments: []string{e.subject.Environment},
					File:    e.file(path.Join(c.ChartFullPath(), "values.schema.json")),
					Message: "it refers to " + far + ", which is not fetched, so no values were compared with a schema",
					Hint:    "copy that schema into this one to have values checked",
				}}})
			}
		}
		for _, d := range c.Dependencies() {
			walk(d)
		}
	}
	walk(c)
	return found
}

// farReference is the first schema in another place that a schema refers to, or ""; base is what its references are relative to.
func farReference(schema any, base *url.URL) string {
	switch s := schema.(type) {
	case map[string]any:
		if id, ok := s["$id"].(string); ok {
			base = resolved(base, id)
		}
		for _, key := range slices.Sorted(maps.Keys(s)) {
			text, isText := s[key].(string)
			if isText && (key == "$ref" || key == "$schema") && isFar(resolved(base, text), base) {
				return text
			}
			if found := farReference(s[key], base); found != "" {
				return found
			}
		}
	case []any:
		for _, item := range s {
			if found := farReference(item, base); found != "" {
				return found
			}
		}
	}
	return ""
}

// resolved is a reference relative to a base. What is no URL leads nowhere.
func resolved(base *url.URL, reference string) *url.URL {
	u, err := base.Parse(reference)
	if err != nil {
		return &url.URL{}
	}
	u.Fragment, u.RawFragment = "", ""
	return u
}

// isFar says whether a schema would have to be fetched. The drafts of JSON Schema themselves are known.
func isFar(u, base *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "json-schema.org" && u.String() != base.String()
}
