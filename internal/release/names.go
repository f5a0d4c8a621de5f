package release

import (
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Where things lie in the registry, below the project's prefix:
//
//	<registry>/<service>:<version>                  the release
//	<registry>/<service>/<image>:<version>          an image
//	<registry>/<service>/charts/<chart>:<version>   the chart; `helm pull oci://…` takes it from there
//
// Nothing of one service can collide with anything of another.
func releaseRepository(prefix, service string) string { return prefix + "/" + service }

// Repository is where the releases of a service lie below a prefix.
func Repository(prefix, service string) string {
	return releaseRepository(strings.TrimSuffix(prefix, "/"), service)
}

func imageRepository(prefix, service, image string) string {
	return prefix + "/" + service + "/" + image
}

func chartRepository(prefix, service, chart string) string {
	return prefix + "/" + service + "/charts/" + chart
}

// Tag is the OCI tag of a version: a tag must not hold "+", for which "_" stands as Helm has it.
func Tag(version string) string { return strings.ReplaceAll(version, "+", "_") }

const maxTag = 128

const (
	component = `[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*`
	digest    = `sha256:[0-9a-f]{64}`
)

// grammar of references. Compiled where it is used, a handful of times per run.
func matches(pattern, s string) bool {
	return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(s)
}

func isComponent(s string) bool { return matches(component, s) }

// isPinned says whether a reference ends in a digest.
func isPinned(ref string) bool {
	repository, d, ok := strings.Cut(ref, "@")
	return ok && repository != "" && !strings.ContainsAny(repository, " \t\r\n") && matches(digest, d)
}

// Resolve turns what a person calls a release into a full OCI reference. It takes `service:version` and `service@sha256:…`, for
// which prefix is the project's registry, and full references (with a "/"; oci:// is dropped), for which it may be empty.
// References without version and digest, and the tag `latest`, are refused with fault.Usage: they mean something else tomorrow.
func Resolve(prefix, ref string) (string, error) {
	const op = "understand the release"
	full := strings.TrimPrefix(ref, "oci://")
	if full == "" || strings.ContainsAny(full, " \t\r\n") {
		return "", fault.New(fault.Usage, op, "%q is no release", ref).WithHint("%s", forms())
	}
	repository, version, d := split(full)
	switch {
	case d != "" && !matches(digest, d):
		return "", fault.New(fault.Usage, op, "%q: %q is no digest", ref, d).WithHint("a digest is sha256: and 64 hexadecimal digits")
	case d == "" && version == "":
		return "", fault.New(fault.Usage, op, "%q names no version", ref).WithHint("%s", forms())
	case d == "" || version != "":
		if err := CheckVersion(strings.ReplaceAll(version, "_", "+")); err != nil {
			return "", fault.Wrap(fault.Usage, op+" "+ref, err)
		}
	}
	if !strings.Contains(repository, "/") {
		if prefix == "" {
			return "", fault.New(fault.Usage, op, "%q needs the registry of a project", ref).
				WithHint("run it where sluice.yaml is, or give the full reference that `sluice build` printed")
		}
		repository = Repository(prefix, repository)
	}
	_, path, _ := strings.Cut(repository, "/")
	for _, part := range strings.Split(path, "/") {
		if !isComponent(part) {
			return "", fault.New(fault.Usage, op, "%q: %q cannot be part of a repository's name", ref, part).
				WithHint("names are lower case letters and digits, with . _ or - between them")
		}
	}
	if d != "" {
		// A digest says all; a tag beside it could only contradict.
		return repository + "@" + d, nil
	}
	return repository + ":" + Tag(version), nil
}

// split takes a reference apart; what is not there is "".
func split(ref string) (repository, version, digest string) {
	repository, digest, _ = strings.Cut(ref, "@")
	// A colon before the last slash belongs to the host's port.
	if i := strings.LastIndex(repository, ":"); i > strings.LastIndex(repository, "/") {
		repository, version = repository[:i], repository[i+1:]
	}
	return repository, version, digest
}

func forms() string {
	return "a release is service:version, service@sha256:… or a full reference such as localhost:5000/calculator/calculator:1.0.0"
}

// CheckVersion says what is wrong with a version, or nil: it is semver without a leading v, and short enough for a tag.
func CheckVersion(version string) error {
	const op = "check the version"
	switch {
	case version == "latest":
		return fault.New(fault.Usage, op, "`latest` is no version: it names something else tomorrow").WithHint("give a semantic version such as 1.2.3")
	case len(version) > maxTag:
		return fault.New(fault.Usage, op, "%.20s… has %d characters, and a tag holds %d", version, len(version), maxTag)
	}
	if _, err := semver.StrictNewVersion(version); err == nil {
		return nil
	}
	e := fault.New(fault.Usage, op, "%q is no semantic version", version)
	if _, err := semver.StrictNewVersion(strings.TrimPrefix(version, "v")); err == nil {
		return e.WithHint("leave out the v: %s", version[1:])
	}
	return e.WithHint("give a version such as 1.2.3 or 1.2.3-rc.1")
}
