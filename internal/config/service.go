package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// maxHelmRelease is the longest release name that Helm takes.
const maxHelmRelease = 53

// suffixes are what Sluice appends to a service's name to name its Helm releases and Services.
func suffixes() []string { return []string{"-blue", "-green", "-direct", "-shared"} }

func (v *validator) service(name string, s v1alpha1.Service) {
	path := child("services", name)
	v.serviceName(path, name)
	if v.inside(child(path, "chart"), s.Chart, folder) {
		v.chart(child(path, "chart"), s.Chart)
	}
	for _, image := range sorted(s.Images) {
		v.image(child(child(path, "images"), image), image, s.Images[image])
	}
	v.imageValues(path, s)
	for _, key := range sorted(s.SlotValues) {
		v.slotValue(child(child(path, "slotValues"), key), key, s.SlotValues[key])
	}
	v.slotObjects(path, s)
	v.serviceVariables(path, s)
	v.paths(child(path, "paths"), s.Paths)
}

func (v *validator) serviceName(path, name string) {
	longest := 0
	for _, suffix := range suffixes() {
		longest = max(longest, len(suffix))
		base, found := strings.CutSuffix(name, suffix)
		if _, other := v.file.Project.Services[base]; found && other {
			v.reportKey(path, "rename one of the two", "the service %s uses the name %s for one of its Helm releases or Services", base, name)
		}
	}
	switch why := notLabel(name); {
	case why != "":
		v.reportKey(path, "", "the service's name %s", why)
	case name[0] >= '0' && name[0] <= '9':
		v.reportKey(path, "", "the service's name begins with a digit, which no Kubernetes Service may")
	case len(name) > maxHelmRelease-longest:
		v.reportKey(path, "", "the service's name is %d characters long; at most %d leave room for the Helm releases %s-green and -shared",
			len(name), maxHelmRelease-longest, name)
	}
}

func (v *validator) chart(path, chart string) {
	file := filepath.Join(v.file.Dir, chart, "Chart.yaml")
	found, err := exists(file)
	switch {
	case err != nil:
		v.report(path, "", "cannot find out whether %s is a chart: %s", file, err)
	case !found:
		v.report(path, "", "the folder %q holds no Chart.yaml", chart)
	}
}

// imageValues checks that every image has its place in the values, and every place its image.
func (v *validator) imageValues(path string, s v1alpha1.Service) {
	values := child(path, "imageValues")
	for _, image := range sorted(s.Images) {
		if _, ok := s.ImageValues[image]; !ok {
			v.reportKey(child(child(path, "images"), image), "add it to "+values,
				"nothing says where the chart's values take this image, so it would be built and never run")
		}
	}
	seen := map[string]string{}
	for _, image := range sorted(s.ImageValues) {
		place := s.ImageValues[image]
		here := child(values, image)
		if _, ok := s.Images[image]; !ok {
			v.reportKey(here, didYouMean(image, sorted(s.Images)), "there is no image %q", image)
		}
		v.valuePath(here, place)
		if other, twice := seen[place]; twice {
			v.report(here, "", "%s is the place of the image %s too", place, other)
		}
		seen[place] = image
	}
}

// valuePath checks a dotted path into a chart's values.
func (v *validator) valuePath(path, place string) {
	if !v.matches(valuePath, place) {
		v.report(path, "", "%q is no path in a chart's values such as images.frontend", place)
	}
}

func (v *validator) slotValue(path, key, text string) {
	if !regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`).MatchString(key) {
		v.reportKey(path, "", "%q is no path in a chart's values such as fullnameOverride", key)
	}
	parsed, err := template.New("value").Option("missingkey=error").Parse(text)
	if err == nil {
		err = parsed.Execute(io.Discard, map[string]string{"Service": "calculator", "Slot": string(v1alpha1.SlotBlue)})
	}
	if err != nil {
		v.report(path, "known: {{.Service}}, {{.Slot}}", "the template does not work: %s", strings.TrimPrefix(err.Error(), "template: "))
	}
}

// want is what a path in the file must lead to.
type want string

const (
	folder  want = "folder"
	regular want = "file"
)

// inside checks that a path is relative to the file and leads to what is wanted.
func (v *validator) inside(path, name string, w want) bool {
	if name == "" || filepath.IsAbs(name) {
		if v.positions.has(path) {
			v.report(path, "", "%q is no path relative to the folder of %s", name, FileName)
		}
		return false
	}
	info, err := os.Stat(filepath.Join(v.file.Dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.report(path, "", "there is no %s %q in the folder of %s", w, name, FileName)
	case err != nil:
		v.report(path, "", "cannot find out whether %q exists: %s", name, err)
	case w == folder && !info.IsDir(), w == regular && !info.Mode().IsRegular():
		v.report(path, "", "%q is no %s", name, w)
	default:
		return true
	}
	return false
}
