//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/cli"
	"helm.sh/helm/v4/pkg/kube"
)

// helm is plain Helm, as a team used it before.
func (s *service) helm() *action.Configuration {
	s.t.Helper()
	env := cli.New()
	env.KubeConfig, env.KubeContext = s.Kubeconfig, s.Context
	env.SetNamespace(s.namespace)
	config := new(action.Configuration)
	if err := config.Init(env.RESTClientGetter(), s.namespace, "secret"); err != nil {
		s.t.Fatal(err)
	}
	return config
}

// helmInstall installs the test chart as the release `app`, without Sluice.
func (s *service) helmInstall(values map[string]any) {
	s.t.Helper()
	chart, err := loader.Load(s.dir + "/chart")
	if err != nil {
		s.t.Fatal(err)
	}
	install := action.NewInstall(s.helm())
	install.ReleaseName, install.Namespace = "app", s.namespace
	install.WaitStrategy, install.Timeout = kube.StatusWatcherStrategy, time.Minute
	if _, err := install.RunWithContext(context.Background(), chart, values); err != nil {
		s.t.Fatalf("helm install: %v", err)
	}
}

func testRouters(t *testing.T, run func(t *testing.T, router string)) {
	t.Helper()
	for _, router := range []string{"nginx", "gateway"} {
		t.Run(router, func(t *testing.T) { run(t, router) })
	}
}
