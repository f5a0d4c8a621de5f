package plan_test

import (
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

func TestAScriptThatSaysWhatItReads(t *testing.T) {
	project := mono()
	project.Services["web"].Images["app"] = v1alpha1.Image{Script: &v1alpha1.Script{
		Run: []string{"./make.sh"}, Inputs: []string{"pages/**/*.html", "!pages/old", "lib/css"},
	}}
	for path, want := range map[string]string{
		"app/pages/a/b.html":     "services.web.images.app.script.inputs[0]: pages/**/*.html",
		"app/pages/old/b.html":   "services.web.images.app.script.inputs[0]: pages/**/*.html",
		"app/lib/css/main.css":   "services.web.images.app.script.inputs[2]: lib/css",
		"app/make.sh":            "services.web.images.app.script.run[0]: ./make.sh",
		"app/pages/b.md":         "",
		"app/src/web/main.go":    "",
		"app/charts/web/a.yaml":  "services.web.chart: charts/web",
		"app/elsewhere/make.sh":  "",
		"elsewhere/pages/b.html": "",
	} {
		in := input(path)
		in.Project, in.Before = project, &project
		got := ""
		if s := planOf(t, in).Services[2]; s.Touched {
			got = s.Reasons[0].Rule
		}
		if got != want {
			t.Errorf("%s touches web by %q, want %q", path, got, want)
		}
	}
}
