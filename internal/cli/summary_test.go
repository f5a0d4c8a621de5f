package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/ci"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate/gatetest"
	"github.com/sluice-dev/sluice/internal/variables"
)

// onGitHub is a world whose steps have a summary; it returns what is in it.
func onGitHub(t *testing.T) (*world, func() string) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "step_summary")
	if err := os.WriteFile(path, []byte("said before"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.environment["GITHUB_ACTIONS"], w.environment["GITHUB_STEP_SUMMARY"] = "true", path
	return w, func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestAJobSummaryTellsOfEveryRollout(t *testing.T) {
	w, summary := onGitHub(t)
	w.must(0, "run", "--version", "1.0.0")
	const want = `said before
## calculator 1.0.0 → dev: live

calculator 1.0.0 is live in dev after 300ms

## calculator 1.0.0 → prod: live

calculator 1.0.0 is live in prod at http://calculator.example.com after 500ms

| gate | answer | step | evidence |
|---|---|---|---|
| http /ping | passed | 1 | scripted pass |
`
	if d := cmp.Diff(want, summary()); d != "" {
		t.Error(d)
	}
}

func TestAJobSummaryExplainsAFailure(t *testing.T) {
	w, summary := onGitHub(t)
	w.must(0, "run", "--version", "1.0.0")
	before := len(summary())
	w.gate = gatetest.NewScript(gatetest.Fail("GET /ping: <b>500</b> | want `200`, token s3cr3t-c4n4ry-1"))
	w.environment["MY_TOKEN"] = "s3cr3t-c4n4ry-1"
	w.must(0, "deploy", "calculator:1.0.0", "--env", "dev")
	w.must(4, "run", "--version", "2.0.0")
	got := summary()[before:]
	for _, want := range []string{
		"\n## calculator 2.0.0 → prod: rolled back\n", "\n**Cause:** ", `GET /ping: &lt;b&gt;500&lt;/b&gt; \| want \` + "`200\\`, token \\[redacted\\]",
		"\n| http /ping | failed | 1 | GET /ping: ", "\n**Next:**\n\n- ", "`sluice history calculator --env prod --number 2` tells it in full\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "c4n4ry") {
		t.Errorf("a secret is shown:\n%s", got)
	}
}

func TestAJobSummaryThatCannotBeWrittenIsNoFailure(t *testing.T) {
	w, _ := onGitHub(t)
	w.environment["GITHUB_STEP_SUMMARY"] = filepath.Join(w.dir, "nowhere", "summary")
	r := w.must(0, "run", "--to", "dev")
	if n := strings.Count(r.stderr, "warning: what became of calculator/dev #1 is missing in the job's summary: "); n != 1 {
		t.Errorf("%d warnings:\n%s", n, r.stderr)
	}
	// What would not be shown as a whole is left out as a whole.
	w, summary := onGitHub(t)
	if err := os.WriteFile(w.environment["GITHUB_STEP_SUMMARY"], make([]byte, ci.MaxSummary-10), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := w.must(0, "run", "--to", "dev"); !strings.Contains(r.stderr, "and 1048576 are shown") || len(summary()) != ci.MaxSummary-10 {
		t.Errorf("%d bytes:\n%s", len(summary()), r.stderr)
	}
}

func TestAzureIsToldOfTheSummary(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	w.environment["TF_BUILD"], w.environment["AGENT_TEMPDIRECTORY"] = "True", dir
	r := w.must(0, "run", "--version", "1.0.0", "-o", "json")
	files, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files %q, %v", files, err)
	}
	for _, file := range files {
		if !strings.Contains(r.stderr, "\n##vso[task.uploadsummary]"+file+"\n") {
			t.Errorf("no word of %s:\n%s", file, r.stderr)
		}
	}
	if strings.Contains(r.stdout, "##vso") {
		t.Errorf("in the result:\n%s", r.stdout)
	}
}

func TestWithoutACISystemNothingIsWritten(t *testing.T) {
	w, summary := onGitHub(t)
	delete(w.environment, "GITHUB_ACTIONS")
	w.must(0, "run", "--to", "dev")
	if summary() != "said before" {
		t.Error(summary())
	}
}

func TestEpilogue(t *testing.T) {
	secrets := &variables.Masker{}
	secrets.Add("pa_ss<word>1")
	e := epilogue{
		rollout: v1alpha1.Rollout{
			Service: "shop", Environment: "prod", Release: v1alpha1.ReleaseRef{Version: "2.0.0"}, Phase: v1alpha1.RolledBack,
			Judgement: &v1alpha1.Judgement{Sentence: "5 % of 200 requests failed, live 0.5 %", Evidence: []string{"│▁▂█│ candidate", "```\n# not a heading"}},
			Evidence:  []string{"│▁▂█│ candidate", "GET /ping: 500"},
			Testimony: []string{"values that differ, live → candidate:\nmode: a → b", "log of p/web:\n\x1b[31mpa_ss<word>1\x1b[0m\r\n<script>"},
			Results: []v1alpha1.GateResult{
				{Gate: "a|b", Verdict: v1alpha1.Failed, Step: 1, Evidence: "x\ny"}, {Gate: "http /", Verdict: v1alpha1.Passed, Step: -1},
			},
		},
		outcome: "rolled back", cause: "more requests fail\nin two lines", next: []string{"look with `sluice status`", "last error: `odd"}, hide: secrets.String,
	}
	const want = `
## shop 2.0.0 → prod: rolled back

**Cause:** more requests fail

~~~text
in two lines
~~~

**Analysis:** 5 % of 200 requests failed, live 0.5 %

~~~~text
│▁▂█│ candidate
~~~
# not a heading
~~~~

| gate | answer | step | evidence |
|---|---|---|---|
| a\|b | failed | 2 | x y |
| http / | passed | way back |  |

**What was seen:**

~~~text
GET /ping: 500
values that differ, live → candidate:
mode: a → b
log of p/web:
[redacted]
<script>
~~~

**Next:**

- look with ~sluice status~
- last error: \~odd
`
	if d := cmp.Diff(strings.ReplaceAll(want, "~", "`"), e.markdown()); d != "" {
		t.Error(d)
	}
}

func TestBlocksAreBounded(t *testing.T) {
	e := epilogue{hide: func(text string) string { return text }}
	for _, text := range []string{strings.Repeat("äöü\n", 30_000), strings.Repeat("ä", 100_000)} {
		got := e.block(text)
		if len(got) > maxBlock+100 || !strings.Contains(got, "\n… and ") || !strings.HasSuffix(got, " bytes more\n```\n") || strings.Contains(got, "\uFFFD") {
			t.Errorf("%d bytes, the end %q", len(got), got[len(got)-50:])
		}
	}
	e.rollout.Results = make([]v1alpha1.GateResult, 1000)
	for i := range e.rollout.Results {
		e.rollout.Results[i].Evidence = strings.Repeat("&", 5000)
	}
	e.rollout.Evidence, e.cause = []string{strings.Repeat("seen\n", 1<<20)}, strings.Repeat("&\n", 1<<20)
	if got := len(e.markdown()); got > ci.MaxSummary/2 {
		t.Errorf("a section of %d bytes", got)
	}
}

func TestOutcomes(t *testing.T) {
	waiting := fault.New(fault.Waiting, "wait", "no evidence")
	for want, r := range map[string]v1alpha1.Rollout{
		"rolled back": {Phase: v1alpha1.RolledBack}, "cancelled, nothing was changed": {Phase: v1alpha1.Cancelled},
		"failed, and a human is needed": {Phase: v1alpha1.FailedPhase}, "waiting, Analyzing": {Phase: v1alpha1.Analyzing},
	} {
		if got := outcomeOf(r, waiting); got != want {
			t.Errorf("%s: %q", want, got)
		}
	}
	if got := outcomeOf(v1alpha1.Rollout{Phase: v1alpha1.Deploying}, fault.New(fault.Interrupted, "", "x")); got != "unfinished, Deploying" {
		t.Error(got)
	}
}
