package scan

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// maxComplaint bounds what of a scanner's complaints is repeated, in bytes.
const maxComplaint = 2000

// Program is a scanner's program.
type Program struct {
	// Name of the program, or its path.
	Name string
	Args []string
	// Dir to run in, Env the whole environment. Default: those of the process.
	Dir string
	Env []string
	// Set holds variables, NAME=value, that the environment gets where it has none of that name.
	Set []string
	// Found lists exit codes with which the program says that it found something.
	Found []int
	// Complaint picks what is worth repeating out of what a program that failed wrote to standard error. Default: all of it.
	Complaint func(text string) string
}

// Run runs a scanner and returns what it wrote to standard output.
func (p Program) Run(ctx context.Context) ([]byte, error) {
	op := "run " + filepath.Base(p.Name)
	path, err := exec.LookPath(p.Name)
	if err != nil {
		return nil, fault.New(fault.Unreachable, op, "there is no program %s", p.Name).
			WithHint("install it where sluice runs, or name its path in sluice.yaml under scan:")
	}
	cmd := exec.CommandContext(ctx, path, p.Args...)
	cmd.Dir, cmd.Env = p.Dir, p.environment()
	report := &bounded{most: MaxReport}
	complaint := &tail{most: maxComplaint}
	cmd.Stdout, cmd.Stderr = report, complaint
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fault.Wrap(fault.Interrupted, op, ctx.Err())
	case report.full:
		return nil, fault.New(fault.Fatal, op, "its report has more than %d bytes", MaxReport)
	case errors.As(err, &exit) && slices.Contains(p.Found, exit.ExitCode()):
		return report.data, nil
	case err != nil:
		text := plain(complaint.String())
		if p.Complaint != nil {
			text = cmp.Or(p.Complaint(text), text)
		}
		return nil, fault.New(fault.Unreachable, op, "%w: %s", err, cmp.Or(text, "it does not say why"))
	}
	return report.data, nil
}

// environment is that of the program, nil for that of the process.
func (p Program) environment() []string {
	if len(p.Set) == 0 {
		return p.Env
	}
	env := slices.Clone(p.Env)
	if p.Env == nil {
		env = os.Environ()
	}
	for _, variable := range p.Set {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.ContainsFunc(env, func(have string) bool { return strings.HasPrefix(have, name+"=") }) {
			env = append(env, variable)
		}
	}
	return env
}

// plain is a text without the colours of terminals.
func plain(text string) string {
	return strings.TrimSpace(regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]").ReplaceAllString(text, ""))
}

// Cure is what to do about a failure that a program is known for.
type Cure struct {
	// Says is a part of its words.
	Says, Hint string
}

// Cured adds the first cure that fits a program's failure.
func Cured(err error, cures ...Cure) error {
	for _, c := range cures {
		if strings.Contains(err.Error(), c.Says) && fault.HintOf(err) == "" {
			return (&fault.Error{Kind: fault.KindOf(err), Err: err}).WithHint("%s", c.Hint)
		}
	}
	return err
}

// bounded keeps what is written until there is too much of it.
type bounded struct {
	data []byte
	most int
	full bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.data)+len(p) > b.most {
		b.full = true
		return 0, io.ErrShortWrite
	}
	b.data = append(b.data, p...)
	return len(p), nil
}

// tail keeps the end of what is written.
type tail struct {
	text string
	most int
	cut  bool
}

// String leaves out the rest of a word whose beginning was cut off: half a secret would not be known for one.
func (t *tail) String() string {
	if !t.cut {
		return strings.TrimSpace(t.text)
	}
	at := strings.IndexAny(t.text, " \t\n")
	if at < 0 {
		return "…"
	}
	return "…" + strings.TrimRight(t.text[at:], " \t\n")
}

func (t *tail) Write(p []byte) (int, error) {
	t.text += string(p)
	if over := len(t.text) - t.most; over > 0 {
		t.text = strings.ToValidUTF8(t.text[over:], "")
		t.cut = true
	}
	return len(p), nil
}

// Sorted brings findings into the order that the port promises, each once.
func Sorted(findings []Finding) []Finding {
	slices.SortFunc(findings, compare)
	return slices.CompactFunc(findings, func(a, b Finding) bool { return compare(a, b) == 0 })
}

func compare(a, b Finding) int {
	return cmp.Or(cmp.Compare(b.Severity.Rank(), a.Severity.Rank()), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Package, b.Package),
		cmp.Compare(a.Version, b.Version), cmp.Compare(a.Place, b.Place))
}

// ParseSeverity reads a severity as scanners write it, in whatever case; what is none is unknown.
func ParseSeverity(s string) v1alpha1.Severity {
	if severity := v1alpha1.Severity(strings.ToLower(s)); slices.Contains(v1alpha1.Severities(), severity) {
		return severity
	}
	return v1alpha1.SeverityUnknown
}

// CheckCount refuses a report that lists more than anybody could read.
func CheckCount(op string, n int) error {
	if n > MaxFindings {
		return fault.New(fault.Fatal, op, "it lists %d findings; at most %d are taken", n, MaxFindings)
	}
	return nil
}

// Damaged is the error for a report that cannot be read.
func Damaged(op string, err error) error {
	return fault.New(fault.Fatal, op, "it wrote no report that can be read: %w", err).
		WithHint("does the installed version write this format?")
}

// CheckID refuses a finding without a name: nobody could look it up or ignore it.
func CheckID(op, id string) error {
	if id == "" {
		return Damaged(op, errors.New("a finding has no ID"))
	}
	return nil
}
