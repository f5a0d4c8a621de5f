package helm

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// Where a value can come from, beside values files and keys of sluice.yaml.
const (
	fromChart   = "the chart's values.yaml"
	fromNowhere = "in no values file"
)

// misfit are the values of an environment that do not fit a chart's schema.
type misfit struct {
	environment, chart string
	values             []mismatch
}

// mismatch is one of them: what says it, where it is, and what the schema has against it.
type mismatch struct {
	origin string
	path   []string
	what   string
}

func (m *misfit) Error() string {
	lines := make([]string, len(m.values))
	for i, v := range m.values {
		lines[i] = fmt.Sprintf("%s: %s: %s", v.origin, strings.Join(v.path, "."), v.what)
	}
	return fmt.Sprintf("environment %s does not fit the schema of chart %s:\n%s", m.environment, m.chart, strings.Join(lines, "\n"))
}

// wrongValues says of values that do not fit a chart's schema which they are and where they come from. Helm tells both in
// a text only; what is not understood of it is passed on as it is.
func wrongValues(req deploy.Request, chart string, err error) error {
	wrong := mismatches(req, chart, err)
	if len(wrong) == 0 {
		return fault.New(fault.Fatal, "values", "%w", err).WithHint("correct the values files of environment %s", req.Environment)
	}
	var files []string
	for _, v := range wrong {
		if v.origin != fromNowhere {
			files = append(files, v.origin)
		}
	}
	slices.Sort(files)
	what := strings.Join(slices.Compact(files), ", ")
	if what == "" {
		what = "the values files of environment " + req.Environment
	}
	return fault.New(fault.Fatal, "values", "%w", &misfit{environment: req.Environment, chart: chart, values: wrong}).
		WithHint("correct %s and build a new release", what)
}

func mismatches(req deploy.Request, chart string, err error) []mismatch {
	at := regexp.MustCompile(`^\s*- at '(.*?)': (.*)$`)
	property := regexp.MustCompile(`^(missing|additional) propert(?:y|ies) '(.*?)'`)
	var wrong []mismatch
	var below []string
	for _, line := range strings.Split(err.Error(), "\n") {
		if name, ok := strings.CutSuffix(line, ":"); ok && !strings.ContainsAny(name, " '") {
			// What follows is about this chart. The values of one that another brings along lie under its name.
			below = nil
			if name != chart {
				below = []string{name}
			}
			continue
		}
		found := at.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		m := mismatch{path: append(slices.Clone(below), pointer(found[1])...), what: found[2]}
		if p := property.FindStringSubmatch(m.what); p != nil {
			m.path = append(m.path, p[2])
			if p[1] == "missing" {
				m.origin = fromNowhere
			}
		}
		if m.origin == "" {
			m.origin = originOf(req, m.path)
		}
		wrong = append(wrong, m)
	}
	return wrong
}

// pointer splits a JSON pointer.
func pointer(s string) []string {
	if s == "" {
		return nil
	}
	var out []string
	for _, part := range strings.Split(strings.TrimPrefix(s, "/"), "/") {
		out = append(out, strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
	}
	return out
}

// originOf names what sets a value last: the key of sluice.yaml, the values file, or the chart itself.
func originOf(req deploy.Request, path []string) string {
	joined := strings.Join(path, ".")
	spec := req.Release.Spec
	if _, ok := spec.SlotValues[joined]; ok && hasSlotValues(req.Slot) {
		return "slotValues." + joined
	}
	for _, image := range slices.Sorted(maps.Keys(spec.ImageValues)) {
		if spec.ImageValues[image] == joined {
			return "imageValues." + image
		}
	}
	files := req.Release.Environments[req.Environment].Values
	for i := len(files) - 1; i >= 0; i-- {
		var layer map[string]any
		// A file that cannot be read has been refused before.
		if err := yaml.Unmarshal(req.Release.Files[files[i]], &layer); err == nil && holds(layer, path) {
			return files[i]
		}
	}
	return fromChart
}

// holds says whether a values file says something at a path, be it as part of a whole list.
func holds(layer map[string]any, path []string) bool {
	var at any = layer
	for _, key := range path {
		in, isMap := at.(map[string]any)
		if !isMap {
			// A list, or the scalar that is wrong: it comes as a whole from here.
			return true
		}
		next, ok := in[key]
		if !ok {
			return false
		}
		at = next
	}
	return len(path) > 0
}
