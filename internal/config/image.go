package config

import (
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// belongs says which keys of an image go with which builder; those that are left out go with any.
func belongs() map[string][]string {
	const ko, dockerfile, script = "ko", "dockerfile", "script"
	return map[string][]string{
		"base": {ko}, "platforms": {ko, dockerfile, script}, "context": {dockerfile}, "target": {dockerfile}, "args": {dockerfile}, "bases": {dockerfile},
		"secrets": {dockerfile}, "cache": {dockerfile}, "testTarget": {dockerfile}, "testResults": {dockerfile},
	}
}

func (v *validator) image(path, name string, i v1alpha1.Image) {
	if !regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*$`).MatchString(name) {
		v.reportKey(path, "", "the image's name is part of a repository: lower-case letters and digits, with . _ or - between them")
	}
	v.foreignKeys(path)
	if v.positions.has(child(path, "ko")) {
		v.inside(child(path, "ko"), i.Ko, folder)
	}
	for n, platform := range i.Platforms {
		here := item(child(path, "platforms"), n)
		if !regexp.MustCompile(`^linux/[a-z0-9]+(/v[0-9]+)?$`).MatchString(platform) {
			v.report(here, "", "%q is no platform such as linux/amd64 or linux/arm64", platform)
		}
		if slices.Contains(i.Platforms[:n], platform) {
			v.report(here, "remove one of the two", "%s is named twice", platform)
		}
	}
	if notReference(i.Base) {
		v.report(child(path, "base"), "write it as host/path:tag or host/path@sha256:…", "%q is no image reference", i.Base)
	}
	if v.positions.has(child(path, "dockerfile")) {
		v.dockerfile(path, i)
	}
	if i.Script != nil {
		v.script(child(path, "script"), *i.Script)
	}
}

// foreignKeys finds keys that the image's builder would not look at.
func (v *validator) foreignKeys(path string) {
	rules := belongs()
	for _, builder := range []string{"ko", "dockerfile", "script"} {
		if !v.positions.has(child(path, builder)) {
			continue
		}
		for _, key := range sorted(rules) {
			if here := child(path, key); v.positions.has(here) && !slices.Contains(rules[key], builder) {
				v.reportKey(here, "remove it", "belongs to images with %s:, and this one is built by %s:", strings.Join(rules[key], ": or "), builder)
			}
		}
		return // More than one builder has been reported.
	}
}

func notReference(s string) bool {
	return strings.ContainsAny(s, " \t\n") || strings.Contains(s, "://")
}

func (v *validator) dockerfile(where string, i v1alpha1.Image) {
	if v.inside(child(where, "dockerfile"), i.Dockerfile, regular) {
		v.within(child(where, "dockerfile"), i.Dockerfile)
	}
	if v.positions.has(child(where, "context")) && v.inside(child(where, "context"), i.Context, folder) {
		v.within(child(where, "context"), i.Context)
	}
	for _, key := range []string{"target", "testTarget"} {
		stage := map[string]string{"target": i.Target, "testTarget": i.TestTarget}[key]
		if v.positions.has(child(where, key)) && !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*$`).MatchString(stage) {
			v.report(child(where, key), "give the stage a name: FROM … AS name", "%q is no name of a stage", stage)
		}
	}
	if v.positions.has(child(where, "testResults")) {
		here := child(where, "testResults")
		if i.TestTarget == "" {
			v.reportKey(here, "add testTarget: with the stage that writes them", "there is no test stage")
		}
		if !path.IsAbs(i.TestResults) || path.Clean(i.TestResults) == "/" {
			v.report(here, "", "%q is no absolute folder in the test stage such as /results", i.TestResults)
		}
	}
	v.buildInputs(where, i)
}

// buildInputs checks what goes into a Dockerfile's build besides its files.
func (v *validator) buildInputs(where string, i v1alpha1.Image) {
	for _, name := range sorted(i.Args) {
		if !isVariable(name) {
			v.reportKey(child(child(where, "args"), name), "", "%q is no name of a build argument", name)
		}
	}
	for _, from := range sorted(i.Bases) {
		here := child(child(where, "bases"), from)
		if notReference(from) || from == "" {
			v.reportKey(here, "", "%q is no image reference", from)
		}
		if pinned := i.Bases[from]; !regexp.MustCompile(`^[^\s@]+@sha256:[0-9a-f]{64}$`).MatchString(pinned) || notReference(pinned) {
			v.report(here, "", "%q is no reference by digest such as docker.io/library/golang@sha256:…", pinned)
		}
	}
	v.secrets(child(where, "secrets"), i.Secrets)
	if i.Cache != nil {
		v.cache(child(where, "cache"), *i.Cache)
	}
}

