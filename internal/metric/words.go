package metric

import (
	"strings"
	"text/template"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// words are what templates know.
type words struct{ Slot, Release, Service, Environment, Namespace string }

// Fill puts the words of one of a subject's slots into a template, such as a query: {{.Slot}}, {{.Release}} (the slot's Helm release),
// {{.Service}}, {{.Environment}} and {{.Namespace}}. what says what is filled. Errors are of kind fault.Usage.
func Fill(what, text string, s Subject, slot v1alpha1.Slot) (string, error) {
	parsed, err := template.New(what).Option("missingkey=error").Parse(text)
	var filled strings.Builder
	if err == nil {
		err = parsed.Execute(&filled, words{string(slot), slot.HelmRelease(s.Service), s.Service, s.Environment, s.Namespace})
	}
	if err != nil {
		return "", fault.New(fault.Usage, "read "+what, "%w", err).
			WithHint("what is put in is {{.Slot}}, {{.Release}}, {{.Service}}, {{.Environment}} and {{.Namespace}}")
	}
	return filled.String(), nil
}
