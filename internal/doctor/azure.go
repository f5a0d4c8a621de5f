package doctor

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"github.com/sluice-dev/sluice/internal/cluster"
)

// onAzure says that a cluster is one of AKS, by its resource or by its server's name.
func onAzure(c Cluster) bool {
	u, err := url.Parse(c.Server)
	return c.Azure != "" || err == nil && strings.HasSuffix(u.Hostname(), ".azmk8s.io")
}

// privateName says that a name is of a private AKS cluster: only the name servers of its network know it.
func privateName(host string) bool {
	return strings.HasSuffix(host, ".azmk8s.io") && strings.Contains(host, ".privatelink.")
}

// inside says that addresses are of a private network.
func inside(addresses []string) bool {
	for _, a := range addresses {
		if ip, err := netip.ParseAddr(a); err == nil && ip.IsPrivate() {
			return true
		}
	}
	return false
}

// loopback says that addresses are this machine's.
func loopback(addresses []string) bool {
	for _, a := range addresses {
		if ip, err := netip.ParseAddr(a); err != nil || !ip.IsLoopback() {
			return false
		}
	}
	return len(addresses) > 0
}

// private is the finding of an API server that only its own network leads to.
func private(f Facts, says string) Finding {
	return bad("the API server is private: only its own network leads to %s", f.Cluster.Server).seen(says).next(privately(f.Cluster.Azure)...)
}

// privately says how a private AKS cluster is reached.
func privately(id string) []string {
	return []string{
		"run this in the cluster's network or one that is peered with it: a self-hosted runner (GitHub Actions) or an agent of a scale set (Azure Pipelines) there",
		"to look from here, through the management API of Azure: az aks command invoke " + named(id) + " --command \"kubectl get nodes\"",
	}
}

// named are the flags with which az finds a cluster by the id of its resource; words to replace where that is not known.
func named(id string) string {
	group, name := "RESOURCE_GROUP", "CLUSTER"
	if parts := strings.Split(id, "/"); len(parts) == 9 {
		group, name = parts[4], parts[8]
	}
	return "--resource-group " + group + " --name " + name
}

// cure is what to do about an error that a port has a type for; nil about others. azure is the id of the cluster's resource, where it is known.
func cure(err error, azure string) []string {
	var denied *cluster.Denied
	if errors.As(err, &denied) {
		return grant(denied)
	}
	var secluded *cluster.Private
	if errors.As(err, &secluded) {
		return privately(azure)
	}
	var restricted *cluster.Restricted
	if errors.As(err, &restricted) {
		return []string{
			"run this at one of the addresses that are let in: " + strings.Join(restricted.Ranges, ", "),
			"or let this machine's in, beside those: az aks update " + named(azure) + " --api-server-authorized-ip-ranges " +
				strings.Join(append(append([]string{}, restricted.Ranges...), "ADDRESS/32"), ","),
		}
	}
	var stopped *cluster.Stopped
	if errors.As(err, &stopped) {
		return []string{"az aks start " + named(azure)}
	}
	return nil
}

func grant(d *cluster.Denied) []string {
	steps := []string{"somebody who may (an owner, or a user access administrator) runs: " + d.Command()}
	if d.Principal == "" {
		steps = append(steps, "OBJECT_ID is that of whoever is signed in: az ad sp show --id CLIENT_ID --query id --output tsv")
	}
	return append(steps, "what is granted already: az role assignment list --scope "+d.Scope+" --include-inherited --include-groups --output table",
		"a new assignment takes effect within five minutes or so")
}