func (v *validator) secrets(where string, secrets map[string]v1alpha1.BuildSecret) {
	for _, id := range sorted(secrets) {
		here := child(where, id)
		if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`).MatchString(id) {
			v.reportKey(here, "", "%q is no id of a secret", id)
		}
		secret := secrets[id]
		if v.positions.has(child(here, "env")) && !isVariable(secret.Env) {
			v.report(child(here, "env"), "it takes the variable's name, not its value", "is no name of an environment variable")
		}
		if v.positions.has(child(here, "file")) && secret.File == "" {
			v.report(child(here, "file"), "", "names no file")
		}
	}
}

func (v *validator) cache(where string, c v1alpha1.BuildCache) {
	for key, entries := range map[string][]string{"from": c.From, "to": c.To} {
		for n, entry := range entries {
			v.cacheEntry(item(child(where, key), n), key, entry)
		}
	}
}

func (v *validator) cacheEntry(here, key, entry string) {
	switch {
	case entry == "inline" && key == "to":
	case strings.HasPrefix(entry, "./"):
		if !filepath.IsLocal(filepath.FromSlash(entry)) || path.Clean(entry) == "." {
			v.report(here, "", "%q is no folder below that of %s", entry, FileName)
		}
	case !regexp.MustCompile(`^[a-zA-Z0-9][-.a-zA-Z0-9]*(:[0-9]+)?(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)+(:[A-Za-z0-9_][-.A-Za-z0-9_]*)?$`).MatchString(entry):
		v.report(here, "", "%q is neither an image reference such as registry.example.com/cache/shop:main nor a folder such as ./.sluice/cache", entry)
	}
}

func (v *validator) script(where string, s v1alpha1.Script) {
	run := child(where, "run")
	switch {
	case len(s.Run) == 0:
		v.report(run, "", "names no command")
	case s.Run[0] == "":
		v.report(item(run, 0), "", "is no command")
	case strings.Contains(s.Run[0], "/") && !filepath.IsAbs(s.Run[0]):
		if v.inside(item(run, 0), s.Run[0], regular) {
			v.within(item(run, 0), s.Run[0])
		}
	}
	inputs := child(where, "inputs")
	v.paths(inputs, s.Inputs)
	reads := func(p string) bool { return !strings.HasPrefix(p, "!") }
	if v.positions.has(inputs) && !slices.ContainsFunc(s.Inputs, reads) {
		v.report(inputs, "leave the key out to have the command run every time", "names no file")
	}
	for i, p := range s.Inputs {
		if slices.Contains(strings.Split(p, "/"), "..") {
			v.report(item(inputs, i), "name what lies in the folder of "+FileName+" or below it", "%q leads out of the project", p)
		}
	}
	for _, name := range sorted(s.Env) {
		here := child(child(where, "env"), name)
		switch {
		case !isVariable(name):
			v.reportKey(here, "", "%q is no name of an environment variable", name)
		case strings.HasPrefix(name, "SLUICE_"):
			v.reportKey(here, "name it otherwise", "the names that begin with SLUICE_ are Sluice's own")
		}
	}
}

func isVariable(s string) bool { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(s) }

// within checks that a path that exists stays in the folder of the file, links followed: a release is built from its project alone.
func (v *validator) within(where, name string) {
	root, err := filepath.EvalSymlinks(v.file.Dir)
	target := ""
	if err == nil {
		target, err = filepath.EvalSymlinks(filepath.Join(v.file.Dir, name))
	}
	if err == nil {
		target, err = filepath.Rel(root, target)
	}
	switch {
	case err != nil:
		v.report(where, "", "cannot find out where it leads: %s", err)
	case !filepath.IsLocal(target):
		v.report(where, "move it there: a release is built from its project, and only from it", "%q leads out of the folder of %s", name, FileName)
	}
}

// buildkit checks the form of an address; whether somebody answers there is known when an image is built.
func (v *validator) buildkit(address string) {
	if !v.positions.has("buildkit") {
		return
	}
	if address != "docker" && !regexp.MustCompile(`^(unix|tcp|docker-container|podman-container|kube-pod|docker)://\S+$`).MatchString(address) {
		v.report("buildkit", "write it as unix:///path/to/socket, tcp://host:port, docker-container://name, or docker for Docker's own",
			"%q is no address of a BuildKit", address)
	}
}
