// Command externalsecrets runs the controllers of the External Secrets operator for the tests of references, with Vault's provider as the
// only one: the others are the clients of dozens of clouds. It is a module of its own, so that nothing of it is ever linked into Sluice.
//
// It watches one namespace of the cluster in $KUBECONFIG, logs to standard error, and ends when its standard input does, so that it never
// outlives the test that started it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	genv1alpha1 "github.com/external-secrets/external-secrets/apis/generators/v1alpha1"
	ctrlcommon "github.com/external-secrets/external-secrets/pkg/controllers/common"
	"github.com/external-secrets/external-secrets/pkg/controllers/externalsecret"
	"github.com/external-secrets/external-secrets/pkg/controllers/externalsecret/esmetrics"
	ctrlmetrics "github.com/external-secrets/external-secrets/pkg/controllers/metrics"
	"github.com/external-secrets/external-secrets/pkg/controllers/secretstore"
	"github.com/external-secrets/external-secrets/pkg/controllers/secretstore/ssmetrics"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

func main() {
	namespace := flag.String("namespace", "", "the namespace to watch")
	flag.Parse()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := run(ctx, *namespace); err != nil {
		fmt.Fprintln(os.Stderr, "external-secrets:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, namespace string) error {
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, esv1.AddToScheme, genv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Metrics: server.Options{BindAddress: "0"},
		Cache:  cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
	})
	if err != nil {
		return err
	}
	ctrlmetrics.SetUpLabelNames(false)
	esmetrics.SetUpMetrics()
	ssmetrics.SetUpMetrics()
	stores := &secretstore.StoreReconciler{
		Client: manager.GetClient(), Log: ctrl.Log.WithName("SecretStore"), Scheme: scheme, ControllerClass: "default", RequeueInterval: time.Minute,
	}
	if err := stores.SetupWithManager(manager, controller.Options{RateLimiter: ctrlcommon.BuildRateLimiter()}); err != nil {
		return err
	}
	secrets := &externalsecret.Reconciler{
		Client: manager.GetClient(), SecretClient: manager.GetClient(), Log: ctrl.Log.WithName("ExternalSecret"), Scheme: scheme,
		RestConfig: config, ControllerClass: "default", RequeueInterval: time.Hour, EnableFloodGate: true,
	}
	if err := secrets.SetupWithManager(manager, controller.Options{RateLimiter: ctrlcommon.BuildRateLimiter()}); err != nil {
		return err
	}
	return manager.Start(ctx)
}
