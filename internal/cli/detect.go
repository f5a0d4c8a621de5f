package cli

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/internal/fault"
)

// deepest is how many folders below the project's own are looked into.
const deepest = 5

// detected is what init found in a folder.
type detected struct {
	name, registry, context, router string
	services                        []detectedService
	// values files by environment.
	values map[string]string
	notes  []string
}

type detectedService struct {
	name, chart string
	images      []detectedImage
}

type detectedImage struct {
	name, value string
	// One of ko and dockerfile is set.
	ko, dockerfile, context, testTarget string
	comment                             string
}

func (d detected) names() []string {
	var names []string
	for _, s := range d.services {
		names = append(names, s.name)
	}
	return names
}

// detect looks for Helm charts, Dockerfiles and Go main packages below a folder.
func detect(dir string, flags initFlags) (detected, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return detected{}, fault.Wrap(fault.Usage, "init", err)
	}
	d := detected{name: label(orDefault(flags.name, filepath.Base(abs))), context: flags.context, router: "service", values: map[string]string{}}
	if d.name == "" {
		return d, fault.New(fault.Usage, "init", "the folder's name %q makes no name for a project", filepath.Base(abs)).WithHint("give --name")
	}
	d.registry = orDefault(flags.registry, "localhost:5000/"+d.name)
	charts, dockerfiles, mains, err := scan(os.DirFS(dir))
	if err != nil {
		return d, fault.Wrap(fault.Usage, "init", err)
	}
	if len(charts) == 0 {
		return d, fault.New(fault.Usage, "init", "no Helm chart (a folder with a Chart.yaml) below %s", abs).
			WithHint("`helm create chart` makes one")
	}
	sources := sourcesOf(dockerfiles, mains)
	for _, chart := range charts {
		d.service(os.DirFS(dir), chart, belonging(chart, charts, sources))
	}
	for _, env := range []string{"dev", "prod"} {
		for _, candidate := range []string{"values-" + env + ".yaml", path.Join(charts[0], "values-"+env+".yaml")} {
			if _, err := fs.Stat(os.DirFS(dir), candidate); err == nil && len(charts) == 1 {
				d.values[env] = candidate
			}
		}
	}
	return d, nil
}

// scan returns the folders of charts, of Dockerfiles and of Go main packages, each sorted.
func scan(root fs.FS) (charts, dockerfiles, mains []string, err error) {
	seen := map[string]bool{}
	err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if foreignFolder(name, base) {
				return fs.SkipDir
			}
			return nil
		}
		folder := path.Dir(name)
		switch {
		case base == "Chart.yaml" && !subchart(folder, charts):
			charts = append(charts, folder)
		case base == dockerfileName && entry.Type().IsRegular():
			dockerfiles = append(dockerfiles, folder)
		case strings.HasSuffix(base, ".go") && !strings.HasSuffix(base, "_test.go") && !seen[folder]:
			if seen[folder] = isMain(root, name); seen[folder] {
				mains = append(mains, folder)
			}
		}
		return nil
	})
	slices.Sort(charts)
	slices.Sort(dockerfiles)
	slices.Sort(mains)
	return charts, dockerfiles, mains, err
}

// foreignFolder says whether what lies in a folder is not the project's own, or too deep to be found by accident.
func foreignFolder(name, base string) bool {
	switch base {
	case "vendor", "node_modules", "testdata":
		return true
	}
	hidden := name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_"))
	return hidden || strings.Count(name, "/") >= deepest
}

// subchart says whether a folder lies within a chart that was found already: dependencies are no services.
func subchart(folder string, charts []string) bool {
	return slices.ContainsFunc(charts, func(chart string) bool { return chart == "." || strings.HasPrefix(folder, chart+"/") })
}

func isMain(root fs.FS, name string) bool {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return false
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.PackageClauseOnly)
	return err == nil && file.Name.Name == "main"
}

// service adds the service of a chart.
func (d *detected) service(root fs.FS, chart string, sources []source) {
	var meta struct {
		Name string `json:"name"`
	}
	if text, err := fs.ReadFile(root, path.Join(chart, "Chart.yaml")); err == nil {
		// A chart that cannot be read is named by its folder here; check says what is wrong with it.
		_ = yaml.Unmarshal(text, &meta)
	}
	s := detectedService{name: label(orDefault(meta.Name, path.Base(chart))), chart: chart}
	if s.name == "" {
		s.name = d.name
	}
	values := map[string]any{}
	if text, err := fs.ReadFile(root, path.Join(chart, "values.yaml")); err == nil {
		_ = yaml.Unmarshal(text, &values)
	}
	for _, from := range sources {
		image, notes := from.image(root)
		d.notes = append(d.notes, notes...)
		name := imageName(from.folder, s.name, s.images)
		image.name, image.value = name, imageValue(values, name, len(sources) == 1)
		if image.value == "" {
			image.value = "images." + name
			d.notes = append(d.notes, "chart "+chart+" has no value for the full reference of image "+name+
				": use {{ index .Values.images \""+name+"\" }} in its template, or correct imageValues")
		}
		s.images = append(s.images, image)
	}
	d.services = append(d.services, s)
	d.router = routerOf(root, chart, d.router)
}

// imageValue finds the place in a chart's values that takes an image's full reference: a string under one of the usual names.
func imageValue(values map[string]any, name string, only bool) string {
	places := [][]string{{"images", name}, {name, "image"}, {"image", name}}
	if only {
		places = append(places, []string{"image"})
	}
	for _, place := range places {
		var at any = values
		for _, key := range place {
			m, _ := at.(map[string]any)
			at = m[key]
		}
		if _, ok := at.(string); ok {
			return strings.Join(place, ".")
		}
	}
	return ""
}

// routerOf chooses the router by the routes that a chart has.
func routerOf(root fs.FS, chart, otherwise string) string {
	templates, err := fs.Glob(root, path.Join(chart, "templates", "*"))
	if err != nil {
		return otherwise
	}
	found := map[string]bool{}
	for _, name := range templates {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			continue
		}
		for kind, router := range map[string]string{"kind: HTTPRoute": "gateway", "kind: Ingress": "nginx"} {
			if slices.Contains(strings.Split(string(text), "\n"), kind) {
				found[router] = true
			}
		}
	}
	if names := slices.Sorted(maps.Keys(found)); len(names) > 0 {
		return names[0]
	}
	return otherwise
}

// label turns a name into one that Kubernetes takes.
func label(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			b.WriteRune(r)
		} else {
			b.WriteByte('-')
		}
	}
	return strings.Trim(strings.TrimLeft(b.String(), "-0123456789"), "-")
}
