//go:build e2e

package kube_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/store/kube"
	"github.com/sluice-dev/sluice/internal/store/storetest"
)

const (
	defaultKubeconfig = "/var/lib/sluice-local/kubeconfig"
	// e2eTerm is short, so that watching a lock for a term does not take half a minute.
	e2eTerm = 3 * time.Second
	// holdIn names the namespace in which a child process of the test holds a lock.
	holdIn = "SLUICE_E2E_HOLD_LOCK_IN"
)

func clusterConfig(t *testing.T) *rest.Config {
	t.Helper()
	kubeconfig := defaultKubeconfig
	if k := os.Getenv("SLUICE_E2E_KUBECONFIG"); k != "" {
		kubeconfig = k
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatalf("no local cluster: %v", err)
	}
	config.QPS = -1
	return config
}

// namespace makes one for the test and deletes it afterwards.
func namespace(t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	created, err := client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "store-e2e-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.CoreV1().Namespaces().Delete(context.Background(), created.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return created.Name
}

func TestClusterStoreContract(t *testing.T) {
	client := kubernetes.NewForConfigOrDie(clusterConfig(t))
	storetest.Store(t, namespace(t, client), kube.New(client))
}

// cut is a transport that can be made dead.
type cut struct {
	next http.RoundTripper
	dead atomic.Bool
}

func (c *cut) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.dead.Load() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return c.next.RoundTrip(r)
}

func TestClusterLockerContract(t *testing.T) {
	ns := namespace(t, kubernetes.NewForConfigOrDie(clusterConfig(t)))
	storetest.Locker(t, ns, nil, func(t *testing.T) storetest.Process {
		config, way := clusterConfig(t), &cut{}
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			way.next = next
			return way
		})
		return storetest.Process{
			Locker: kube.NewLocker(kubernetes.NewForConfigOrDie(config), kube.LockerOptions{Term: e2eTerm}),
			Stop:   func(store.Key) { way.dead.Store(true) },
		}
	})
}

// TestHoldLock is the child process: it holds a lock, and answers each line on its standard input with Valid.
func TestHoldLock(t *testing.T) {
	ns := os.Getenv(holdIn)
	if ns == "" {
		t.Skip("runs as a child of the tests below")
	}
	locker := kube.NewLocker(kubernetes.NewForConfigOrDie(clusterConfig(t)), kube.LockerOptions{Term: e2eTerm})
	lease, err := locker.Acquire(t.Context(), storetest.Key(ns, "svc"), fmt.Sprintf("child/%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("generation %d\n", lease.Generation())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Printf("valid %v\n", lease.Valid())
	}
}

type child struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

func hold(t *testing.T, ns string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHoldLock$", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), holdIn+"="+ns)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			t.Error(err)
		}
	})
	return &child{cmd: cmd, in: in, out: bufio.NewScanner(out)}
}

func (c *child) reads(t *testing.T, prefix string) string {
	t.Helper()
	for c.out.Scan() {
		if rest, ok := strings.CutPrefix(c.out.Text(), prefix+" "); ok {
			return rest
		}
	}
	t.Fatalf("the child ended without a line that begins with %q", prefix)
	return ""
}

func (c *child) valid(t *testing.T) string {
	t.Helper()
	if _, err := io.WriteString(c.in, "?\n"); err != nil {
		t.Fatal(err)
	}
	return c.reads(t, "valid")
}

func TestClusterKilledHolderIsTakenOver(t *testing.T) {
	client := kubernetes.NewForConfigOrDie(clusterConfig(t))
	ns := namespace(t, client)
	c := hold(t, ns)
	generation := c.reads(t, "generation")
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	successor(t, client, ns, generation)
}

func TestClusterFrozenHolderKnowsWhenItWakes(t *testing.T) {
	client := kubernetes.NewForConfigOrDie(clusterConfig(t))
	ns := namespace(t, client)
	c := hold(t, ns)
	generation := c.reads(t, "generation")
	if v := c.valid(t); v != "true" {
		t.Fatalf("before the freeze the lease is valid: %s", v)
	}
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	lease := successor(t, client, ns, generation)
	// The question waits for the child, so that it is among the first things that happen when it wakes.
	if _, err := io.WriteString(c.in, "?\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if v := c.reads(t, "valid"); v != "false" {
		t.Errorf("the process that was frozen believes in its lease: valid %s", v)
	}
	if !lease.Valid() {
		t.Error("the successor lost its lease to the process that woke")
	}
}

func successor(t *testing.T, client kubernetes.Interface, ns, generation string) store.Lease {
	t.Helper()
	locker := kube.NewLocker(client, kube.LockerOptions{Term: e2eTerm})
	lease, err := locker.Acquire(t.Context(), storetest.Key(ns, "svc"), "successor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lease.Release(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if generation != "1" || lease.Generation() != 2 {
		t.Errorf("generation %d after %s, want 2 after 1", lease.Generation(), generation)
	}
	return lease
}
