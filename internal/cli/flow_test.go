package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/gate/gatetest"
	"github.com/sluice-dev/sluice/internal/store"
)

func TestRunGoesAlongThePath(t *testing.T) {
	w := newWorld(t)
	r := w.must(0, "run", "--version", "1.0.0", "-o", "json")
	doc := decode[runDocument](t, r.stdout)
	if len(doc.Results) != 2 || doc.Results[0].Rollout.Environment != "dev" || doc.Results[1].Rollout.Environment != "prod" {
		t.Fatalf("results: %s", r.stdout)
	}
	for _, env := range []string{"dev", "prod"} {
		if _, version := w.live(env); version != "1.0.0" {
			t.Errorf("%s runs %q", env, version)
		}
	}
	if doc.Results[1].Entry != "http://calculator.example.com" || doc.Results[1].Cluster != "uid-1" {
		t.Errorf("entry %q, cluster %q", doc.Results[1].Entry, doc.Results[1].Cluster)
	}
}

func TestRunToStopsThere(t *testing.T) {
	w := newWorld(t)
	w.must(0, "run", "--to", "dev")
	if got := w.phases("prod"); got != "" {
		t.Errorf("prod has rollouts: %s", got)
	}
	if r := w.must(2, "run", "--to", "prd"); !strings.Contains(r.stderr, "did you mean prod?") {
		t.Errorf("stderr: %s", r.stderr)
	}
}

func TestRunAsksEveryClusterFirst(t *testing.T) {
	w := newWorld(t)
	w.away = "prod"
	w.must(8, "run")
	if len(w.releases) != 0 || w.phases("dev") != "" {
		t.Error("something was built or deployed")
	}
	w.must(0, "run", "--to", "dev")
}

func TestWhatBreaksDuringAnInterruptionIsTheInterruption(t *testing.T) {
	w := newWorld(t)
	w.away = "prod"
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := w.runCtx(ctx, "status", "--env", "prod"); r.code != 130 || !strings.Contains(r.stderr, "error: interrupted") {
		t.Errorf("ended with %d: %s", r.code, r.stderr)
	}
}

func TestOneEnvironmentDoesNotHideTheOthers(t *testing.T) {
	w := newWorld(t)
	w.must(0, "run", "--to", "dev")
	w.away = "prod"
	r := w.must(8, "status", "-o", "json")
	doc := decode[statusDocument](t, r.stdout)
	if len(doc.Environments) != 2 || len(doc.Environments[0].Slots) != 1 || !strings.Contains(doc.Environments[1].Error, "nobody answers") {
		t.Errorf("status: %s", r.stdout)
	}
}

func TestPromoteBringsOnWhatIsVerified(t *testing.T) {
	w := newWorld(t)
	if r := w.must(3, "promote", "--to", "prod"); !strings.Contains(r.stderr, "dev: nothing is verified there") {
		t.Errorf("stderr: %s", r.stderr)
	}
	w.must(0, "run", "--to", "dev", "--version", "1.0.0")
	w.must(0, "build", "--version", "2.0.0")
	r := w.must(0, "promote", "--to", "prod", "-o", "json")
	if doc := decode[rolloutDocument](t, r.stdout); doc.Rollout.Release.Version != "1.0.0" || doc.Rollout.Environment != "prod" {
		t.Errorf("document: %s", r.stdout)
	}
	w.pass(time.Minute)
	if r := w.must(0, "promote", "--to", "prod"); !strings.Contains(r.stdout, "was already live in prod") {
		t.Errorf("stdout: %s", r.stdout)
	}
	if got := w.phases("prod"); got != "Succeeded" {
		t.Errorf("rollouts in prod: %s", got)
	}
}

func TestPromoteNeedsAnEnvironmentWithPredecessors(t *testing.T) {
	w := newWorld(t)
	for args, want := range map[string]string{
		"":     "--to is missing",
		"dev":  "no environment comes before it",
		"prdo": "did you mean prod?",
	} {
		if r := w.must(2, "promote", "--to", args); !strings.Contains(r.stderr, want) {
			t.Errorf("--to %q: %s", args, r.stderr)
		}
	}
	w.away = "dev"
	w.must(8, "promote", "--to", "prod")
}

