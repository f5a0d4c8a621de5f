package app

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/sluice-dev/sluice/internal/fault"
)

const (
	// localPlugin is the program behind `sluice local`.
	localPlugin = "sluice-local"
	// localKubeconfig is where the local cluster keeps its kubeconfig unless it was told otherwise.
	localKubeconfig = "/var/lib/sluice-local/kubeconfig"
	// statusTimeout bounds the question to the plugin.
	statusTimeout = 10 * time.Second
)

// LocalPlugin finds the program sluice-local: beside the running binary, then in the PATH.
func LocalPlugin(executable string) (string, error) {
	if executable != "" {
		beside := filepath.Join(filepath.Dir(executable), localPlugin)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	path, err := exec.LookPath(localPlugin)
	if err != nil {
		return "", fault.New(fault.NotFound, "sluice local", "the program %s is neither beside sluice nor in the PATH", localPlugin).
			WithHint("build it with `make build`, or with `go build -o bin/ ./cmd/sluice-local` in the folder local")
	}
	return filepath.Abs(path)
}

// loadLocal loads the local cluster's own kubeconfig: the one its status names, else the one at its usual place.
func (a *App) loadLocal(ctx context.Context) (*clientcmd.ClientConfigLoadingRules, *clientcmdapi.Config, error) {
	path := a.localStatus(ctx).Kubeconfig
	if path == "" {
		path = localKubeconfig
	}
	rules, raw, err := loadKubeconfig(path)
	if err == nil {
		if _, ok := raw.Contexts[LocalContext]; ok {
			return rules, raw, nil
		}
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, nil, fault.Wrap(fault.Usage, "local cluster", err)
	}
	return nil, nil, fault.New(fault.Unreachable, "local cluster", "no kubeconfig has the context %s, and %s is not there: it does not run", LocalContext, path).
		WithHint("`sluice local up` starts it")
}

// localStatus is what the plugin says of the local cluster.
type localStatus struct {
	Kubeconfig string `json:"kubeconfig"`
	// Buildkit is the address of the cluster's BuildKit, "" where it has none.
	Buildkit string `json:"buildkit"`
}

// localStatus asks the plugin; nothing is known where there is no plugin or no cluster.
func (a *App) localStatus(ctx context.Context) localStatus {
	plugin, err := LocalPlugin(a.o.Executable)
	if err != nil {
		return localStatus{}
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, plugin, "status", "-o", "json")
	cmd.Stdout = &out
	// The exit code says whether the cluster runs; where its parts are, the answer says in either case.
	_ = cmd.Run()
	var status localStatus
	if err := json.Unmarshal(out.Bytes(), &status); err != nil {
		return localStatus{}
	}
	return status
}
