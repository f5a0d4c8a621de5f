package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// pairs is how often the two sides are run in turn.
const pairs = 20

func binarySize(_ context.Context, b *bed) error {
	info, err := os.Stat(b.bin)
	if err != nil {
		return err
	}
	figure("binary_size_mb", float64(info.Size())/1e6, "MB")
	return nil
}

// deployAgainstHelm deploys the same chart with Sluice and with Helm's own command of the same version, in turn: direct, warm, no gates.
func deployAgainstHelm(ctx context.Context, b *bed) error {
	helm := filepath.Join(b.root, "bin", "helm")
	if _, err := os.Stat(helm); err != nil {
		return fmt.Errorf("%w (make bench builds it)", err)
	}
	ours, theirs := project{name: "deploy-sluice", strategy: "{direct: {}}", router: "nginx"}, project{name: "deploy-helm", router: "nginx"}
	defer b.remove(ours)
	defer b.remove(theirs)
	if err := b.write(ours); err != nil {
		return err
	}
	image, err := b.image(ctx)
	if err != nil {
		return err
	}
	var ratios, rss []float64
	for i := range pairs + 1 {
		version := fmt.Sprintf("1.%d.0", i)
		args, err := b.release(ctx, version)
		if err != nil {
			return err
		}
		mine, err := b.sluice(ctx, args...)
		if err != nil {
			return err
		}
		other, err := b.exec(ctx, 0, helm, "upgrade", "--install", "app", "chart", "--wait", "--namespace", "bench-"+theirs.name, "--create-namespace",
			"--kubeconfig", b.Kubeconfig, "--kube-context", b.Context, "-f", "values-bench.yaml", "--set", "host="+theirs.host(), "--set", "image="+image,
			"--set", "env.VERSION2="+version)
		if err != nil {
			return err
		}
		if i == 0 {
			continue // the first of each is an installation, and warms the caches
		}
		ratios = append(ratios, mine.wall.Seconds()/other.wall.Seconds())
		rss = append(rss, float64(mine.maxRSS)/1e6)
	}
	figure("deploy_vs_helm_wall_ratio", median(ratios), "ratio")
	figure("deploy_max_rss_mb", median(rss), "MB")
	return nil
}

// image builds once and returns the reference of the application's image.
func (b *bed) image(ctx context.Context) (string, error) {
	cmd, err := b.sluice(ctx, "build", "--version", "0.9.0", "-o", "json")
	if err != nil {
		return "", err
	}
	var doc struct {
		Images map[string]string `json:"images"`
	}
	at := strings.Index(cmd.out, "{")
	if at < 0 {
		return "", fmt.Errorf("build -o json printed no document: %s", cmd.out)
	}
	if err := json.NewDecoder(strings.NewReader(cmd.out[at:])).Decode(&doc); err != nil {
		return "", fmt.Errorf("build -o json: %w", err)
	}
	return doc.Images["app"], nil
}

// requestsPerRollout counts what one blue/green rollout asks of the API server, through a proxy that counts.
func requestsPerRollout(ctx context.Context, b *bed) error {
	var count atomic.Int64
	kubeconfig, stop, err := b.counted(&count)
	if err != nil {
		return err
	}
	defer stop()
	p := project{name: "requests", strategy: "{blueGreen: {traffic: {nginx: {}}}}", router: "nginx", kubeconfig: kubeconfig}
	defer b.remove(p)
	if err := b.write(p); err != nil {
		return err
	}
	for _, version := range []string{"1.0.0", "2.0.0"} {
		args, err := b.release(ctx, version)
		if err != nil {
			return err
		}
		count.Store(0)
		begin := time.Now()
		if _, err := b.sluice(ctx, args...); err != nil {
			return err
		}
		if version == "2.0.0" {
			figure("api_requests_per_rollout", float64(count.Load()), "requests")
			figure("api_requests_per_second", float64(count.Load())/time.Since(begin).Seconds(), "requests/s")
		}
	}
	return nil
}

// counted is a kubeconfig whose server is a proxy on loopback that counts requests.
func (b *bed) counted(count *atomic.Int64) (string, func(), error) {
	config, err := clientcmd.BuildConfigFromFlags("", b.Kubeconfig)
	if err != nil {
		return "", nil, err
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return "", nil, err
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		return "", nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport, proxy.FlushInterval = transport, -1
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	path := filepath.Join(b.dir, "kubeconfig")
	err = clientcmd.WriteToFile(api.Config{
		Clusters:  map[string]*api.Cluster{b.Context: {Server: server.URL}},
		Contexts:  map[string]*api.Context{b.Context: {Cluster: b.Context, AuthInfo: b.Context}},
		AuthInfos: map[string]*api.AuthInfo{b.Context: {}},
	}, path)
	return path, server.Close, err
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