func TestDeployNeedsItsPredecessors(t *testing.T) {
	w := newWorld(t)
	w.must(0, "build", "--version", "1.0.0")
	r := w.must(3, "deploy", "calculator:1.0.0", "--env", "prod", "-o", "json")
	doc := decode[errorDocument](t, r.stdout)
	if doc.Reason != "refused" || !strings.Contains(doc.Message, "dev: never deployed there") {
		t.Errorf("document: %+v", doc)
	}
	if w.prepared != 0 || w.phases("prod") != "" {
		t.Error("something was written")
	}
	w.must(0, "deploy", "calculator:1.0.0", "--env", "dev")
	w.must(0, "deploy", "calculator:1.0.0", "--env", "prod")
}

func TestSecondDeployKeepsTheOldSlot(t *testing.T) {
	w := newWorld(t)
	w.must(0, "run", "--version", "1.0.0")
	r := w.must(0, "run", "--version", "1.1.0")
	line := lastLine(r.stdout)
	for _, want := range []string{"calculator 1.1.0 is live in prod at http://calculator.example.com after ", "slot blue is kept until 2026-01-02T03:14:"} {
		if !strings.Contains(line, want) {
			t.Errorf("last line %q lacks %q", line, want)
		}
	}
	if slot, version := w.live("prod"); slot != v1alpha1.SlotGreen || version != "1.1.0" {
		t.Errorf("live is %s %s", slot, version)
	}
	again := w.must(0, "deploy", "calculator:1.1.0", "--env", "prod")
	if strings.Contains(again.stdout, "rolled back") || len(w.records("prod")) != 2 {
		t.Errorf("deploying it again began a rollout: %s", again.stdout)
	}
}

func TestFailingGateRollsBack(t *testing.T) {
	w := newWorld(t)
	w.must(0, "run", "--version", "1.0.0")
	w.gate = gatetest.NewScript(gatetest.Fail("GET /ping: 500, want 200"))
	w.must(0, "build", "--version", "1.1.0")
	w.must(0, "deploy", "calculator:1.1.0", "--env", "dev")
	r := w.must(4, "deploy", "calculator:1.1.0", "--env", "prod", "-o", "json")
	doc := decode[errorDocument](t, r.stdout)
	if doc.Rollout == nil || doc.Rollout.Phase != v1alpha1.RolledBack || doc.ExitCode != 4 {
		t.Fatalf("document: %s", r.stdout)
	}
	if slot, version := w.live("prod"); slot != v1alpha1.SlotBlue || version != "1.0.0" {
		t.Errorf("live is %s %s", slot, version)
	}
	for _, want := range []string{"error: rollout of 1.1.0 to prod was rolled back", "GET /ping: 500, want 200", "`sluice history calculator --env prod --number 2`"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("the log lacks %q:\n%s", want, r.stderr)
		}
	}
	if !strings.HasPrefix(lastLine(r.stderr), "hint: ") {
		t.Errorf("the summary is not last: %q", lastLine(r.stderr))
	}
}

func TestRollback(t *testing.T) {
	w := newWorld(t)
	w.must(0, "run", "--version", "1.0.0")
	w.must(0, "run", "--version", "1.1.0")
	// While the old slot is kept the rollout itself is taken back.
	w.must(0, "rollback", "--env", "prod")
	if got := w.phases("prod"); got != "RolledBack Succeeded" {
		t.Fatalf("phases %s", got)
	}
	w.must(0, "run", "--version", "1.2.0")
	w.must(0, "run", "--version", "1.3.0", "--wait")
	if got := w.phases("prod"); got != "Succeeded Succeeded RolledBack Succeeded" || w.back {
		t.Fatalf("phases %s; prepared for a way back: %t", got, w.back)
	}
	// After that a new rollout brings the earlier release, and again the one before it: never one that was taken back.
	for _, want := range []string{"1.2.0", "1.0.0"} {
		w.must(0, "rollback", "--env", "prod", "--wait")
		if _, version := w.live("prod"); version != want {
			t.Errorf("live is %s, want %s", version, want)
		}
	}
	if r := w.must(2, "rollback", "--env", "prod"); !strings.Contains(r.stderr, "no release of calculator in prod was verified before") {
		t.Errorf("stderr: %s", r.stderr)
	}
	w.must(0, "rollback", "--env", "prod", "--to", "calculator:1.3.0", "--wait")
	if !w.back {
		t.Error("a way back was taken for a deployment")
	}
	w.must(2, "rollback", "--env", "prod", "--to", "2")
	w.must(2, "rollback", "--env", "prod", "--to", "calculator:9.9.9")
	w.must(0, "rollback", "--env", "prod", "--to", "3", "--wait")
	if _, version := w.live("prod"); version != "1.2.0" {
		t.Errorf("live is %s", version)
	}
}

