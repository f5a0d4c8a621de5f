package cli

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// maxReason bounds what is kept in every record and on every workload, in characters.
const maxReason = 300

// reason is a flag that takes one line for people.
type reason struct{ text *string }

func reasonFlag(cmd *cobra.Command, target *string) {
	cmd.Flags().Var(reason{target}, "reason", "`why`, in one line, for the record")
}

func (r reason) String() string {
	if r.text == nil {
		return ""
	}
	return *r.text
}

// Set refuses what would not be one line of a list.
func (r reason) Set(s string) error {
	s = strings.TrimSpace(s)
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("a reason is one line of text")
	case utf8.RuneCountInString(s) > maxReason:
		return fmt.Errorf("a reason has at most %d characters, this one has %d", maxReason, utf8.RuneCountInString(s))
	}
	*r.text = s
	return nil
}

// Type names the value in the help.
func (reason) Type() string { return "string" }

// begunBy says who asked for a rollout and why; "" in records of versions that did not keep it.
func begunBy(r v1alpha1.Rollout) string {
	switch {
	case r.By == "":
		return ""
	case r.Reason == "":
		return "begun by " + r.By
	}
	return "begun by " + r.By + ": " + r.Reason
}
