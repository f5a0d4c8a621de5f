package doctor

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/cluster"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/rbac"
)

func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// healthy are the facts of an environment that lacks nothing; change says what is otherwise.
func healthy(change func(f *Facts)) Facts {
	f := Facts{
		Environment: "prod", Namespace: "shop", Now: now(),
		Cluster: Cluster{
			Way: `context "prod"`, Kubectl: "kubectl --context prod", Server: "https://api.example.com:6443",
			Credential: &Credential{Kind: "a token", Owner: "ci"},
			Network: &Network{
				Host: "api.example.com", Port: "6443", Addresses: []string{"203.0.113.7"}, Resolve: &Step{}, Dial: &Step{}, Shake: &Step{},
			},
			Answer: &Answer{Version: "v1.36.3"}, Login: &Login{User: "ci"},
			Identity:  &Identity{Name: "uid-1", Readable: true, Pinned: true},
			Namespace: &Namespace{Exists: true},
			Sources:   []Source{{Name: "requests of app"}},
			Access:    []Access{{Right: rbac.Right{Verb: "get", Resource: "secrets", Why: "Helm's releases"}, Namespace: "shop", Allowed: true}},
		},
		Repositories: []Repository{{Name: "registry.example.com/shop/app"}},
		Store:        &Store{Name: "sops file env/prod.enc.yaml", Variables: []Variable{{Name: "DB_PASSWORD", Users: []string{"app"}, Version: "1"}}},
	}
	if change != nil {
		change(&f)
	}
	return f
}

// find returns the first finding with a code.
func find(t *testing.T, r Report, code string) Finding {
	t.Helper()
	for _, s := range r.Sections {
		for _, f := range s.Findings {
			if f.Code == code {
				return f
			}
		}
	}
	t.Fatalf("no finding %s in %+v", code, r)
	return Finding{}
}

// says holds all that a finding tells.
func says(f Finding) string {
	return strings.Join(append(append([]string{string(f.Severity), f.Title}, f.Evidence...), f.Next...), "\n")
}

func TestHealthy(t *testing.T) {
	r := Connect(healthy(nil))
	for _, s := range r.Sections {
		for _, f := range s.Findings {
			if f.Severity != OK || len(f.Next) > 0 {
				t.Errorf("%s: %+v", s.Name, f)
			}
		}
	}
	if len(r.Sections) != 5 || r.Count(OK) < 12 {
		t.Errorf("%d sections, %d checks", len(r.Sections), r.Count(OK))
	}
}

