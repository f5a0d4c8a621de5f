package release

import (
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Naming is what a branch or tag asks for by its name.
type Naming struct {
	// Name of the branch or tag, without refs/heads/ and the like.
	Name string
	// Tag says that it is a tag.
	Tag bool
	// Trunk says that it is the branch from which pre-releases are made.
	Trunk bool
	// Release says that it is the branch or tag of a release.
	Release bool
	// Service that is named; "" where none is.
	Service string
	// Version of the release as it is written, without a leading v.
	Version string
}

// NamingOf reads the full name of a branch or tag:
//
//	main, master                        pre-releases
//	release/<service>/<version>         the release of a service, with or without a v before the version
//	release/<version>                   the release of every service that has no version tags of its own
//	tag <service>/v<version>            the same as tags
//	tag v<version>
//	feature/<service>/…, topic/<service>/…   work on a service
//
// Every other name asks for nothing. The service and the version are not checked: see Releases.
func NamingOf(ref string) Naming {
	if name, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		return tagNaming(name)
	}
	// A branch may be called refs/release/… itself.
	name := strings.TrimPrefix(strings.TrimPrefix(ref, "refs/heads/"), "refs/")
	n := Naming{Name: name}
	first, rest, _ := strings.Cut(name, "/")
	switch {
	case name == "main", name == "master":
		n.Trunk = true
	case first == "release" && rest != "":
		n.Release = true
		service, version, ok := strings.Cut(rest, "/")
		if !ok {
			service, version = "", rest
		}
		n.Service, n.Version = service, strings.TrimPrefix(version, "v")
	case first == "feature", first == "topic":
		if service, _, ok := strings.Cut(rest, "/"); ok {
			n.Service = service
		}
	}
	return n
}

func tagNaming(name string) Naming {
	n := Naming{Name: name, Tag: true}
	service, last := "", name
	if at := strings.LastIndex(name, "/"); at >= 0 {
		service, last = name[:at], name[at+1:]
	}
	version, ok := strings.CutPrefix(last, "v")
	if !ok {
		return n
	}
	if _, err := semver.StrictNewVersion(version); err != nil && service == "" {
		// vnext and v2026 were tags before anybody thought of versions.
		return n
	}
	n.Release, n.Service, n.Version = true, service, version
	return n
}

// Kind is "tag" or "branch".
func (n Naming) Kind() string {
	if n.Tag {
		return "tag"
	}
	return "branch"
}

// Releases says whether the name asks for the release of a service, which may have tags of its own among all tags. It fails with
// fault.Usage where it does and says no semantic version.
func (n Naming) Releases(service string, tags []string) (bool, error) {
	other := n.Service != "" && n.Service != service
	own := n.Service == "" && ownTag(tags, service)
	if !n.Release || other || own {
		return false, nil
	}
	return true, n.check(service)
}

// check says what is wrong with the version of a release's name, or nil.
func (n Naming) check(service string) error {
	if CheckVersion(n.Version) == nil {
		return nil
	}
	form := "release/" + service + "/1.2.3"
	if n.Tag {
		form = service + "/v1.2.3"
	}
	return fault.New(fault.Usage, n.Kind()+" "+n.Name, "%q is no semantic version, and a release needs one", n.Version).
		WithHint("name the %s like %s", n.Kind(), form)
}

func ownTag(tags []string, service string) bool {
	return slices.ContainsFunc(tags, func(tag string) bool {
		version, ok := strings.CutPrefix(tag, service+"/v")
		if !ok {
			return false
		}
		_, err := semver.StrictNewVersion(version)
		return err == nil
	})
}
