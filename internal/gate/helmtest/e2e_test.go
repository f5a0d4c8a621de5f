//go:build e2e

package helmtest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chartcommon "helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/gate"
	"github.com/sluice-dev/sluice/internal/gate/gatetest"
)

// testTemplate is a Pod or Job whose container gets these arguments.
func testTemplate(kind, name, policy, image string, args ...string) string {
	pod := fmt.Sprintf("{restartPolicy: Never, containers: [{name: check, image: %s, args: [%s]}]}", image, strings.Join(args, ", "))
	head := fmt.Sprintf("metadata: {name: '{{ .Release.Name }}-%s', annotations: {helm.sh/hook: test, helm.sh/hook-delete-policy: %q}}\n", name, policy)
	if kind == "Job" {
		return "apiVersion: batch/v1\nkind: Job\n" + head + "spec: {backoffLimit: 0, template: {spec: " + pod + "}}\n"
	}
	return "apiVersion: v1\nkind: Pod\n" + head + "spec: " + pod + "\n"
}

// install puts a chart with these templates into the namespace, as the candidate's slot.
func install(t *testing.T, c *gatetest.Cluster, templates ...string) gate.Subject {
	t.Helper()
	ch := &chart.Chart{Metadata: &chart.Metadata{APIVersion: "v2", Name: "calculator", Version: "1.0.0"}}
	for i, text := range append(templates, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}'}\n") {
		ch.Templates = append(ch.Templates, &chartcommon.File{Name: fmt.Sprintf("templates/%d.yaml", i), Data: []byte(text)})
	}
	cfg, err := newActions(t.Context(), func() error { return nil }, c.Config, c.Namespace, slog.DiscardHandler)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Releases.Driver = cfg.Releases.Driver.(*readOnly).Driver
	i := action.NewInstall(cfg)
	i.ReleaseName, i.Namespace, i.WaitStrategy = "calculator-green", c.Namespace, kube.HookOnlyStrategy
	if _, err := i.Run(ch, nil); err != nil {
		t.Fatal(err)
	}
	return gate.Subject{Service: "calculator", Environment: "prod", Namespace: c.Namespace, Rollout: 1, Slot: v1alpha1.SlotGreen}
}