// TestFindings changes one fact, and looks at the finding of it: severity, evidence and what to do.
func TestFindings(t *testing.T) {
	denied := &cluster.Denied{Principal: "11111111-aaaa", Action: "Microsoft.ContainerService/managedClusters/read", Scope: "/subscriptions/s/x", Role: "Reader"}
	for name, test := range map[string]struct {
		change func(f *Facts)
		code   string
		want   []string
	}{
		"no such context": {
			func(f *Facts) {
				f.Cluster.Settings = fault.New(fault.NotFound, "cluster", `no context "prd"`).WithHint("known: prod")
			}, "cluster.settings", []string{"failed", `no context "prd"`, "known: prod"},
		},
		"a role is missing in Azure": {
			func(f *Facts) { f.Cluster.Settings = fault.Wrap(fault.Unreachable, "find the cluster", denied) },
			"cluster.settings", []string{"failed", "11111111-aaaa may not do Microsoft.ContainerService/managedClusters/read", `az role assignment create --assignee 11111111-aaaa --role "Reader" --scope /subscriptions/s/x`, "az role assignment list"},
		},
		"a private API server": {
			func(f *Facts) {
				f.Cluster.Settings = fault.Wrap(fault.Unreachable, "find", &cluster.Private{Server: "https://p.example.com", Err: errors.New("no such host")})
			}, "cluster.settings", []string{"failed", "private", "self-hosted runner", "az aks command invoke"},
		},
		"addresses that are let in": {
			func(f *Facts) {
				f.Cluster.Settings = &cluster.Restricted{Server: "https://p.example.com", Ranges: []string{"192.0.2.0/24"}, Err: errors.New("timeout")}
			}, "cluster.settings", []string{"failed", "192.0.2.0/24", "--api-server-authorized-ip-ranges 192.0.2.0/24,ADDRESS/32"},
		},
		"a stopped cluster": {
			func(f *Facts) {
				f.Cluster.Azure = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/shop"
				f.Cluster.Settings = &cluster.Stopped{Name: "shop", State: "Stopped"}
			},
			"cluster.settings", []string{"failed", "not running", "az aks start --resource-group rg --name shop"},
		},
		"a notice": {
			func(f *Facts) { f.Cluster.Notices = []string{"requests are carried by run-command"} },
			"cluster.settings", []string{"warning", "run-command"},
		},
		"no credentials": {func(f *Facts) { f.Cluster.Credential = &Credential{} }, "cluster.credentials", []string{"warning", "there are none", "log in"}},
		"an expired certificate": {
			func(f *Facts) {
				f.Cluster.Credential = &Credential{Kind: "a client certificate", Expires: now().Add(-time.Hour)}
			}, "cluster.credentials", []string{"failed", "expired at 2026-01-02T02:04:05Z"},
		},
		"a certificate that expires tomorrow": {
			func(f *Facts) {
				f.Cluster.Credential = &Credential{Kind: "a client certificate", Expires: now().Add(24 * time.Hour)}
			}, "cluster.credentials", []string{"warning", "expires at"},
		},
		"a token of an hour": {
			func(f *Facts) {
				f.Cluster.Credential = &Credential{Kind: "a token", Presented: &identity.Claims{Issuer: "https://issuer", Subject: "ci"}, Expires: now().Add(time.Hour)}
			}, "cluster.credentials", []string{"ok", "presented issuer https://issuer, subject ci"},
		},
		"kubelogin is not there": {
			func(f *Facts) { f.Cluster.Credential = &Credential{Kind: "x", Program: "kubelogin", Absent: true} },
			"cluster.credentials", []string{"failed", "kubelogin", "az aks install-cli"},
		},
		"no such name": {
			func(f *Facts) { f.Cluster.Network.Resolve = &Step{Trouble: NoSuchName, Says: "no such host"} },
			"cluster.name", []string{"failed", "DNS knows no api.example.com", "no such host"},
		},
		"the name of a private cluster": {
			func(f *Facts) {
				f.Cluster.Network.Host, f.Cluster.Network.Resolve = "shop.privatelink.westeurope.azmk8s.io", &Step{Trouble: NoSuchName, Says: "no such host"}
			}, "cluster.name", []string{"failed", "private", "self-hosted runner"},
		},
		"no resolver":    {func(f *Facts) { f.Cluster.Network.Resolve = &Step{Trouble: NoResolver} }, "cluster.name", []string{"failed", "could not be asked"}},
		"nobody listens": {func(f *Facts) { f.Cluster.Network.Dial = &Step{Trouble: Refused} }, "cluster.connection", []string{"failed", "nobody listens at api.example.com:6443"}},
		"silence":        {func(f *Facts) { f.Cluster.Network.Dial = &Step{Trouble: Silent} }, "cluster.connection", []string{"failed", "does not answer", "firewall"}},
		"silence of a private address": {
			func(f *Facts) {
				f.Cluster.Network.Addresses, f.Cluster.Network.Dial = []string{"10.1.2.3"}, &Step{Trouble: Silent}
			}, "cluster.connection", []string{"failed", "private one", "VPN"},
		},
		"silence of a private address of AKS": {
			func(f *Facts) {
				f.Cluster.Azure = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/shop"
				f.Cluster.Network.Addresses, f.Cluster.Network.Dial = []string{"10.1.2.3"}, &Step{Trouble: Silent}
			}, "cluster.connection", []string{"failed", "private", "az aks command invoke --resource-group rg --name shop"},
		},
		"an expired server":   {func(f *Facts) { f.Cluster.Network.Shake = &Step{Trouble: Expired} }, "cluster.certificate", []string{"failed", "has expired", "clock"}},
		"an unknown issuer":   {func(f *Facts) { f.Cluster.Network.Shake = &Step{Trouble: UnknownIssuer} }, "cluster.certificate", []string{"failed", "trusts", "NO_PROXY=api.example.com"}},
		"another's name":      {func(f *Facts) { f.Cluster.Network.Shake = &Step{Trouble: WrongName} }, "cluster.certificate", []string{"failed", "not for api.example.com", "tls-server-name"}},
		"no TLS":              {func(f *Facts) { f.Cluster.Network.Shake = &Step{Trouble: NotTLS} }, "cluster.certificate", []string{"failed", "no TLS"}},
		"verification is off": {func(f *Facts) { f.Cluster.Network.Unverified = true }, "cluster.certificate", []string{"warning", "insecure-skip-tls-verify"}},
		"plain HTTP":          {func(f *Facts) { f.Cluster.Network.Plain, f.Cluster.Network.Shake = true, nil }, "cluster.certificate", []string{"warning", "plain HTTP"}},
		"plain HTTP at home": {
			func(f *Facts) {
				f.Cluster.Network.Plain, f.Cluster.Network.Shake, f.Cluster.Network.Addresses = true, nil, []string{"127.0.0.1", "::1"}
			}, "cluster.certificate", []string{"ok", "this machine"},
		},
		"something else answers": {func(f *Facts) { f.Cluster.Answer = &Answer{Step: Step{Trouble: Other}} }, "cluster.answer", []string{"failed", "no Kubernetes"}},
		"it is unwell":           {func(f *Facts) { f.Cluster.Answer = &Answer{Step: Step{Trouble: Unwell}} }, "cluster.answer", []string{"failed", "cannot serve", "readyz"}},
		"credentials are not taken": {
			func(f *Facts) {
				f.Cluster.Server = "https://shop.hcp.westeurope.azmk8s.io:443"
				f.Cluster.Credential.Presented = &identity.Claims{Issuer: "https://sts", Subject: "ci", Audience: []string{"wrong"}}
				f.Cluster.Login = &Login{Step: Step{Trouble: NotTaken, Says: "Unauthorized"}}
			}, "cluster.login", []string{"failed", "does not take", "presented was a token by issuer https://sts for subject ci and audience wrong", "az aks get-credentials", "6dae42f8"},
		},
		"nobody logs in":    {func(f *Facts) { f.Cluster.Login = &Login{Step: Step{Trouble: Anonymous}} }, "cluster.login", []string{"failed", "nobody"}},
		"a program refuses": {func(f *Facts) { f.Cluster.Login = &Login{Step: Step{Trouble: Unhelped}} }, "cluster.login", []string{"failed", "kubectl --context prod get --raw /version", "kubelogin convert-kubeconfig"}},
		"an old cluster":    {func(f *Facts) { f.Cluster.Login = &Login{Step: Step{Trouble: NotAsked}} }, "cluster.login", []string{"ok", "taken"}},
		"another cluster": {
			func(f *Facts) {
				f.Cluster.Identity.Mismatch = fault.New(fault.Usage, "identity", "sluice.yaml says a, but this is b").WithHint("correct it")
			}, "cluster.identity", []string{"failed", "sluice.yaml says a", "correct it"},
		},
		"pinned to another cluster": {
			func(f *Facts) { f.Cluster.Identity.PinError = fault.New(fault.Usage, "identity", "was pinned to a") },
			"cluster.identity", []string{"failed", "pinned to", "was pinned to a"},
		},
		"nothing pinned, and the UID is hidden": {
			func(f *Facts) { f.Cluster.Identity = &Identity{Name: "https://api.example.com:6443"} },
			"cluster.identity", []string{"warning", "sluice-identity", "environments.prod.cluster.identity"},
		},
		"no namespace, and none may be made": {func(f *Facts) { f.Cluster.Namespace = &Namespace{} }, "cluster.namespace", []string{"failed", "kubectl create namespace shop"}},
		"no namespace yet":                   {func(f *Facts) { f.Cluster.Namespace = &Namespace{MayCreate: true} }, "cluster.namespace", []string{"ok", "makes it"}},
		"a hidden namespace":                 {func(f *Facts) { f.Cluster.Namespace = &Namespace{Hidden: true} }, "cluster.namespace", []string{"warning", "kubectl create namespace shop"}},
		"the chart cannot be rendered":       {func(f *Facts) { f.Cluster.Notes = []Note{{Title: "not rendered", Next: "sluice check"}} }, "rights.chart", []string{"warning", "sluice check"}},
		"rights cannot be asked for":         {func(f *Facts) { f.Cluster.Access[0].Allowed, f.Cluster.Access[0].Err = false, errors.New("gone") }, "rights.unknown", []string{"failed", "get secrets", "gone"}},
		"a registry that cannot be read": {
			func(f *Facts) {
				f.Repositories[0].Read = fault.New(fault.Unreachable, "list", "refuses the credentials").WithHint("docker login")
			}, "registry.read", []string{"failed", "refuses the credentials", "docker login", "as nobody"},
		},
		"a registry that is only read": {func(f *Facts) { f.Repositories[0].Write = errors.New("denied") }, "registry.write", []string{"warning", "denied", "sluice build"}},
		"a registry that is copied to": {func(f *Facts) { f.Repositories[0].Write, f.Repositories[0].Writes = errors.New("denied"), true }, "registry.write", []string{"failed", "denied"}},
		"the same trouble twice": {func(f *Facts) {
			f.Repositories[0].Read, f.Repositories[0].Write = errors.New("down"), errors.New("down")
		}, "registry.write", []string{"skipped"}},
		"a store that is down": {func(f *Facts) {
			f.Store.Err = fault.New(fault.Unreachable, "read", "no answer").WithHint("vault status")
		}, "variables.store", []string{"failed", "no answer", "vault status"}},
		"a store behind the cluster": {func(f *Facts) { f.Store.Blocked = true }, "variables.store", []string{"skipped", "not reached"}},
		"a variable that is missing": {func(f *Facts) { f.Store.Variables[0].Err = errors.New("there is none") }, "variables.variable", []string{"failed", "there is none", "taken by app"}},
		"a source that cannot be read": {func(f *Facts) {
			f.Cluster.Sources[0].Err = fault.New(fault.Usage, "count", "Traefik does not count at 200ms").WithHint("take 300ms")
		}, "analysis.source", []string{"failed", "requests of app", "does not count at 200ms", "take 300ms"}},
		"a source that has counted nothing": {func(f *Facts) { f.Cluster.Sources[0].Nothing = "no request yet" }, "analysis.source", []string{"ok", "no request yet"}},
		"a variable that expires":           {func(f *Facts) { f.Store.Variables[0].Expires = now().Add(time.Hour) }, "variables.variable", []string{"warning", "2026-01-02T04:04:05Z", "renew"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := find(t, Connect(healthy(test.change)), test.code)
			text := says(f)
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q:\n%s", want, text)
				}
			}
			if f.Severity != Severity(test.want[0]) {
				t.Errorf("it is %s", f.Severity)
			}
		})
	}
}

