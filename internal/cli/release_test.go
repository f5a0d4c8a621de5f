package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestReleaseListShowAndVerify(t *testing.T) {
	w := newWorld(t)
	if out := w.must(0, "release", "list").stdout; !strings.Contains(out, "no release of calculator yet") {
		t.Errorf("list says %q of nothing", out)
	}
	w.must(0, "build", "--version", "1.2.0")
	list := w.must(0, "release", "list", "calculator").stdout
	if !strings.Contains(list, "VERSION") || !strings.Contains(list, "1.2.0    "+digestOf("1.2.0")) {
		t.Errorf("list says\n%s", list)
	}
	var doc releaseList
	if err := json.Unmarshal([]byte(w.must(0, "release", "list", "-o", "json").stdout), &doc); err != nil || len(doc.Releases) != 1 || doc.Kind != "ReleaseList" {
		t.Errorf("list -o json gave %+v, %v", doc, err)
	}
	show := w.must(0, "release", "show", "calculator:1.2.0").stdout
	for _, want := range []string{"calculator 1.2.0", "2 of type application/vnd.example.seal", "says that it is signed by job (issuer https://ci.example)", "environment prod  blueGreen, after dev"} {
		if !strings.Contains(show, want) {
			t.Errorf("show does not say %q:\n%s", want, show)
		}
	}
	if out := w.must(0, "release", "show", "calculator:1.2.0", "-o", "yaml").stdout; !strings.Contains(out, "kind: Release\n") || !strings.Contains(out, "parts:") {
		t.Errorf("show -o yaml gave\n%s", out)
	}
	if out := w.must(0, "release", "verify", "calculator:1.2.0").stdout; !strings.Contains(out, "2 blobs, 1234 bytes") {
		t.Errorf("verify says\n%s", out)
	}
}

func TestReleaseShowSaysWhatIsNew(t *testing.T) {
	w := newWorld(t)
	for version, commit := range map[string]string{"1.1.0": strings.Repeat("a", 40), "1.2.0": strings.Repeat("b", 40)} {
		w.must(0, "build", "--version", version)
		w.releases["calculator:"+version].Source.Commit = commit
	}
	if out := w.must(0, "release", "show", "calculator:1.2.0").stdout; !strings.Contains(out, "commits aaaaaaaaaa..bbbbbbbbbb since 1.1.0\n") {
		t.Errorf("it says\n%s", out)
	}
	if doc := decode[releaseContents](t, w.must(0, "release", "show", "calculator:1.2.0", "-o", "json").stdout); doc.Since == nil || doc.Since.Commit != strings.Repeat("a", 40) {
		t.Errorf("the release before is %+v", doc.Since)
	}
	if out := w.must(0, "release", "show", "calculator:1.1.0").stdout; strings.Contains(out, "since") {
		t.Errorf("of the first it says\n%s", out)
	}
}

func TestReleaseVerifyNamesWhatIsBroken(t *testing.T) {
	w := newWorld(t)
	w.must(0, "build", "--version", "1.2.0")
	w.damage = "blob sha256:12 is missing"
	r := w.must(3, "release", "verify", "calculator:1.2.0", "-o", "json")
	var doc releaseVerdict
	if err := json.Unmarshal([]byte(r.stdout), &doc); err != nil || doc.Verified || doc.Parts[0].Error != w.damage {
		t.Errorf("verify -o json gave %+v, %v", doc, err)
	}
	if !strings.Contains(r.stderr, w.damage) || !strings.Contains(r.stderr, "--rebuild") {
		t.Errorf("verify says %q", r.stderr)
	}
	w.must(2, "release", "verify", "calculator:9.9.9")
	w.must(2, "release", "list", "unknown")
	w.must(2, "release", "show")
}

func TestADeploymentIntoAnEnvironmentWithARegistryOfItsOwnNamesTheCopy(t *testing.T) {
	w := newWorld(t)
	w.write("sluice.yaml", strings.Replace(projectFile, "    namespace: calculator-dev\n", "    namespace: calculator-dev\n    registry: registry.example.com/dev\n", 1))
	w.must(0, "build", "--version", "1.2.0")
	w.must(0, "deploy", "calculator:1.2.0", "--env", "dev")
	if out := w.must(0, "history", "--env", "dev", "--number", "1").stdout; !strings.Contains(out, "registry.example.com/dev/calculator@"+digestOf("1.2.0")) {
		t.Errorf("the record does not name the copy:\n%s", out)
	}
}
