package release

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// maxValues bounds a values file: Helm stores values in one object of at most 1 MiB.
const maxValues = 1 << 20

// draft is the release as far as sluice.yaml and the files it names say it.
func draft(req MakeRequest) (v1alpha1.Release, error) {
	op := "read service " + req.Service
	service, ok := req.Project.Services[req.Service]
	if !ok {
		return v1alpha1.Release{}, fault.New(fault.Usage, op, "sluice.yaml has no such service").
			WithHint("its services are %s", strings.Join(keys(req.Project.Services), ", "))
	}
	if err := checkNames(req, service); err != nil {
		return v1alpha1.Release{}, fault.Wrap(fault.Usage, op, err)
	}
	if service.Chart == "" || !filepath.IsLocal(service.Chart) {
		return v1alpha1.Release{}, fault.New(fault.Usage, op, "services.%s.chart: %q is no folder below %s", req.Service, service.Chart, req.Dir).
			WithHint("name the chart's folder relative to sluice.yaml")
	}
	rel := v1alpha1.Release{
		APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindRelease,
		Service: req.Service, Spec: service,
		Environments: map[string]v1alpha1.Environment{}, Files: map[string][]byte{},
	}
	root, err := os.OpenRoot(dirOr(req.Dir))
	if err != nil {
		return v1alpha1.Release{}, fault.Wrap(fault.Usage, op, err)
	}
	defer root.Close()
	for _, name := range keys(req.Project.Environments) {
		environment := req.Project.Environments[name]
		// A copy: the caller's project keeps its own spelling of the paths.
		environment.Values = slices.Clone(environment.Values)
		for i, file := range environment.Values {
			clean := path.Clean(filepath.ToSlash(file))
			environment.Values[i] = clean
			if rel.Files[clean], err = readFile(root, req.Dir, "values", "environments."+name+".values", file); err != nil {
				return v1alpha1.Release{}, err
			}
		}
		if environment.Variables, err = draftVariables(root, req.Dir, name, environment.Variables, rel.Files); err != nil {
			return v1alpha1.Release{}, err
		}
		rel.Environments[name] = environment
	}
	return rel, nil
}

// checkNames finds names that the registry would refuse, and images that the chart would never see.
func checkNames(req MakeRequest, service v1alpha1.Service) error {
	where := "services." + req.Service
	const cure = "use lower case letters and digits, with . _ or - between them: it becomes part of a repository's name"
	if req.Project.Registry == "" {
		return fault.New(fault.Usage, "registry", "is missing").WithHint("say where images go, for example registry: localhost:5000/%s", req.Project.Name)
	}
	if !isComponent(req.Service) {
		return fault.New(fault.Usage, where, "%q cannot be a service's name", req.Service).WithHint(cure)
	}
	for _, name := range keys(service.Images) {
		if !isComponent(name) {
			return fault.New(fault.Usage, where+".images", "%q cannot be an image's name", name).WithHint(cure)
		}
		if builder, _ := builderOf(service.Images[name]); builder == "" {
			return fault.New(fault.Usage, where+".images."+name, "says no builder").
				WithHint("add `ko:` with the folder of a Go main package, `dockerfile:` with a Dockerfile, or `script:` with a command")
		}
		if service.ImageValues[name] == "" {
			return fault.New(fault.Usage, where+".imageValues", "has no entry for image %s, so the chart would never get it", name).
				WithHint("add `%s: <path in the chart's values that takes its reference>`", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(service.ImageValues)) {
		if _, ok := service.Images[name]; !ok {
			return fault.New(fault.Usage, where+".imageValues."+name, "there is no image of that name").
				WithHint("its images are %s", strings.Join(keys(service.Images), ", "))
		}
	}
	return nil
}

// draftVariables takes along the files that a store of variables needs: encrypted variables, and certificates. It returns the store with
// their names as the release has them.
func draftVariables(root *os.Root, dir, environment string, store *v1alpha1.VariableStore, files map[string][]byte) (*v1alpha1.VariableStore, error) {
	if store == nil {
		return nil, nil
	}
	where := "environments." + environment + ".variables"
	carried := *store
	take := func(key string, name *string) (err error) {
		if *name == "" {
			return nil
		}
		file := *name
		*name = path.Clean(filepath.ToSlash(file))
		files[*name], err = readFile(root, dir, "variables", where+key, file)
		return err
	}
	if store.Vault != nil {
		vault := *store.Vault
		carried.Vault = &vault
		if err := take(".vault.caFile", &vault.CAFile); err != nil {
			return nil, err
		}
	}
	return &carried, take(".sops", &carried.SOPS)
}

// readFile reads a file that a release carries, which must lie below the project's folder, symbolic links followed.
func readFile(root *os.Root, dir, what, where, file string) ([]byte, error) {
	op := "read " + what + " file " + file
	if !filepath.IsLocal(file) {
		return nil, fault.New(fault.Usage, op, "%s: it lies outside %s", where, dirOr(dir)).
			WithHint("move it beside sluice.yaml: a release carries its files, and only those of its project")
	}
	info, err := root.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.Usage, op, "%s: there is no such file in %s", where, dirOr(dir)).
			WithHint("write it, or take it out of %s", where)
	case err != nil:
		return nil, fault.New(fault.Usage, op, "%s: %w", where, err)
	case !info.Mode().IsRegular():
		return nil, fault.New(fault.Usage, op, "%s: it is no regular file", where)
	case info.Size() > maxValues:
		return nil, fault.New(fault.Usage, op, "%s: it has %d bytes; Kubernetes takes %d of a release", where, info.Size(), maxValues)
	}
	data, err := root.ReadFile(file)
	return data, fault.Wrap(fault.Usage, op, err)
}

// builderOf is the key of the builder that an image asks for, and what it builds from.
func builderOf(image v1alpha1.Image) (builder, from string) {
	switch {
	case image.Ko != "":
		return "ko", image.Ko
	case image.Dockerfile != "":
		return "dockerfile", image.Dockerfile
	case image.Script != nil:
		return "script", strings.Join(image.Script.Run, " ")
	default:
		return "", ""
	}
}

func dirOr(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

func within(dir, file string) string { return filepath.Join(dirOr(dir), filepath.FromSlash(file)) }
