// Command kubernetes is every Kubernetes program of the local node behind one binary: the name it is called by, or
// else the first argument, says which. It must not add behaviour of its own.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	_ "time/tzdata" // CronJobs name time zones.

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlerror "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

const usage = "usage: kubernetes kube-apiserver|kube-controller-manager|kube-scheduler|kubelet|kube-proxy|kubectl [FLAG...]"

func main() {
	if command := construct(filepath.Base(os.Args[0])); command != nil {
		os.Exit(run(command))
	}
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	command := construct(os.Args[1])
	if command == nil {
		fmt.Fprintf(os.Stderr, "kubernetes: unknown program %q\n%s\n", os.Args[1], usage)
		os.Exit(2)
	}
	os.Args = os.Args[1:]
	os.Exit(run(command))
}

// construct builds one command only: each registers its flags and feature gates globally.
func construct(name string) *cobra.Command {
	switch name {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllermanager.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "kube-proxy":
		return proxy.NewProxyCommand()
	case "kubectl":
		return kubectl.NewDefaultKubectlCommand()
	}
	return nil
}

// run keeps kubectl's own error texts; the daemons use the component framework's.
func run(command *cobra.Command) int {
	if !strings.HasPrefix(command.Use, "kubectl") {
		return cli.Run(command)
	}
	if err := cli.RunNoErrOutput(command); err != nil {
		kubectlerror.CheckErr(err)
		return 1
	}
	return 0
}
