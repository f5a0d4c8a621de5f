// Package check is the port to whatever looks at a service before anything is built or deployed; a layer must change nothing.
package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Subject is a service in one of its environments, as a build would release it now.
type Subject struct {
	// Release with its chart and files. Nothing was built: its images have their repositories, and digests that no image has.
	Release     *v1alpha1.Release
	Environment string
	// Missing are the dependencies that the chart lacks, because they would have to be fetched.
	Missing []string
}

// Finding is something that a build or a deployment would refuse, or that could not be found out.
type Finding struct {
	Service string `json:"service"`
	// Environments that it concerns; none where it concerns all.
	Environments []string `json:"environments,omitempty"`
	// File relative to the folder of sluice.yaml; "" is sluice.yaml itself. What a chart brings along is named as if it lay in its charts/.
	File string `json:"file,omitempty"`
	// Line and Column count from 1; they are 0 where the file as a whole is meant.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Path of the value, for example log.level.
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	// Hint says what to do about it.
	Hint string `json:"hint,omitempty"`
	// Keys are the parts of Path where it leads into the values of File.
	Keys []string `json:"-"`
}

// String is `file:line:col: path: message (environments); hint`, the form that editors turn into a link.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, max(1, f.Column))
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Message)
	about := "service " + f.Service
	if len(f.Environments) > 0 {
		about += " in " + strings.Join(f.Environments, ", ")
	}
	fmt.Fprintf(&b, " (%s)", about)
	if f.Hint != "" {
		b.WriteString("; " + f.Hint)
	}
	return b.String()
}

// same says that two findings differ in their environments at most.
func (f Finding) same(g Finding) bool {
	return f.Service == g.Service && f.File == g.File && f.Line == g.Line && f.Column == g.Column && f.Path == g.Path && f.Message == g.Message
}

// Report is what was found, and what nobody looked at.
type Report struct {
	Findings []Finding
	// Unchecked say what was not looked at, and why.
	Unchecked []Finding
}

// Add merges another report into this one: what was found in several environments is one finding.
func (r *Report) Add(other Report) {
	r.Findings = merge(r.Findings, other.Findings)
	r.Unchecked = merge(r.Unchecked, other.Unchecked)
}

// Sort puts findings into the order of their files, lines and paths.
func (r *Report) Sort() {
	for _, list := range [][]Finding{r.Findings, r.Unchecked} {
		slices.SortStableFunc(list, func(a, b Finding) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
		})
	}
}

func merge(into, more []Finding) []Finding {
	for _, f := range more {
		at := slices.IndexFunc(into, f.same)
		if at < 0 {
			into = append(into, f)
			continue
		}
		for _, environment := range f.Environments {
			if !slices.Contains(into[at].Environments, environment) {
				// A copy: the findings of the other report stay as they are.
				into[at].Environments = append(slices.Clone(into[at].Environments), environment)
			}
		}
	}
	return into
}

// Layer looks for one class of mistakes. It returns all that it finds at once; an error says that it could not look.
type Layer interface {
	Check(ctx context.Context, subject Subject) (Report, error)
}