// TestFailuresHideOnlyWhatNeedsThem goes along the way, and breaks it at each step.
func TestFailuresHideOnlyWhatNeedsThem(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(c *Cluster)
		broken  string
		skipped int
	}{
		"settings":    {func(c *Cluster) { *c = Cluster{Settings: errors.New("none")} }, "cluster.settings", 8},
		"name":        {func(c *Cluster) { c.Network.Resolve, c.Access = &Step{Trouble: NoSuchName}, nil }, "cluster.name", 7},
		"certificate": {func(c *Cluster) { c.Network.Shake, c.Access = &Step{Trouble: Expired}, nil }, "cluster.certificate", 5},
		"login":       {func(c *Cluster) { c.Login, c.Access = &Login{Step: Step{Trouble: NotTaken}}, nil }, "cluster.login", 3},
		"identity":    {func(c *Cluster) { c.Identity.Mismatch = errors.New("another") }, "cluster.identity", 0},
		"namespace":   {func(c *Cluster) { c.Namespace = &Namespace{} }, "cluster.namespace", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := Connect(healthy(func(f *Facts) { test.change(&f.Cluster) }))
			if got := find(t, r, test.broken).Severity; got != Failed {
				t.Errorf("%s is %s", test.broken, got)
			}
			if r.Count(Failed) != 1 || r.Count(Skipped) != test.skipped {
				t.Errorf("%d failed, %d skipped, want 1 and %d: %+v", r.Count(Failed), r.Count(Skipped), test.skipped, r)
			}
			for _, code := range []string{"registry.read", "variables.variable"} {
				if got := find(t, r, code).Severity; got != OK {
					t.Errorf("%s is %s", code, got)
				}
			}
		})
	}
}

