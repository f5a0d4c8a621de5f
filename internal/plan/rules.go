package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// rule makes a path part of a service, or takes it out again.
type rule struct {
	// service is its place among the sorted names, order the rule's place among those of the service.
	service, order int
	exclude        bool
	// folder is the part of the path before the first wildcard, pattern what comes after it; "" for none.
	folder, pattern string
	// why is the key of sluice.yaml and what it says.
	why string
}

// index finds the rules that a path may match without looking at all of them: hundreds of services have thousands.
type index struct {
	byFolder map[string][]rule
	// folders in order, to find what lies below a path.
	folders []string
}

// rulesOf reads the rules of every service: first what its keys name, then its paths.
func rulesOf(p v1alpha1.Project, file string) (index, error) {
	x := index{byFolder: map[string][]rule{}}
	dir := path.Dir(file)
	var values, encrypted []rule
	for _, name := range sorted(p.Environments) {
		if store := p.Environments[name].Variables; store != nil && store.SOPS != "" {
			encrypted = append(encrypted, rule{folder: path.Join(dir, store.SOPS), why: fmt.Sprintf("environments.%s.variables.sops: %s", name, store.SOPS)})
		}
		for i, v := range p.Environments[name].Values {
			values = append(values, rule{folder: path.Join(dir, v), why: fmt.Sprintf("environments.%s.values[%d]: %s", name, i, v)})
		}
	}
	for at, name := range sorted(p.Services) {
		list, err := serviceRules(name, p.Services[name], dir, len(p.Services) == 1)
		if err != nil {
			return x, err
		}
		general := values
		if len(p.Services[name].Variables) > 0 {
			general = slices.Concat(values, encrypted)
		}
		for i, r := range slices.Concat(general, list) {
			r.service, r.order = at, i
			x.byFolder[r.folder] = append(x.byFolder[r.folder], r)
		}
	}
	x.folders = sorted(x.byFolder)
	return x, nil
}

func serviceRules(name string, s v1alpha1.Service, dir string, only bool) ([]rule, error) {
	var list []rule
	key := "services." + name
	add := func(key, named string) {
		list = append(list, rule{folder: path.Join(dir, named), why: key + ": " + named})
	}
	for _, image := range sorted(s.Images) {
		here := key + ".images." + image
		inputs, err := inputRules(here, s.Images[image], dir)
		if err != nil {
			return nil, err
		}
		list = append(list, inputs...)
		sources := s.Images[image].Sources()
		if len(sources)+len(inputs) == 0 {
			add(here, ".")
		}
		for _, source := range sources {
			if s.Images[image].Ko != "" {
				list = append(list, moduleRules(here, path.Join(dir, source))...)
			}
			add(here, source)
		}
	}
	add(key+".chart", s.Chart)
	if only && !slices.ContainsFunc(s.Paths, func(p string) bool { return !strings.HasPrefix(p, "!") }) {
		list = append(list, rule{folder: dir, why: key + " is the only service"})
	}
	for i, p := range s.Paths {
		r, err := patternRule(fmt.Sprintf("%s.paths[%d]", key, i), p, dir)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// inputRules are what a script reads. What it does not read may still be part of another image, so nothing is taken out.
func inputRules(key string, image v1alpha1.Image, dir string) ([]rule, error) {
	if image.Script == nil {
		return nil, nil
	}
	var list []rule
	for i, p := range image.Script.Inputs {
		r, err := patternRule(fmt.Sprintf("%s.script.inputs[%d]", key, i), p, dir)
		if err != nil {
			return nil, err
		}
		if !r.exclude {
			list = append(list, r)
		}
	}
	if program := image.Script.Run[0]; len(list) > 0 && strings.Contains(program, "/") && !path.IsAbs(program) {
		list = append(list, rule{folder: path.Join(dir, program), why: key + ".script.run[0]: " + program})
	}
	return list, nil
}

// patternRule reads one entry of a list of paths.
func patternRule(here, entry, dir string) (rule, error) {
	pattern, exclude := strings.CutPrefix(entry, "!")
	r := rule{folder: pattern, exclude: exclude, why: here + ": " + entry}
	if strings.ContainsAny(pattern, "*?[{") {
		r.folder, r.pattern = doublestar.SplitPattern(pattern)
	}
	r.folder = path.Join(dir, r.folder)
	if r.folder == ".." || strings.HasPrefix(r.folder, "../") {
		return r, fault.New(fault.Usage, here, "%q leads out of the repository", entry).WithHint("what is not in the repository cannot be compared")
	}
	return r, nil
}

// moduleRules are the files above a Go package that say which version of which module is compiled into it.
func moduleRules(key, folder string) []rule {
	var list []rule
	for folder != "." && folder != "/" {
		folder = path.Dir(folder)
		for _, name := range []string{"go.mod", "go.sum", "go.work", "go.work.sum"} {
			list = append(list, rule{folder: path.Join(folder, name), why: key + " is of the Go module of " + name})
		}
	}
	return list
}

// match returns, by service, the rule that decides about a changed path: the last one that matches.
func (x index) match(changed string, folder bool) map[int]rule {
	decides := map[int]rule{}
	decide := func(r rule) {
		if last, ok := decides[r.service]; !ok || r.order >= last.order {
			decides[r.service] = r
		}
	}
	for here := changed; ; here = path.Dir(here) {
		for _, r := range x.byFolder[here] {
			if r.covers(changed) || folder && !r.exclude && r.leadsBelow(changed) {
				decide(r)
			}
		}
		if here == "." || here == "/" {
			break
		}
	}
	// What lies below a path changed with it, where a submodule, or a file in place of a folder, is that path.
	first, _ := slices.BinarySearch(x.folders, changed+"/")
	for _, f := range x.folders[first:] {
		if !strings.HasPrefix(f, changed+"/") {
			break
		}
		for _, r := range x.byFolder[f] {
			if !r.exclude {
				decide(r)
			}
		}
	}
	return decides
}

// covers says whether a path below the rule's folder matches what comes after it. A folder that matches stands for all below it.
func (r rule) covers(changed string) bool {
	return r.pattern == "" || doublestar.MatchUnvalidated(path.Join(r.pattern, "**"), r.rest(changed))
}

// leadsBelow says whether the rule may match something below a path, name by name.
func (r rule) leadsBelow(changed string) bool {
	if changed == r.folder {
		return true
	}
	segments := strings.Split(r.pattern, "/")
	for i, name := range strings.Split(r.rest(changed), "/") {
		if i == len(segments) || segments[i] == "**" || strings.Contains(segments[i], "{") {
			return true
		}
		if !doublestar.MatchUnvalidated(segments[i], name) {
			return false
		}
	}
	return true
}

// rest is the part of a path after the rule's folder.
func (r rule) rest(changed string) string {
	if r.folder == "." {
		return changed
	}
	return strings.TrimPrefix(strings.TrimPrefix(changed, r.folder), "/")
}
