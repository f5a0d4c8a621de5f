//go:build e2e

package helm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/kube"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/deploy/deploytest"
)

// prober sends requests through the entry and to the stable Service until it is stopped, each on a connection of its own.
type prober struct {
	mu       sync.Mutex
	sent     int
	failures []string
	seen     map[string]int
	stop     context.CancelFunc
	wg       sync.WaitGroup
}

func (p *place) probe(t *testing.T) *prober {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	pr := &prober{stop: cancel, seen: map[string]int{}}
	entry := "http://127.0.0.1:8080/"
	service, err := p.releaser.kube.CoreV1().Services(p.scope.Namespace).Get(ctx, "shop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	inside := "http://" + service.Spec.ClusterIP + "/"
	p.waitEntry(t, entry)
	for _, url := range []string{entry, inside} {
		pr.wg.Go(func() {
			client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			for ctx.Err() == nil {
				pr.once(client, url, p.host)
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() { cancel(); pr.wg.Wait() })
	return pr
}

func (p *place) waitEntry(t *testing.T, entry string) {
	t.Helper()
	for range 100 {
		req, _ := http.NewRequest(http.MethodGet, entry, nil)
		req.Host = p.host
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the entry never served %s", p.host)
}

func (pr *prober) once(client *http.Client, url, host string) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return
	}
	req.Host = host
	res, err := client.Do(req)
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.sent++
	if err != nil {
		pr.failures = append(pr.failures, time.Now().Format("15:04:05.000 ")+err.Error())
		return
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	mode, _, _ := strings.Cut(string(body), " ")
	pr.seen[url[:12]+mode]++
	if res.StatusCode != http.StatusOK {
		pr.failures = append(pr.failures, time.Now().Format("15:04:05.000 ")+url+" "+res.Status)
	}
}

// lost ends the probing and fails the test if a request was lost.
func (pr *prober) lost(t *testing.T) {
	t.Helper()
	pr.stop()
	pr.wg.Wait()
	t.Logf("%d requests: %v", pr.sent, pr.seen)
	if len(pr.failures) > 0 {
		t.Errorf("%d of %d requests failed, first %v", len(pr.failures), pr.sent, pr.failures[:min(5, len(pr.failures))])
	}
	if pr.sent < 100 {
		t.Errorf("only %d requests were sent", pr.sent)
	}
}

// shift does what a router does at 100 %: the route to the slot's Service, then the stable Service to the slot's pods.
func (p *place) shift(t *testing.T, routes v1alpha1.Routes) {
	t.Helper()
	s, err := p.releaser.open(context.Background(), p.scope, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	apply := func(manifest string) {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON([]byte(manifest)); err != nil {
			t.Fatal(err)
		}
		at, err := s.resource(object{Unstructured: u})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := at.Apply(s.ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: v1alpha1.FieldManager, Force: true}); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range routes.Objects {
		text := string(r.Manifest)
		for _, service := range routes.Services {
			for _, at := range []string{`"service":{"name":%q`, `"backendRefs":[{"name":%q`} {
				text = strings.ReplaceAll(text, fmt.Sprintf(at, service.Name), fmt.Sprintf(at, service.SlotService))
			}
		}
		apply(text)
	}
	for _, service := range routes.Services {
		apply(string(service.Manifest))
	}
	time.Sleep(3 * time.Second)
}

func (p *place) deploy(t *testing.T, slot, live v1alpha1.Slot, plan v1alpha1.Plan, r deploytest.Release, rollout int) error {
	t.Helper()
	return p.releaser.Deploy(context.Background(), deploy.Request{
		Scope: p.scope, Slot: slot, Live: live, Release: r.Release, Ref: r.Ref, DeployDigest: r.Digest, Plan: plan, Rollout: rollout, Generation: int64(rollout),
	})
}

func (p *place) retire(t *testing.T, slot, live v1alpha1.Slot, plan v1alpha1.Plan, remove bool, rollout int) {
	t.Helper()
	err := p.releaser.Retire(context.Background(), deploy.RetireRequest{
		Scope: p.scope, Slot: slot, Live: live, Plan: plan, Remove: remove, Rollout: rollout, Generation: int64(rollout),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *place) mustDeploy(t *testing.T, slot, live v1alpha1.Slot, plan v1alpha1.Plan, r deploytest.Release, rollout int) deploy.Slot {
	t.Helper()
	if err := p.deploy(t, slot, live, plan, r, rollout); err != nil {
		t.Fatalf("deploy %s: %v", slot, err)
	}
	o := p.until(t, string(slot)+" ready", func(o deploy.Observation) bool { return o.Slots[slot].IsReady() })
	return o.Slots[slot]
}

const (
	none   = v1alpha1.SlotNone
	direct = v1alpha1.SlotDirect
	blue   = v1alpha1.SlotBlue
	green  = v1alpha1.SlotGreen
)

// upgradeForeign is a plain `helm upgrade --wait` without any force.
func (p *place) upgradeForeign(t *testing.T, mode string) {
	t.Helper()
	g := newGetter(context.Background(), p.config, p.scope.Namespace, func() error { return nil })
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(p.releaser.log))
	if err := cfg.Init(g, p.scope.Namespace, "secret"); err != nil {
		t.Fatal(err)
	}
	c, err := loader.LoadArchive(bytes.NewReader(p.chart))
	if err != nil {
		t.Fatal(err)
	}
	a := action.NewUpgrade(cfg)
	a.Namespace, a.WaitStrategy, a.Timeout = p.scope.Namespace, kube.StatusWatcherStrategy, time.Minute
	if _, err := a.Run("shop", c, map[string]any{"image": p.image, "host": p.host, "mode": mode}); err != nil {
		t.Errorf("plain Helm cannot go on: %v", err)
	}
}

// volume makes sure that a claim of the namespace is bound where the cluster has no storage class.
func (p *place) volume(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	classes, err := p.releaser.kube.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(classes.Items) > 0 {
		return
	}
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: p.scope.Namespace}, Spec: corev1.PersistentVolumeSpec{
		Capacity:    corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")},
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		ClaimRef:    &corev1.ObjectReference{Namespace: p.scope.Namespace, Name: "shop-data"},
		PersistentVolumeSource: corev1.PersistentVolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: t.TempDir()},
		},
	}}
	if _, err := p.releaser.kube.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.releaser.kube.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
	})
}