// interruptAt runs a command whose context is cancelled as soon as the newest rollout of prod is in a phase.
func (w *world) interruptAt(phase v1alpha1.Phase, args ...string) result {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.slept = func() {
		if r := w.records("prod"); len(r) > 0 && r[0].Phase == phase {
			cancel()
		}
	}
	defer func() { w.slept = func() {} }()
	return w.runCtx(ctx, args...)
}

// unfinishedRollout leaves a rollout of 1.1.0 in Analyzing with nobody driving it.
func unfinishedRollout(t *testing.T) *world {
	w := newWorld(t)
	w.must(0, "run", "--version", "1.0.0")
	w.must(0, "run", "--version", "1.1.0", "--to", "dev")
	w.gate = gatetest.NewScript(gatetest.Wait())
	r := w.interruptAt(v1alpha1.Analyzing, "deploy", "calculator:1.1.0", "--env", "prod")
	if r.code != 130 || !strings.Contains(r.stderr, "`sluice resume calculator --env prod`") ||
		!strings.Contains(r.stderr, "error: interrupted: calculator/prod #2 stays where it is: Analyzing step 1/2 (0 %)") {
		t.Fatalf("ended with %d: %s", r.code, r.stderr)
	}
	w.gate = gatetest.NewScript(gatetest.Pass())
	return w
}

func TestInterruptedRolloutGoesOn(t *testing.T) {
	for _, command := range [][]string{{"resume", "--env", "prod"}, {"deploy", "calculator:1.1.0", "--env", "prod"}, {"run", "--version", "1.1.0"}} {
		t.Run(command[0], func(t *testing.T) {
			w := unfinishedRollout(t)
			w.must(0, command...)
			if got := w.phases("prod"); got != "Settling Succeeded" {
				t.Errorf("phases %s", got)
			}
			if _, version := w.live("prod"); version != "1.1.0" {
				t.Errorf("live is %s", version)
			}
		})
	}
}

func TestRollbackAfterTheOldSlotWentAway(t *testing.T) {
	w := newWorld(t)
	w.must(0, "run", "--version", "1.0.0")
	w.must(0, "run", "--version", "1.1.0")
	w.pass(time.Hour)
	status := decode[statusDocument](t, w.must(0, "status", "--env", "prod", "-o", "json").stdout)
	if got := status.Environments[0].Next; got != "sluice resume calculator --env prod --wait" {
		t.Errorf("next: %q", got)
	}
	// One tick of resume begins to retire the old slot, so that the record still says Settling while there is no way back by a shift.
	w.must(0, "resume", "--env", "prod")
	w.must(0, "rollback", "--env", "prod")
	if _, version := w.live("prod"); version != "1.0.0" {
		t.Errorf("live is %s; phases %s", version, w.phases("prod"))
	}
}

func TestResumeOfNothing(t *testing.T) {
	w := newWorld(t)
	if r := w.must(2, "resume", "--env", "prod"); !strings.Contains(r.stderr, "no rollout of calculator in prod is unfinished") {
		t.Errorf("stderr: %s", r.stderr)
	}
}

func TestAbortWithoutADriver(t *testing.T) {
	w := unfinishedRollout(t)
	r := w.must(0, "abort", "--env", "prod", "--reason", "INC-42")
	if !strings.Contains(r.stdout, "rollout 2 of calculator in prod is rolled back to 1.0.0") {
		t.Errorf("stdout: %s", r.stdout)
	}
	if got := w.records("prod")[0]; got.Phase != v1alpha1.RolledBack || !strings.Contains(got.Cause, "INC-42") {
		t.Errorf("rollout %s: %s", got.Phase, got.Cause)
	}
	w.must(2, "abort", "--env", "prod")
}

func TestAbortAsksTheDriver(t *testing.T) {
	w := unfinishedRollout(t)
	lease, err := w.locker.Acquire(t.Context(), keyOfProd(), "bob@ci/7")
	if err != nil {
		t.Fatal(err)
	}
	r := w.must(0, "abort", "--env", "prod", "-o", "json")
	doc := decode[backDocument](t, r.stdout)
	if doc.Driver != "bob@ci/7" || doc.Rollout.Phase.Final() || len(w.records("prod")[0].Requests) != 1 {
		t.Errorf("document: %s", r.stdout)
	}
	w.must(7, "resume", "--env", "prod")
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.must(4, "resume", "--env", "prod")
}

func keyOfProd() store.Key {
	return store.Key{Service: "calculator", Environment: "prod", Namespace: "calculator-prod"}
}

