package check_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/check"
)

func TestWhatIsFoundTwiceIsOneFinding(t *testing.T) {
	in := func(environments ...string) check.Finding {
		return check.Finding{Service: "shop", Environments: environments, File: "chart/templates/a.yaml", Line: 3, Message: "no such function"}
	}
	other := in("prod")
	other.Line = 4
	dev := check.Report{Findings: []check.Finding{in("dev")}}
	var report check.Report
	report.Add(dev)
	report.Add(check.Report{Findings: []check.Finding{in("prod"), other}})
	report.Add(check.Report{Findings: []check.Finding{in("dev")}, Unchecked: []check.Finding{in("dev")}})
	want := check.Report{Findings: []check.Finding{in("dev", "prod"), other}, Unchecked: []check.Finding{in("dev")}}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("the report differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(check.Report{Findings: []check.Finding{in("dev")}}, dev); diff != "" {
		t.Errorf("what was added was changed:\n%s", diff)
	}
}

func TestFindingsAreLinks(t *testing.T) {
	for want, f := range map[string]check.Finding{
		"dev.yaml:2:3: log.level: wrong (service shop in dev, prod); correct it": {Service: "shop", Environments: []string{"dev", "prod"}, File: "dev.yaml", Line: 2, Column: 3,
			Path: "log.level", Message: "wrong", Hint: "correct it"},
		"chart/templates/a.yaml:2:1: wrong (service shop)": {Service: "shop", File: "chart/templates/a.yaml", Line: 2, Message: "wrong"},
		"wrong (service shop)":                             {Service: "shop", Message: "wrong"},
	} {
		if have := f.String(); have != want {
			t.Errorf("%q, want %q", have, want)
		}
	}
}
