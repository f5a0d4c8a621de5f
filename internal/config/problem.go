package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Problem is one thing that is wrong with a file, and where.
type Problem struct {
	// File as it was named by the caller.
	File string `json:"file"`
	// Line and Column count from 1; both are 0 where the file as a whole is meant.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Path of the value, for example environments.prod.strategy.canary.steps[2].weight.
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	// Hint says what to do about it.
	Hint string `json:"hint,omitempty"`
}

// String is `file:line:col: path: message; hint`, the form that editors turn into a link.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems are all that is wrong with a file, in the order of the file.
type Problems []Problem

// Error prints every problem on a line of its own.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, q := range p {
		lines[i] = q.String()
	}
	return strings.Join(lines, "\n")
}

// ProblemsOf returns the problems that an error of Load carries, or nil where it carries none.
func ProblemsOf(err error) []Problem {
	var p Problems
	if errors.As(err, &p) {
		return p
	}
	return nil
}

// err is the fault.Usage error that carries the problems, nil where there are none.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &fault.Error{Kind: fault.Usage, Err: p}
}
