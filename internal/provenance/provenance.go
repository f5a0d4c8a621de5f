// Package provenance says how something was built, as an in-toto statement with SLSA's predicate, and reads such statements; it must not sign them or ask whether they are true.
package provenance

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
)

// What statements are made of.
const (
	StatementType = "https://in-toto.io/Statement/v1"
	// PredicateType is that of SLSA's provenance, version 1.
	PredicateType = "https://slsa.dev/provenance/v1"
	// BuildType says what the parameters mean; docs/reference/provenance.md has it.
	BuildType = "https://sluice.dev/build/v1"
	// SignatureType is the predicate of a bare signature, as cosign has it.
	SignatureType = "https://sigstore.dev/cosign/sign/v1"
	// MediaType of a statement that nobody signed.
	MediaType = "application/vnd.in-toto+json"
	// LocalBuilder is the builder on no CI that is known.
	LocalBuilder = "https://sluice.dev/builder/local"
)

// maxStatement bounds a statement in bytes.
const maxStatement = 4 << 20

// Descriptor names something by its content.
type Descriptor struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	MediaType   string            `json:"mediaType,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Statement says something about subjects.
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Descriptor    `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Predicate is how something was built.
type Predicate struct {
	Definition Definition `json:"buildDefinition"`
	Run        Run        `json:"runDetails"`
}

// Definition is what was asked for, and what it was made of.
type Definition struct {
	BuildType    string       `json:"buildType"`
	Parameters   Parameters   `json:"externalParameters"`
	Dependencies []Descriptor `json:"resolvedDependencies,omitempty"`
}

// Parameters are what whoever asked for the build decided.
type Parameters struct {
	Service string `json:"service"`
	Version string `json:"version,omitempty"`
	// Chart is its folder, for a chart.
	Chart string `json:"chart,omitempty"`
	// Image is its name, and Spec how sluice.yaml says it is built, for an image.
	Image string          `json:"image,omitempty"`
	Spec  json.RawMessage `json:"spec,omitempty"`
}

// Run is the act of building.
type Run struct {
	Builder    Builder      `json:"builder"`
	Metadata   Metadata     `json:"metadata,omitzero"`
	Byproducts []Descriptor `json:"byproducts,omitempty"`
}

// Builder is who built.
type Builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version,omitempty"`
}

// Metadata names the run.
type Metadata struct {
	InvocationID string    `json:"invocationId,omitempty"`
	FinishedOn   time.Time `json:"finishedOn,omitzero"`
}

// Source is the commit that something was built from.
type Source struct {
	// Repository is its URL without credentials, "" where none is known.
	Repository string
	Commit     string
	// Dirty says that there were changes beyond the commit.
	Dirty bool
}

// Descriptor is the source as a dependency.
func (s Source) Descriptor() Descriptor {
	d := Descriptor{Name: "source"}
	if s.Repository != "" {
		d.URI = "git+" + s.Repository
	}
	if s.Commit != "" {
		d.Digest = map[string]string{"gitCommit": s.Commit}
	}
	if s.Dirty {
		d.Annotations = map[string]string{"dirty": "true"}
	}
	return d
}

// New makes a statement about one subject, a reference by digest.
func New(subject, predicateType string, predicate any) ([]byte, error) {
	const op = "write the statement"
	repository, digest, ok := strings.Cut(subject, "@sha256:")
	if !ok {
		return nil, fault.New(fault.Internal, op, "%q is no reference by digest", subject)
	}
	raw, err := json.Marshal(predicate)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, op, err)
	}
	data, err := json.Marshal(Statement{
		Type: StatementType, PredicateType: predicateType, Predicate: raw,
		Subject: []Descriptor{{Name: repository, Digest: map[string]string{"sha256": digest}}},
	})
	return data, fault.Wrap(fault.Internal, op, err)
}

// Parse reads a statement.
func Parse(data []byte) (Statement, error) {
	var s Statement
	switch err := decode(data, &s); {
	case err != nil:
		return s, err
	case s.Type != StatementType && s.Type != "https://in-toto.io/Statement/v0.1":
		return s, fmt.Errorf("it is a %.80q, no in-toto statement", s.Type)
	case len(s.Subject) == 0:
		return s, errors.New("it is about nothing")
	}
	return s, nil
}

// About says whether the statement is about a digest, sha256:…
func (s Statement) About(digest string) bool {
	want := strings.TrimPrefix(digest, "sha256:")
	return want != "" && slices.ContainsFunc(s.Subject, func(d Descriptor) bool { return d.Digest["sha256"] == want })
}

// Provenance reads the predicate of a statement of provenance.
func (s Statement) Provenance() (Predicate, error) {
	var p Predicate
	if s.PredicateType != PredicateType {
		return p, fmt.Errorf("it is a %.80q, no provenance", s.PredicateType)
	}
	if err := decode(s.Predicate, &p); err != nil {
		return p, err
	}
	if p.Run.Builder.ID == "" {
		return p, errors.New("its provenance names no builder")
	}
	return p, nil
}

func decode(data []byte, into any) error {
	if len(data) > maxStatement {
		return fmt.Errorf("it has %d bytes, and a statement has at most %d", len(data), maxStatement)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	if d.More() {
		return errors.New("something follows it")
	}
	return nil
}

// Sources are the commits that provenance names.
func (p Predicate) Sources() []Source {
	var sources []Source
	for _, d := range p.Definition.Dependencies {
		if commit := cmp.Or(d.Digest["gitCommit"], d.Digest["sha1"]); commit != "" {
			repository, _, _ := strings.Cut(strings.TrimPrefix(d.URI, "git+"), "@")
			sources = append(sources, Source{Repository: Repository(repository), Commit: commit, Dirty: d.Annotations["dirty"] == "true"})
		}
	}
	return sources
}

// Repository brings the URL of a repository into the one form in which URLs are compared: https, without user, port of ssh and .git at
// the end. What names no host, such as a folder, is nobody else's business and becomes "".
func Repository(text string) string {
	// git@github.com:acme/shop.git is what ssh understands and URLs are not.
	if m := regexp.MustCompile(`^(?:[^@/:]+@)?([A-Za-z0-9.-]+\.[A-Za-z0-9-]+):([^/].*)$`).FindStringSubmatch(text); m != nil && !strings.Contains(text, "://") {
		text = "ssh://" + m[1] + "/" + m[2]
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme == "file" {
		return ""
	}
	host := strings.ToLower(u.Host)
	if u.Scheme == "ssh" || u.Scheme == "git+ssh" || u.Scheme == "git" {
		host = strings.ToLower(u.Hostname())
	}
	scheme := "https"
	if u.Scheme == "http" {
		scheme = "http"
	}
	clean := url.URL{Scheme: scheme, Host: host, Path: strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), ".git")}
	return clean.String()
}
