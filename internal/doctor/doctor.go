// Package doctor finds out from facts why an environment cannot be reached or deployed to, and says what to do; it must not gather facts itself, nor change anything.
package doctor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

// Severity is how a check ended.
type Severity string

// The severities. A warning does not stop a deployment; what is skipped was not looked at, because something before it failed.
const (
	OK      Severity = "ok"
	Warning Severity = "warning"
	Failed  Severity = "failed"
	Skipped Severity = "skipped"
)

// Finding is one check, and what came of it.
type Finding struct {
	// Code names the check for programs; it stays the same in later versions.
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	// Evidence is what was seen.
	Evidence []string `json:"evidence,omitempty"`
	// Next is what to do, a step each; a command is complete.
	Next []string `json:"next,omitempty"`
}

// Section is one thing that a deployment needs, with the checks of it in their order.
type Section struct {
	Name     string    `json:"name"`
	Findings []Finding `json:"findings"`
	// Next is what to do about several of the findings together.
	Next []string `json:"next,omitempty"`
}

// Report is what was found out about one environment.
type Report struct {
	Environment string    `json:"environment"`
	Namespace   string    `json:"namespace"`
	Sections    []Section `json:"sections"`
}

// Connect explains what was found on the way to an environment and to all that a deployment there needs.
func Connect(f Facts) Report {
	r := Report{Environment: f.Environment, Namespace: f.Namespace}
	if f.SignIn != nil {
		r.Sections = append(r.Sections, signIn(f))
	}
	r.Sections = append(r.Sections, connection(f), rights(f))
	if len(f.Repositories) > 0 {
		r.Sections = append(r.Sections, registries(f))
	}
	if len(f.Cluster.Sources) > 0 {
		r.Sections = append(r.Sections, analysis(f))
	}
	if f.Store != nil {
		r.Sections = append(r.Sections, store(f))
	}
	return r
}

// Count is how many findings of a report have a severity.
func (r Report) Count(severity Severity) int {
	n := 0
	for _, s := range r.Sections {
		for _, f := range s.Findings {
			if f.Severity == severity {
				n++
			}
		}
	}
	return n
}

// way is a series of checks of which each needs the one before it.
type way struct {
	findings []Finding
	// broken is the title of the check that ended the way; "" while it goes on.
	broken string
}

// check adds a finding, or says that it was not looked at. subject names the check for people.
func (w *way) check(code, subject string, look func() Finding) {
	if w.broken != "" {
		w.findings = append(w.findings, Finding{Code: code, Severity: Skipped, Title: fmt.Sprintf("%s: not looked at, for %s failed", subject, w.broken)})
		return
	}
	f := look()
	f.Code, f.Title = code, subject+": "+f.Title
	w.findings = append(w.findings, f)
}

// need is a check without which the ones after it cannot be made.
func (w *way) need(code, subject string, look func() Finding) {
	w.check(code, subject, look)
	if last := w.findings[len(w.findings)-1]; last.Severity == Failed {
		w.broken = subject
	}
}

func good(format string, args ...any) Finding {
	return Finding{Severity: OK, Title: fmt.Sprintf(format, args...)}
}

func bad(format string, args ...any) Finding {
	return Finding{Severity: Failed, Title: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) Finding {
	return Finding{Severity: Skipped, Title: fmt.Sprintf(format, args...)}
}

// seen adds evidence, line by line.
func (f Finding) seen(texts ...string) Finding {
	for _, text := range texts {
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\n"); line != "" {
				f.Evidence = append(f.Evidence, line)
			}
		}
	}
	return f
}

// next adds what to do. A step of several lines, such as a manifest for a command, stays one.
func (f Finding) next(steps ...string) Finding {
	for _, step := range steps {
		if step != "" {
			f.Next = append(f.Next, step)
		}
	}
	return f
}

// failed is the finding of an error: what a port says of it by a type of its own, else what it says of itself.
func failed(title string, err error) Finding { return failedAt(title, err, "") }

// failedAt is failed for a cluster whose resource at Azure is known.
func failedAt(title string, err error, azure string) Finding {
	var nobody *identity.Failure
	if errors.As(err, &nobody) {
		return bad("%s", title).seen("nobody is signed in: see identity")
	}
	f := bad("%s", title).seen(err.Error())
	if todo := cure(err, azure); len(todo) > 0 {
		return f.next(todo...)
	}
	return f.next(strings.Split(fault.HintOf(err), "\n")...)
}