func TestStatus(t *testing.T) {
	w := unfinishedRollout(t)
	r := w.must(0, "status", "--env", "prod", "-o", "json")
	doc := decode[statusDocument](t, r.stdout)
	got := doc.Environments[0]
	if got.UnattendedSince.IsZero() || got.Next != "sluice resume calculator --env prod" || got.Rollout.Number != 2 {
		t.Errorf("status: %s", r.stdout)
	}
	roles := map[v1alpha1.Slot]string{}
	for _, s := range got.Slots {
		roles[s.Slot] = s.Role
	}
	if roles[v1alpha1.SlotBlue] != "live" || roles[v1alpha1.SlotGreen] != "candidate" {
		t.Errorf("roles %v", roles)
	}
	w.must(0, "resume", "--env", "prod")
	text := w.must(0, "status").stdout
	for _, want := range []string{"calculator in dev", "calculator in prod (namespace calculator-prod, http://calculator.example.com)", "100 %", "slot blue is kept until"} {
		if !strings.Contains(text, want) {
			t.Errorf("status lacks %q:\n%s", want, text)
		}
	}
}

func TestHistory(t *testing.T) {
	w := newWorld(t)
	if r := w.must(0, "history", "--env", "prod"); !strings.Contains(r.stdout, "no rollout of calculator in prod yet") {
		t.Errorf("stdout: %s", r.stdout)
	}
	w.must(0, "run", "--version", "1.0.0")
	w.must(0, "run", "--version", "1.1.0")
	doc := decode[historyDocument](t, w.must(0, "history", "--env", "prod", "-o", "json").stdout)
	if len(doc.Rollouts) != 2 || doc.Rollouts[0].Number != 2 || doc.Rollouts[1].Number != 1 {
		t.Errorf("rollouts %+v", doc.Rollouts)
	}
	if text := w.must(0, "history", "--env", "prod", "--number", "1").stdout; !strings.Contains(text, "first installation") || !strings.Contains(text, "Deploying") {
		t.Errorf("told: %s", text)
	}
	w.must(2, "history", "--env", "prod", "--number", "7")
}

func TestUninstall(t *testing.T) {
	w := newWorld(t)
	w.must(0, "run", "--version", "1.0.0")
	w.must(0, "run", "--version", "1.1.0")
	if r := w.must(2, "uninstall", "--env", "prod"); !strings.Contains(r.stderr, "--yes") || len(w.records("prod")) != 2 {
		t.Errorf("stderr: %s", r.stderr)
	}
	w.must(2, "uninstall", "--yes")
	r := w.must(0, "uninstall", "--env", "prod", "--yes", "-o", "json")
	if doc := decode[uninstallDocument](t, r.stdout); len(doc.Slots) != 2 || doc.Records != 2 {
		t.Errorf("document: %s", r.stdout)
	}
	if slot, _ := w.live("prod"); slot != v1alpha1.SlotNone || w.phases("prod") != "" {
		t.Errorf("left: slot %s, rollouts %q", slot, w.phases("prod"))
	}
	if r := w.must(0, "uninstall", "--env", "prod", "--yes"); !strings.Contains(r.stdout, "nothing of calculator is in prod") {
		t.Errorf("stdout: %s", r.stdout)
	}
	// A service that was removed can come again.
	w.must(0, "run", "--version", "1.2.0")
}

func TestUninstallKeepsWhatHelmMade(t *testing.T) {
	w := newWorld(t)
	place, err := (&backend{world: w}).Open(t.Context(), "calculator", "dev", v1alpha1.Environment{Namespace: "calculator-dev"})
	if err != nil {
		t.Fatal(err)
	}
	w.releaser.InstallForeign(place.Scope())
	r := w.must(0, "uninstall", "--env", "dev", "--yes")
	if !strings.Contains(r.stdout, "kept: Helm release calculator, which sluice did not make") {
		t.Errorf("stdout: %s", r.stdout)
	}
}

func TestGateThatNeverAnswersIsShown(t *testing.T) {
	w := newWorld(t)
	w.gate = gatetest.NewScript(gatetest.Wait(), gatetest.Wait(), gatetest.Pass())
	r := w.must(0, "run")
	for _, want := range []string{"gate \"http /ping\" is waiting", "gate http /ping: passed", "calculator/prod #1"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("the log lacks %q:\n%s", want, r.stderr)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(r.stderr), "\n") {
		if stamp, _, _ := strings.Cut(line, " "); !strings.HasPrefix(line, " ") {
			if _, err := time.Parse(time.RFC3339, stamp); err != nil {
				t.Errorf("line without a time: %q", line)
			}
		}
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
