package config_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/metric"
)

// nobody is asked for requests and does not answer.
type nobody struct{}

var errNobody = errors.New("nobody answers")

func (nobody) Requests(metric.Subject, v1alpha1.Analysis) (guard.Feed, error) {
	return guard.Feed{}, errNobody
}

func (nobody) Probe(metric.Subject, v1alpha1.Analysis, v1alpha1.Probe) (guard.Feed, error) {
	return guard.Feed{}, errNobody
}

func (nobody) Counters(metric.Subject, v1alpha1.Analysis, v1alpha1.Metric) (guard.Feed, error) {
	return guard.Feed{}, errNobody
}

func (nobody) Number(metric.Subject, v1alpha1.Analysis, v1alpha1.Metric) (guard.Reader, error) {
	return guard.Reader{}, errNobody
}

// TestTheChanceIsCheckedAsItIsDivided: what the file may say is what the guard takes, whatever it divides it over, and the cure is one.
func TestTheChanceIsCheckedAsItIsDivided(t *testing.T) {
	load := func(place, chance, rest string) (*config.File, error) {
		at := strings.Replace(small, place, place+"    analysis: {falseAbort: "+chance+"%"+rest+"}\n", 1)
		return config.Load(write(t, at), getenv)
	}
	cure := regexp.MustCompile(`raise it to ([0-9.]+)%, or ask less`)
	refused := 0
	for _, metrics := range []int{0, 1, 2, 7} {
		var list []string
		for i := range metrics {
			list = append(list, fmt.Sprintf("{name: m%d, max: 1%%, prometheus: {requests: 'a%d{s=\"{{.Slot}}\"}', failed: 'b%d{s=\"{{.Slot}}\"}'}}", i, i, i))
		}
		own := ""
		if metrics > 0 {
			own = ", metrics: [" + strings.Join(list, ", ") + "]" + server
		}
		for name, c := range map[string]struct{ place, rest string }{
			"alone": {prod, ""}, "two questions": {prod, ", slower: {than: 1s}"},
			"probes": {dev, ", errors: {max: 1%}, probe: {path: /}"}, "probes of a gate": {dev, ", errors: {max: 1%}, slower: {than: 1s, max: 1%}"},
			"probes only": {dev, ", errors: {max: 1%}, source: {probe: {path: /}}"},
		} {
			chance := "0.0001"
			for {
				f, err := load(c.place, chance, c.rest+own)
				if err != nil {
					found := cure.FindStringSubmatch(err.Error())
					if found == nil || found[1] == chance {
						t.Fatalf("%s with %d metrics, %s %%: %v", name, metrics, chance, err)
					}
					refused++
					chance = found[1]
					continue
				}
				environment := f.Project.Environments["prod"]
				if c.place == dev {
					environment = f.Project.Environments["dev"]
				}
				j := guard.New(guard.Options{Sources: nobody{}}).Look(t.Context(), guard.Scene{Number: 1, Spec: *environment.Analysis})
				if j.Verdict == string(analysis.Invalid) {
					t.Errorf("%s with %d metrics, %s %%: %s", name, metrics, chance, j.Sentence)
				}
				break
			}
		}
	}
	if refused < 16 {
		t.Errorf("%d were refused", refused)
	}
}

func TestProblemsOfEvidence(t *testing.T) {
	for _, a := range []analyzed{
		{"a chance for one", prod, "{falseAbort: 0.0001%}", nil},
		{"a chance for two", prod, "{falseAbort: 0.0001%, slower: {than: 1s}}", nil},
		{"a chance for metrics", prod, "{falseAbort: 0.0001%, metrics: [{name: a, prometheus: {requests: 'a{{.Slot}}', failed: 'b{{.Slot}}'}}]" + server + "}", []string{
			"30:28: analysis.falseAbort: is divided, and the smallest part is less than 0.0001%: the analysis asks 2 questions; raise it to 0.0002%, or ask less"}},
		{"a chance for probes", dev, "{falseAbort: 0.0009%, errors: {max: 1%}, probe: {path: /}}", []string{
			"18:28: analysis.falseAbort: is divided, and the smallest part is less than 0.0001%: the analysis asks 1 question, and a tenth is kept for probes; raise it to 0.001%, or ask less"}},
		{"probes in five minutes and a half", dev, "{errors: {max: 1%}, probe: {path: /, rate: 0.061}}", nil},
		{"probes that are too rare", dev, "{errors: {max: 1%}, probe: {path: /, rate: 0.06}}", []string{
			"18:58: analysis.probe.rate: is too low: the 20 requests that a version is known by take longer than the longest hold and the environment's timeout together, 5m30s; raise it to 0.061 or more, or give the step a longer hold"}},
		{"probes that are too rare as the source", dev, "{errors: {max: 1%}, source: {probe: {path: /, rate: 0.001}}}", []string{
			"18:67: analysis.source.probe.rate: is too low: the 20 requests that a version is known by take longer than the longest hold and the environment's timeout together, 5m30s; raise it to 0.061 or more, or give the step a longer hold"}},
	} {
		a.run(t)
	}
}
