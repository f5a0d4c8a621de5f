package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	vulnerability "github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/seal"
)

func refuse(*v1alpha1.Project, *v1alpha1.Release, string) ([]seal.Proof, error) {
	return nil, fault.New(fault.Refused, "verify release", "nobody signed it").WithHint("sign it")
}

// TestUnsignedIsRefusedBeforeAnythingIsTouched: by every command that brings a release somewhere.
func TestUnsignedIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	for name, args := range map[string][]string{
		"deploy":   {"deploy", "calculator:1.0.0", "--env", "dev"},
		"run":      {"run", "--version", "3.0.0"},
		"rollback": {"rollback", "--env", "dev"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, version := range []string{"1.0.0", "2.0.0"} {
				w.must(0, "run", "--to", "dev", "--version", version)
			}
			before, prepared := w.phases("dev"), w.prepared
			w.verify = refuse
			r := w.must(3, args...)
			if !strings.Contains(r.stderr, "nobody signed it") || !strings.Contains(r.stderr, "sign it") {
				t.Errorf("stderr: %s", r.stderr)
			}
			if w.phases("dev") != before || w.prepared != prepared {
				t.Errorf("something was touched: %s became %s", before, w.phases("dev"))
			}
		})
	}
}

// TestTakingBackNeedsNoSignature: what is still running is the way out of a bad release.
func TestTakingBackNeedsNoSignature(t *testing.T) {
	w := newWorld(t)
	w.must(0, "run", "--version", "1.0.0")
	w.must(0, "run", "--version", "2.0.0")
	w.verify = refuse
	w.must(0, "rollback", "--env", "prod")
	if _, version := w.live("prod"); version != "1.0.0" {
		t.Errorf("prod runs %s", version)
	}
}

func TestWhoseFileCounts(t *testing.T) {
	w := newWorld(t)
	w.must(0, "build", "--version", "1.0.0")
	var asked *v1alpha1.Project
	w.verify = func(project *v1alpha1.Project, _ *v1alpha1.Release, environment string) ([]seal.Proof, error) {
		asked = project
		return []seal.Proof{{Name: "release", Signer: "SHA256:abc", Subject: environment}}, nil
	}
	r := w.must(0, "deploy", "calculator:1.0.0", "--env", "dev", "-o", "json")
	if asked == nil || asked.Name != "calculator" {
		t.Errorf("asked by the policy of %+v", asked)
	}
	if doc := decode[rolloutDocument](t, r.stdout); len(doc.Verified) != 1 || doc.Verified[0].Subject != "dev" {
		t.Errorf("result: %s", r.stdout)
	}
	if err := os.Remove(filepath.Join(w.dir, "sluice.yaml")); err != nil {
		t.Fatal(err)
	}
	w.must(0, "deploy", w.releaseRef("1.0.0"), "--env", "dev")
	if asked != nil {
		t.Errorf("without a file asked by the policy of %+v", asked)
	}
}

func (w *world) releaseRef(version string) string {
	return "localhost:5000/calculator/calculator@" + digestOf(version)
}

func TestBuildSaysWhatWasSealed(t *testing.T) {
	w := newWorld(t)
	w.sealed = seal.Report{
		Signer: "SHA256:abc",
		Attachments: []seal.Attachment{
			{Subject: "s", Kind: seal.KindSBOM, Ref: "r1", Signed: true}, {Subject: "s", Kind: seal.KindSignature, Ref: "r2", Signed: true}, {Subject: "t", Kind: seal.KindSignature, Ref: "r3", Signed: true},
		},
		Scans: map[string]seal.Scanned{"web": {ScanSummary: v1alpha1.ScanSummary{Scanner: "fake 1", Found: map[v1alpha1.Severity]int{"low": 2}}, Findings: []seal.ScanFinding{{Finding: vulnerability.Finding{ID: "CVE-1"}}}}},
	}
	text := w.must(0, "build").stdout
	for _, want := range []string{"scan     web  2 low by fake 1\n", "sealed   sbom 1, signature 2; signed by SHA256:abc\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	doc := decode[releaseDocument](t, w.must(0, "build", "-o", "json").stdout)
	if len(doc.Seal.Attachments) != 3 || doc.Seal.Scans["web"].Findings[0].ID != "CVE-1" {
		t.Errorf("document: %+v", doc.Seal)
	}
}

func TestReleaseVerifyAsksByPolicy(t *testing.T) {
	w := newWorld(t)
	w.must(0, "build", "--version", "1.0.0")
	if r := w.must(2, "release", "verify", "calculator:1.0.0", "--env", "prod"); !strings.Contains(r.stderr, "what is required in prod") {
		t.Errorf("without a policy: %s", r.stderr)
	}
	w.must(2, "release", "verify", "calculator:1.0.0", "--env", "prd")
	release := w.releases["calculator:1.0.0"]
	prod := release.Environments["prod"]
	prod.Verify = &v1alpha1.Verification{}
	release.Environments["prod"] = prod
	w.verify = func(*v1alpha1.Project, *v1alpha1.Release, string) ([]seal.Proof, error) {
		return []seal.Proof{{Name: "release", Signer: "job", Issuer: "https://ci.example", Builder: "b", Commit: "c"}}, nil
	}
	if r := w.must(0, "release", "verify", "calculator:1.0.0", "--env", "prod"); !strings.Contains(r.stdout, "release is signed by job (issuer https://ci.example), built by b from c\n") {
		t.Errorf("stdout: %s", r.stdout)
	}
	w.verify = refuse
	w.must(3, "release", "verify", "calculator:1.0.0", "--env", "prod")
	w.must(0, "release", "verify", "calculator:1.0.0")
}