func TestRights(t *testing.T) {
	f := healthy(func(f *Facts) {
		right := func(verb, group, resource, namespace string, useful, allowed bool, reason string) Access {
			return Access{Right: rbac.Right{Verb: verb, Group: group, Resource: resource, Why: "why"}, Namespace: namespace, Useful: useful, Allowed: allowed, Reason: reason}
		}
		f.Cluster.Login.User = "system:serviceaccount:ci:runner"
		f.Cluster.Access = []Access{
			right("get", "", "secrets", "shop", false, true, ""), right("create", "", "secrets", "shop", false, false, "no rule"), right("patch", "", "secrets", "shop", false, false, "no rule"),
			right("patch", "apps", "deployments/scale", "shop", false, false, ""), right("watch", "", "pods", "shop", true, false, ""),
			right("create", "rbac.authorization.k8s.io", "clusterroles", "", false, false, ""),
		}
	})
	s := rights(f)
	var got []string
	for _, f := range s.Findings {
		got = append(got, string(f.Severity)+" "+f.Title)
	}
	want := []string{
		"failed may not create, patch secrets in shop", "failed may not patch deployments.apps/scale in shop", "warning may not watch pods in shop",
		"failed may not create clusterroles.rbac.authorization.k8s.io in the cluster",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(s.Next) != 2 {
		t.Fatalf("steps: %q", s.Next)
	}
	for _, want := range []string{
		"kind: Role\n", "namespace: shop}", `- {apiGroups: [""], resources: [secrets], verbs: [get, create, patch]}`, `- {apiGroups: ["apps"], resources: [deployments/scale], verbs: [patch]}`,
		"- {kind: ServiceAccount, name: runner, namespace: ci}", "https://api.example.com:6443",
	} {
		if !strings.Contains(s.Next[0], want) {
			t.Errorf("the manifest has no %q:\n%s", want, s.Next[0])
		}
	}
	if !strings.Contains(s.Next[1], "kind: ClusterRoleBinding") || strings.Contains(s.Next[0], "clusterroles") {
		t.Errorf("what belongs to no namespace is given in it: %q", s.Next)
	}
}

func TestRightsThatAzureKeeps(t *testing.T) {
	f := healthy(func(f *Facts) {
		f.Cluster.Azure, f.Cluster.Login.User = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/shop", "22222222-bbbb"
		f.Cluster.Access[0].Allowed, f.Cluster.Access[0].Reason = false, "User does not have access to the resource in Azure. Update role assignment to allow access."
	})
	want := "az role assignment create --assignee 22222222-bbbb --role \"Azure Kubernetes Service RBAC Writer\" --scope " + f.Cluster.Azure + "/namespaces/shop"
	if next := strings.Join(rights(f).Next, "\n"); !strings.Contains(next, want) || strings.Contains(next, "kind: Role") {
		t.Errorf("steps: %s", next)
	}
}