func clusterTester(t *testing.T, c *gatetest.Cluster) *Tester {
	t.Helper()
	tester, err := New(c.Config, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tester.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tester
}

// decide asks until the gate has decided, with a gate made anew for every look.
func decide(t *testing.T, tester *Tester, s gate.Subject, timeout time.Duration) (v1alpha1.Verdict, string) {
	t.Helper()
	for {
		g, err := tester.Gate(v1alpha1.Gate{HelmTest: &v1alpha1.HelmTestGate{Timeout: v1alpha1.Duration(timeout)}})
		if err != nil {
			t.Fatal(err)
		}
		verdict, evidence, err := g.Check(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if verdict != v1alpha1.Waiting {
			t.Log(evidence)
			return verdict, evidence
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func podNames(t *testing.T, c *gatetest.Cluster) string {
	t.Helper()
	pods, err := c.Client.CoreV1().Pods(c.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil {
			names = append(names, p.Name)
		}
	}
	return strings.Join(names, " ")
}

// revision is the resourceVersion of the Secret that holds the release.
func revision(t *testing.T, c *gatetest.Cluster) string {
	t.Helper()
	secret, err := c.Client.CoreV1().Secrets(c.Namespace).Get(t.Context(), "sh.helm.release.v1.calculator-green.v1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return secret.ResourceVersion
}

func TestClusterPasses(t *testing.T) {
	c, image := gatetest.NewCluster(t), gatetest.Image(t)
	s := install(t, c,
		testTemplate("Pod", "kept", "before-hook-creation", image, "exit", "'0'"),
		testTemplate("Pod", "gone", "hook-succeeded", image, "exit", "'0'"),
		testTemplate("Job", "job", "hook-succeeded", image, "exit", "'0'"))
	before := revision(t, c)
	for rollout := 1; rollout <= 2; rollout++ {
		s.Rollout = rollout
		verdict, evidence := decide(t, clusterTester(t, c), s, time.Minute)
		if verdict != v1alpha1.Passed || !strings.Contains(evidence, "Job calculator-green-job") {
			t.Errorf("rollout %d: %s: %s", rollout, verdict, evidence)
		}
	}
	if names := podNames(t, c); names != "calculator-green-kept" {
		t.Errorf("pods %q are left, the policy keeps calculator-green-kept", names)
	}
	if after := revision(t, c); after != before {
		t.Error("the tests wrote to the release")
	}
}

func TestClusterFails(t *testing.T) {
	image := gatetest.Image(t)
	for name, tt := range map[string]struct {
		template string
		timeout  time.Duration
		says     []string
	}{
		"pod": {testTemplate("Pod", "test", "hook-failed", image, "exit", "'7'"), time.Minute,
			[]string{"pod calculator-green-test, container check: Error, exit code 7", "the last words of the test"}},
		"job": {testTemplate("Job", "test", "before-hook-creation", image, "exit", "'3'"), time.Minute,
			[]string{"job calculator-green-test: BackoffLimitExceeded", "exit code 3", "the last words of the test"}},
		"no image": {testTemplate("Pod", "test", "hook-failed", image[:strings.Index(image, "@")]+":none", "exit", "'0'"), 5 * time.Minute,
			[]string{"cannot end", "ImagePullBackOff"}},
		"no end": {testTemplate("Pod", "test", "hook-failed", image, "hang"), 3 * time.Second,
			[]string{"did not end within 3s"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := gatetest.NewCluster(t)
			verdict, evidence := decide(t, clusterTester(t, c), install(t, c, tt.template), tt.timeout)
			if verdict != v1alpha1.Failed {
				t.Fatalf("%s: %s", verdict, evidence)
			}
			for _, part := range tt.says {
				if !strings.Contains(evidence, part) {
					t.Errorf("the evidence lacks %q", part)
				}
			}
			if names := podNames(t, c); strings.Contains(tt.template, "hook-failed") && names != "" {
				t.Errorf("pods %q are left, the policy deletes them", names)
			}
		})
	}
}

// TestClusterResumes: a run that was killed leaves its pod behind, which the next one replaces whatever the policy says.
func TestClusterResumes(t *testing.T) {
	c, image := gatetest.NewCluster(t), gatetest.Image(t)
	s := install(t, c, testTemplate("Pod", "test", "hook-succeeded", image, "exit", "'0'"))
	killed := clusterTester(t, c)
	g, err := killed.Gate(v1alpha1.Gate{HelmTest: &v1alpha1.HelmTestGate{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.Check(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for podNames(t, c) == "" {
		time.Sleep(20 * time.Millisecond)
	}
	if verdict, evidence := decide(t, clusterTester(t, c), s, time.Minute); verdict != v1alpha1.Passed {
		t.Errorf("%s: %s", verdict, evidence)
	}
}

func TestClusterCloseDeletesRunningTests(t *testing.T) {
	c, image := gatetest.NewCluster(t), gatetest.Image(t)
	s := install(t, c, testTemplate("Pod", "test", "before-hook-creation", image, "hang"))
	tester := clusterTester(t, c)
	g, err := tester.Gate(v1alpha1.Gate{HelmTest: &v1alpha1.HelmTestGate{}})
	if err != nil {
		t.Fatal(err)
	}
	for podNames(t, c) == "" {
		if _, _, err := g.Check(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := tester.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	pod, err := c.Client.CoreV1().Pods(c.Namespace).Get(t.Context(), "calculator-green-test", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) && pod.DeletionTimestamp == nil {
		t.Errorf("the test's pod runs on after Close: %v", err)
	}
}
