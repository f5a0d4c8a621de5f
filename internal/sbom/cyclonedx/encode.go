package cyclonedx

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	purl "github.com/package-url/packageurl-go"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Annotations by which an image says what it was built on.
const (
	baseName   = "org.opencontainers.image.base.name"
	baseDigest = "org.opencontainers.image.base.digest"
)

// subject is the image that a document is about.
type subject struct {
	digest, platform, reference, base string
	annotations                       map[string]string
	time                              time.Time
}

// encode writes the document, and says how many components it lists. Nothing in it is random or says when it was written.
func encode(s subject, v *inventory) ([]byte, int, error) {
	components := v.components()
	about := s.component()
	bom := cdx.NewBOM()
	bom.SerialNumber = serial(s.digest)
	bom.Metadata = &cdx.Metadata{
		Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "sluice"}}},
		Component: about, Properties: v.scope(),
	}
	if !s.time.IsZero() {
		bom.Metadata.Timestamp = s.time.UTC().Format(time.RFC3339)
	}
	bom.Components = &components
	// What was not looked for may be there: the format has a word for that.
	bom.Compositions = &[]cdx.Composition{{
		Aggregate: cdx.CompositionAggregateIncomplete, Assemblies: &[]cdx.BOMReference{cdx.BOMReference(about.BOMRef)},
	}}
	var out bytes.Buffer
	err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
	return out.Bytes(), len(components), fault.Wrap(fault.Internal, "encode the bill of materials", err)
}

// serial derives the document's number from what it describes (a UUID of version 8).
func serial(digest string) string {
	sum := sha256.Sum256([]byte("sluice bill of materials of " + digest))
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func (s subject) component() *cdx.Component {
	repository, _, _ := strings.Cut(s.reference, "@")
	name := repository[strings.LastIndex(repository, "/")+1:]
	c := &cdx.Component{
		BOMRef: s.digest, Type: cdx.ComponentTypeContainer, Name: repository, Version: s.digest,
		PackageURL: purl.NewPackageURL(purl.TypeOCI, "", name, s.digest, purl.QualifiersFromMap(map[string]string{"repository_url": repository}), "").ToString(),
	}
	properties := []cdx.Property{}
	note := func(name, value string) {
		if value != "" {
			properties = append(properties, cdx.Property{Name: "sluice:" + name, Value: value})
		}
	}
	note("platform", s.platform)
	base := cmp.Or(s.annotations[baseName], s.base)
	note("base:name", base)
	digest := s.annotations[baseDigest]
	if _, pinned, ok := strings.Cut(s.base, "@"); digest == "" && ok {
		digest = pinned
	}
	if base != "" && digest == "" {
		digest = "not recorded by the builder"
	}
	note("base:digest", digest)
	if len(properties) > 0 {
		c.Properties = &properties
	}
	return c
}

// scope says what was looked for, where something was found, and what could not be read.
func (v *inventory) scope() *[]cdx.Property {
	count := map[kind]int{}
	for _, list := range v.packages {
		seen := map[kind]bool{}
		for _, p := range list {
			if !seen[p.kind] {
				count[p.kind]++
			}
			seen[p.kind] = true
		}
	}
	properties := []cdx.Property{
		{Name: "sluice:cataloguer:go-buildinfo", Value: fmt.Sprintf("modules of %d programs", count[goModule])},
		{Name: "sluice:cataloguer:dpkg", Value: fmt.Sprintf("packages of %d databases", count[debian])},
		{Name: "sluice:cataloguer:apk", Value: fmt.Sprintf("packages of %d databases", count[alpine])},
		{Name: "sluice:not-catalogued", Value: "everything else, such as rpm packages, files copied by hand, and libraries of other languages"},
	}
	for _, name := range slices.Sorted(maps.Keys(v.unread)) {
		properties = append(properties, cdx.Property{Name: "sluice:unread:/" + name, Value: v.unread[name]})
	}
	return &properties
}

// components lists every package once, with the files that tell it, in the order of their references.
func (v *inventory) components() []cdx.Component {
	distribution := v.distribution()
	byRef := map[string]*cdx.Component{}
	places := map[string]map[string]bool{}
	for file, list := range v.packages {
		for _, p := range list {
			url := p.url(distribution)
			if byRef[url] == nil {
				byRef[url] = &cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: p.name, Version: p.version, PackageURL: url}
				places[url] = map[string]bool{}
			}
			places[url]["/"+file] = true
		}
	}
	components := make([]cdx.Component, 0, len(byRef))
	for _, url := range slices.Sorted(maps.Keys(byRef)) {
		properties := []cdx.Property{}
		for _, place := range slices.Sorted(maps.Keys(places[url])) {
			properties = append(properties, cdx.Property{Name: "sluice:location", Value: place})
		}
		byRef[url].Properties = &properties
		components = append(components, *byRef[url])
	}
	return components
}

// distribution is what the image says it is of; /etc wins over /usr/lib, as it does where it is read.
func (v *inventory) distribution() release {
	if r, ok := v.releases["etc/os-release"]; ok && r.id != "" {
		return r
	}
	return v.releases["usr/lib/os-release"]
}

// url is the package URL, which scanners know packages by.
func (p found) url(of release) string {
	qualifiers := map[string]string{}
	add := func(key, value string) {
		if value != "" {
			qualifiers[key] = value
		}
	}
	namespace, name := "", p.name
	switch p.kind {
	case goModule:
		if i := strings.LastIndex(p.name, "/"); i >= 0 {
			namespace, name = p.name[:i], p.name[i+1:]
		}
	case debian, alpine:
		namespace = of.id
		if namespace == "" {
			namespace = map[kind]string{debian: "debian", alpine: "alpine"}[p.kind]
		}
		add("arch", p.arch)
		if p.source != p.name {
			add("upstream", p.source)
		}
		if of.id != "" && of.version != "" {
			add("distro", of.id+"-"+of.version)
		}
	}
	return purl.NewPackageURL(string(p.kind), namespace, name, p.version, purl.QualifiersFromMap(qualifiers), "").ToString()
}
