package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/rbac"
)

// connection explains the way to the API server: each step needs the one before it.
func connection(f Facts) Section {
	c := f.Cluster
	w := way{}
	w.need("cluster.settings", "settings", func() Finding { return settings(f) })
	if c.Settings == nil && c.Credential != nil {
		// The network can be looked at all the same.
		w.check("cluster.credentials", "credentials", func() Finding { return credentials(f) })
	}
	network(&w, f)
	w.need("cluster.answer", "API server", func() Finding { return answer(c) })
	w.need("cluster.login", "login", func() Finding { return login(f) })
	w.check("cluster.identity", "which cluster", func() Finding { return whichCluster(f) })
	w.check("cluster.namespace", "namespace "+f.Namespace, func() Finding { return namespace(f) })
	return Section{Name: "cluster", Findings: w.findings}
}

func settings(f Facts) Finding {
	c := f.Cluster
	if c.Settings != nil {
		return failedAt(c.Way+" leads nowhere", c.Settings, c.Azure)
	}
	found := good("%s leads to %s", c.Way, c.Server).seen(c.Origin...).seen(c.Notices...)
	if len(c.Notices) > 0 {
		found.Severity = Warning
	}
	return found
}

// credentials explains what is shown to the cluster, before it is.
func credentials(f Facts) Finding {
	c := f.Cluster.Credential
	if c.Kind == "" {
		// Where something on the way has credentials of its own, as kubectl proxy does, none are needed; the login tells.
		return Finding{Severity: Warning, Title: "there are none; over plain HTTP none are shown"}.next(fmt.Sprintf("log in to the cluster, so that %s gets credentials", f.Cluster.Way))
	}
	found := good("%s", c.Kind)
	if c.Owner != "" {
		found.Title += " for " + c.Owner
	}
	if c.Presented != nil {
		found = found.seen("presented issuer " + c.Presented.Issuer + ", subject " + c.Presented.Subject + ", audience " + strings.Join(c.Presented.Audience, ", "))
	}
	switch {
	case c.Absent:
		found.Severity = Failed
		found.Title = fmt.Sprintf("the program %s, which makes them, is not on this machine", c.Program)
		if c.Install != "" {
			return found.next(c.Install)
		}
		return found.next(install(c.Program))
	case c.Expires.IsZero():
	case !f.Now.Before(c.Expires):
		found.Severity = Failed
		found.Title += ", which expired at " + stamp(c.Expires)
		return found.next(renew(f))
	case c.Program == "" && c.Presented == nil && c.Expires.Before(f.Now.Add(soon)):
		// Tokens are short-lived by design.
		found.Severity = Warning
		found.Title += ", which expires at " + stamp(c.Expires)
		return found.next(renew(f))
	default:
		found = found.seen("valid until " + stamp(c.Expires))
	}
	return found
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func install(program string) string {
	if program == "kubelogin" {
		return "install it and put it into the PATH: az aks install-cli"
	}
	return "install it, or put it into the PATH"
}

// renew says how new credentials are made.
func renew(f Facts) string {
	if f.Cluster.Azure == "" && onAzure(f.Cluster) {
		return "az aks get-credentials " + named("") + " --overwrite-existing"
	}
	return fmt.Sprintf("log in again, so that %s gets new ones", f.Cluster.Way)
}

// network explains the steps below HTTP.
func network(w *way, f Facts) {
	n := f.Cluster.Network
	if n == nil && f.Cluster.Settings == nil {
		// Something carries the requests that needs no network of ours; the settings say what.
		return
	}
	if n == nil {
		n = &Network{}
	}
	host := n.Host
	if n.Proxy != "" {
		host = "proxy " + n.Proxy
	}
	w.need("cluster.name", "name", func() Finding { return resolving(f, host) })
	w.need("cluster.connection", "connection", func() Finding { return dialing(f, host) })
	w.need("cluster.certificate", "certificate", func() Finding { return shaking(f) })
}

func resolving(f Facts, host string) Finding {
	n := f.Cluster.Network
	switch step := n.Resolve; {
	case step == nil:
		return skipped("not looked at")
	case step.Trouble == "" && len(n.Addresses) == 1 && n.Addresses[0] == n.Host:
		return good("%s is an address", host)
	case step.Trouble == "":
		return good("%s is %s", host, strings.Join(n.Addresses, ", "))
	case privateName(n.Host):
		return private(f, n.Resolve.Says)
	case step.Trouble == NoSuchName:
		return bad("DNS knows no %s", host).seen(step.Says).
			next("correct the server's URL, or "+renewSettings(f), "where the name is one of a private network, run this within it")
	default:
		return bad("DNS could not be asked for %s", host).seen(step.Says).next("see that this machine has a network and a name server")
	}
}

func dialing(f Facts, host string) Finding {
	n := f.Cluster.Network
	step := n.Dial
	at := host + ":" + n.Port
	if n.Proxy != "" {
		at = host
	}
	switch {
	case step == nil:
		return skipped("not looked at")
	case step.Trouble == "":
		return good("%s accepts", at).seen(step.Seen...)
	case n.Proxy == "" && onAzure(f.Cluster) && inside(n.Addresses):
		return private(f, step.Says)
	case step.Trouble == Refused:
		found := bad("nobody listens at %s", at).seen(step.Says)
		if f.Cluster.Way == `context "sluice-local"` {
			return found.next("sluice local up")
		}
		return found.next("see that the cluster runs and that this is its port; a cluster that was made anew has another one: " + renewSettings(f))
	case step.Trouble == NoRoute:
		return bad("no network leads to %s", at).seen(step.Says).next("join the network it is in, by a VPN or a runner there")
	}
	found := bad("%s does not answer", at).seen(step.Says)
	if inside(n.Addresses) {
		return found.seen("its address is a private one").next("join the network it is in, by a VPN or a runner there, and see that no firewall is between")
	}
	found = found.next("see that the cluster runs, and that neither a firewall nor a list of allowed addresses shuts out this machine")
	if onAzure(f.Cluster) {
		found = found.next("az aks show " + named(f.Cluster.Azure) + " --query \"{state: powerState.code, allowed: apiServerAccessProfile.authorizedIpRanges}\"")
	}
	return found
}

func renewSettings(f Facts) string {
	if onAzure(f.Cluster) {
		return "fetch the kubeconfig anew: az aks get-credentials " + named(f.Cluster.Azure) + " --overwrite-existing"
	}
	return "fetch the kubeconfig anew"
}

func shaking(f Facts) Finding {
	n := f.Cluster.Network
	step := n.Shake
	switch {
	case n.Plain:
		return plain(n)
	case step == nil && n.Proxy != "":
		return skipped("not looked at through a proxy; the answer tells")
	case step == nil:
		return skipped("not looked at")
	case step.Trouble == "" && n.Unverified:
		return Finding{Severity: Warning, Title: "anybody's is taken, for insecure-skip-tls-verify is set"}.seen(step.Seen...).
			next("give the cluster its certificate-authority in the kubeconfig, and take insecure-skip-tls-verify out")
	case step.Trouble == "":
		return good("is valid for %s", n.Host).seen(step.Seen...)
	}
	return wrongCertificate(f, step).seen(step.Seen...)
}

func plain(n *Network) Finding {
	if loopback(n.Addresses) {
		return good("none is needed: plain HTTP to this machine")
	}
	return Finding{Severity: Warning, Title: "there is none: plain HTTP, which everybody on the way can read and change"}.
		next("name the server by https")
}

func wrongCertificate(f Facts, step *Step) Finding {
	n := f.Cluster.Network
	switch step.Trouble {
	case Expired:
		return bad("has expired").seen(step.Says).
			next("whoever runs the cluster renews it (with kubeadm: kubeadm certs renew all); where it is valid, correct this machine's clock")
	case NotYetValid:
		return bad("is not valid yet").seen(step.Says).next("correct this machine's clock")
	case UnknownIssuer:
		return bad("nobody whom the kubeconfig trusts has signed it").seen(step.Says).
			next("a cluster that was made anew has another authority: "+renewSettings(f), "a proxy that opens TLS has one, too: give it as certificate-authority, or go around the proxy (NO_PROXY="+n.Host+")")
	case WrongName:
		return bad("is not for %s", n.Host).seen(step.Says).
			next("name the server as its certificate does, or set tls-server-name of the cluster in the kubeconfig")
	case NotTLS:
		return bad("the server speaks no TLS").seen(step.Says).next("see that the port is the API server's; a server on this machine may want http://")
	}
	return bad("TLS fails").seen(step.Says).next("see that the port is the API server's, and that nothing on the way cuts connections")
}

func answer(c Cluster) Finding {
	a := c.Answer
	switch {
	case a == nil:
		return skipped("not looked at")
	case a.Trouble == "" && a.Version == "":
		return good("answers, and tells its version only to those who have logged in").seen(a.Seen...)
	case a.Trouble == "":
		return good("answers, Kubernetes %s", a.Version)
	case a.Err != nil:
		return failedAt("cannot be asked", a.Err, c.Azure)
	case a.Trouble == Silent:
		return bad("accepts connections, and does not answer").seen(a.Says).next("see whether it is overloaded, or whether a proxy or load balancer answers in its place")
	case a.Trouble == Unwell:
		return bad("answers that it cannot serve").seen(a.Says).next("see how it is, and try again later: " + c.Kubectl + " get --raw '/readyz?verbose'")
	}
	return bad("what answers is no Kubernetes").seen(a.Says).next("correct the server's URL: " + c.Server)
}

// login explains whether the credentials are taken, and for whom.
func login(f Facts) Finding {
	l := f.Cluster.Login
	switch {
	case l == nil:
		return skipped("not looked at")
	case l.Trouble == NotAsked:
		return good("the credentials are taken; whose they are, this cluster does not tell").seen(l.Says)
	case l.Trouble == "":
		found := good("as %s", l.User)
		if len(l.Groups) > 0 {
			found = found.seen("in the groups " + strings.Join(l.Groups, ", "))
		}
		return found
	case l.Trouble == Anonymous:
		return bad("no credentials arrived: the cluster takes this run for nobody").seen(l.Says).next(renew(f))
	case l.Trouble == Unhelped:
		return bad("the program that makes the credentials gave none").seen(l.Says).
			next("run it as a person and read what it says: "+f.Cluster.Kubectl+" get --raw /version", "a program that opens a browser cannot work in a pipeline: for AKS, kubelogin convert-kubeconfig -l azurecli (or -l workloadidentity)")
	case l.Trouble == Silent:
		return bad("the API server does not answer").seen(l.Says)
	case l.Err != nil:
		return failedAt("could not be tried", l.Err, f.Cluster.Azure)
	case l.Trouble != NotTaken:
		return bad("could not be tried").seen(l.Says)
	}
	found := bad("the API server does not take the credentials").seen(l.Says)
	if p := presented(f.Cluster.Credential); p != "" {
		found = found.seen(p)
	}
	found = found.next(renew(f))
	if onAzure(f.Cluster) {
		found = found.next("a token must be for the server's application, 6dae42f8-4368-4678-94ff-3960e28e3630, and of the tenant of the cluster: az aks show " + named(f.Cluster.Azure) + " --query aadProfile.tenantId")
	}
	return found
}

func presented(c *Credential) string {
	if c == nil || c.Presented == nil {
		return ""
	}
	return "presented was a token " + c.Presented.String()
}

func whichCluster(f Facts) Finding {
	i := f.Cluster.Identity
	switch {
	case i == nil:
		return skipped("not looked at")
	case i.Mismatch != nil:
		return failed("it is not the one that sluice.yaml names", i.Mismatch)
	case i.PinError != nil && fault.Is(i.PinError, fault.Usage):
		return failed("it is not the one that the namespace is pinned to", i.PinError)
	case i.PinError != nil:
		found := failed("whether the namespace is pinned to it could not be found out", i.PinError)
		if i.Named != "" {
			found.Severity = Warning
		}
		return found
	case i.Named != "":
		return good("%s, as sluice.yaml says", i.Named)
	case i.Pinned:
		return good("%s, to which the namespace is pinned", i.Name)
	}
	found := good("%s; the first rollout pins the namespace to it", i.Name)
	if !i.Readable {
		found.Severity = Warning
		found = found.seen("the UID of the namespace kube-system, which no other cluster has, may not be read").
			next(fmt.Sprintf("let it be read, by the ClusterRole %s of docs/operations/rbac, or name the server in environments.%s.cluster.identity: %s", rbac.Identity().Name, f.Environment, f.Cluster.Server))
	}
	return found
}

func namespace(f Facts) Finding {
	n := f.Cluster.Namespace
	create := fmt.Sprintf("with a context of theirs for %s: kubectl create namespace %s", f.Cluster.Server, f.Namespace)
	switch {
	case n == nil:
		return skipped("not looked at")
	case n.Err != nil:
		return failed("could not be looked at", n.Err)
	case n.Exists:
		return good("is there")
	case n.Hidden:
		return Finding{Severity: Warning, Title: "whether it is there may not be asked; a deployment takes it to be"}.
			next("where it is not, somebody who may runs, " + create)
	case n.MayCreate:
		return good("is not there yet; the first deployment makes it")
	}
	return bad("is not there, and may not be made").next("somebody who may runs, " + create)
}
