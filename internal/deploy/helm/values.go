package helm

import (
	"maps"
	"slices"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// values merges what a release brings into one slot: its environment's files in order, the images, what its variables
// say, and the slot's own values.
// The direct slot, and the stable rendering, take the chart's own names and no slot values.
func values(req deploy.Request, slot v1alpha1.Slot) (map[string]any, error) {
	release := req.Release
	env, ok := release.Environments[req.Environment]
	if !ok {
		return nil, fault.New(fault.Usage, "values", "release %s %s does not know environment %q; it knows %s", release.Service, release.Version,
			req.Environment, strings.Join(slices.Sorted(maps.Keys(release.Environments)), ", ")).
			WithHint("add the environment to sluice.yaml and build a new release")
	}
	out := map[string]any{}
	for _, path := range env.Values {
		data, ok := release.Files[path]
		if !ok {
			return nil, fault.New(fault.Fatal, "values", "release %s %s does not hold the values file %s", release.Service, release.Version, path).
				WithHint("build the release again")
		}
		var layer map[string]any
		if err := yaml.Unmarshal(data, &layer); err != nil {
			return nil, fault.New(fault.Fatal, "values", "%w", &unreadable{path, err}).WithHint("correct the file and build a new release")
		}
		out = merge(out, layer)
	}
	for _, name := range slices.Sorted(maps.Keys(release.Spec.ImageValues)) {
		ref, ok := release.Images[name]
		if !ok {
			return nil, fault.New(fault.Usage, "values", "imageValues names the image %q, which release %s does not hold; it holds %s",
				name, release.Version, strings.Join(slices.Sorted(maps.Keys(release.Images)), ", "))
		}
		if err := set(out, release.Spec.ImageValues[name], ref); err != nil {
			return nil, fault.New(fault.Usage, "values", "imageValues.%s: %w", name, err)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(req.Settings)) {
		if err := set(out, path, req.Settings[path]); err != nil {
			return nil, fault.New(fault.Usage, "values", "variables: %w", err)
		}
	}
	if !hasSlotValues(slot) {
		return out, nil
	}
	return out, slotValues(out, release.Spec.SlotValues, req.Service, slot)
}

func hasSlotValues(slot v1alpha1.Slot) bool {
	return slot != v1alpha1.SlotDirect && slot != v1alpha1.SlotNone
}

// unreadable is a file that cannot be understood: one of values by its path, or what a template renders by the template's name.
type unreadable struct {
	name string
	err  error
}

func (u *unreadable) Error() string { return u.name + ": " + u.err.Error() }
func (u *unreadable) Unwrap() error { return u.err }

func slotValues(into map[string]any, templates map[string]string, service string, slot v1alpha1.Slot) error {
	data := struct{ Service, Slot string }{service, string(slot)}
	for _, path := range slices.Sorted(maps.Keys(templates)) {
		t, err := template.New(path).Option("missingkey=error").Parse(templates[path])
		if err != nil {
			return fault.New(fault.Usage, "values", "slotValues.%s: %w", path, err).WithHint("it is a Go template over .Service and .Slot")
		}
		var text strings.Builder
		if err := t.Execute(&text, data); err != nil {
			return fault.New(fault.Usage, "values", "slotValues.%s: %w", path, err).WithHint("it is a Go template over .Service and .Slot")
		}
		if err := set(into, path, text.String()); err != nil {
			return fault.New(fault.Usage, "values", "slotValues.%s: %w", path, err)
		}
	}
	return nil
}

// merge lays b over a as Helm does: maps key by key, everything else as a whole; null takes a key away from the chart's defaults.
func merge(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	for k, v := range b {
		below, isMap := out[k].(map[string]any)
		above, wantsMap := v.(map[string]any)
		if isMap && wantsMap {
			out[k] = merge(below, above)
			continue
		}
		out[k] = v
	}
	return out
}

// set writes a value at a dotted path, making the maps on the way; a dot in a key is written \. as in helm --set.
func set(into map[string]any, path string, value any) error {
	const escaped = "\x00"
	keys := strings.Split(strings.ReplaceAll(path, `\.`, escaped), ".")
	for i, key := range keys {
		key = strings.ReplaceAll(key, escaped, ".")
		if key == "" {
			return fault.New(fault.Usage, "", "the path %q has an empty part", path)
		}
		if i == len(keys)-1 {
			into[key] = value
			return nil
		}
		switch next := into[key].(type) {
		case map[string]any:
			next = maps.Clone(next)
			into[key] = next
			into = next
		case nil:
			made := map[string]any{}
			into[key] = made
			into = made
		default:
			return fault.New(fault.Usage, "", "the path %q leads through %q, whose value is no map", path, key)
		}
	}
	return nil
}
