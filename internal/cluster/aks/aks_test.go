package aks_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/cluster"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/test/arm"
	"github.com/sluice-dev/sluice/test/proxy"
)

func TestEntraCluster(t *testing.T) {
	w := newWorld(t, nil)
	access, err := w.finder(t).Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if access.Server != w.api.URL || len(access.CA) == 0 || access.Transport != nil || access.Certificate != nil || access.Interval != 0 || len(access.Notices) > 0 {
		t.Errorf("the way is %+v", access)
	}
	if text := fmt.Sprintf("%v %+v %#v", access, access, access); !strings.Contains(text, arm.ID+" at "+w.api.URL) || strings.Contains(text, "CERTIFICATE") {
		t.Errorf("it prints as %s", text)
	}
	for _, step := range []struct {
		pass time.Duration
		asks int
	}{{0, 1}, {54 * time.Minute, 1}, {2 * time.Minute, 2}} {
		w.clock.pass(step.pass)
		token, expires, err := access.Token(t.Context())
		if err != nil || token != clusterToken || expires.Sub(w.clock.Now()) < 5*time.Minute {
			t.Errorf("token %q until %v at %v: %v", token, expires, w.clock.Now(), err)
		}
		if n := len(slices.DeleteFunc(slices.Clone(w.credential.asked), func(s string) bool { return !strings.HasPrefix(s, arm.ServerApplication) })); n != step.asks {
			t.Errorf("%d tokens were asked for, and not %d", n, step.asks)
		}
	}
	w.credential.scopeErr = errors.New("Entra ID is away")
	w.clock.pass(56 * time.Minute)
	if token, _, err := access.Token(t.Context()); err != nil || token != clusterToken {
		t.Errorf("the old token still holds, and it gave %q, %v", token, err)
	}
	w.clock.pass(5 * time.Minute)
	if token, _, err := access.Token(t.Context()); token != "" || !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "Entra ID is away") {
		t.Errorf("after its end it gave %q, %v", token, err)
	}
}

func TestLocalAccounts(t *testing.T) {
	w := newWorld(t, nil)
	w.Set(func(c *arm.Cluster) { c.Entra, c.Certificate, c.Key = false, []byte("certificate"), []byte("key") })
	access, err := w.finder(t).Find(t.Context())
	if err != nil || access.Token != nil || string(access.Certificate) != "certificate" || string(access.Key) != "key" {
		t.Errorf("the way is %+v, %v", access, err)
	}
	if slices.ContainsFunc(w.credential.asked, func(s string) bool { return strings.HasPrefix(s, arm.ServerApplication) }) {
		t.Error("a token was asked for that the cluster does not take")
	}
	w.Set(func(c *arm.Cluster) { c.Certificate, c.Key = nil, nil })
	if _, err := w.finder(t).Find(t.Context()); err == nil || !strings.Contains(fault.HintOf(err), "--enable-aad") {
		t.Errorf("without any credentials: %v", err)
	}
}

// A server that is not the one that was asked for gets neither a token nor a certificate.
func TestWrongCluster(t *testing.T) {
	for name, change := range map[string]func(c *arm.Cluster){
		"another resource": func(c *arm.Cluster) { c.ID = strings.Replace(arm.ID, arm.Name, "staging", 1) },
		"another server":   func(c *arm.Cluster) { c.Host = "shop.hcp.westeurope.azmk8s.io" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.Set(change)
			access, err := w.finder(t).Find(t.Context())
			if access != nil || !fault.Is(err, fault.Unreachable) || !strings.Contains(fault.HintOf(err), "nothing was sent to a cluster") {
				t.Errorf("it gave %v, %v", access, err)
			}
		})
	}
}

func TestOutOfReach(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	mute := "https://" + silent.Addr().String()
	var private *cluster.Private
	var restricted *cluster.Restricted
	for name, c := range map[string]struct {
		when   v1alpha1.RunCommand
		change func(c *arm.Cluster)
		want   any
		cure   string
	}{
		"private, its name unknown":       {v1alpha1.RunCommandNever, func(c *arm.Cluster) { c.Private, c.Server = true, away }, &private, "self-hosted agent in its network; or allow the slow way"},
		"private, no answer":              {v1alpha1.RunCommandNever, func(c *arm.Cluster) { c.Private, c.Server = true, mute }, &private, "self-hosted agent"},
		"private, commands disabled":      {v1alpha1.RunCommandFallback, func(c *arm.Cluster) { c.Private, c.Server, c.NoCommands = true, away, true }, &private, "disabled in this cluster"},
		"an address that is not let in":   {v1alpha1.RunCommandFallback, func(c *arm.Cluster) { c.Ranges, c.Server = []string{"203.0.113.0/24"}, mute }, &restricted, "--api-server-authorized-ip-ranges"},
		"private, carried":                {v1alpha1.RunCommandFallback, func(c *arm.Cluster) { c.Private, c.Server = true, away }, nil, ""},
		"private, but reachable":          {v1alpha1.RunCommandFallback, func(c *arm.Cluster) { c.Private = true }, nil, ""},
		"an address that is let in":       {v1alpha1.RunCommandFallback, func(c *arm.Cluster) { c.Ranges = []string{"127.0.0.0/8"} }, nil, ""},
		"reachable, and carried always":   {v1alpha1.RunCommandAlways, func(*arm.Cluster) {}, nil, ""},
		"carried always, but is disabled": {v1alpha1.RunCommandAlways, func(c *arm.Cluster) { c.NoCommands = true }, nil, "disableRunCommand"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.spec.RunCommand = c.when
			w.Set(c.change)
			access, err := w.finder(t).Find(t.Context())
			if c.cure != "" {
				if !fault.Is(err, fault.Unreachable) || c.want != nil && !errors.As(err, c.want) || !strings.Contains(fault.HintOf(err), c.cure) {
					t.Errorf("it gave %v, %v; its cure %q", access, err, fault.HintOf(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			carried := strings.Contains(name, "carried")
			if carried != (access.Transport != nil) || carried != (access.Interval > 0) || carried != (access.Token == nil) {
				t.Errorf("the way is %+v", access)
			}
			if carried && (len(access.Notices) != 1 || !strings.Contains(access.Notices[0], "run-command API of AKS. That is slow")) {
				t.Errorf("it says %q", access.Notices)
			}
		})
	}
}

func TestStopped(t *testing.T) {
	w := newWorld(t, nil)
	w.Set(func(c *arm.Cluster) { c.Stopped = true })
	_, err := w.finder(t).Find(t.Context())
	var stopped *cluster.Stopped
	if !errors.As(err, &stopped) || !fault.Is(err, fault.Unreachable) || !strings.Contains(fault.HintOf(err), "az aks start") {
		t.Errorf("it failed with %v", err)
	}
}

func TestDenied(t *testing.T) {
	for action, role := range map[string]string{
		"read":                             "Azure Kubernetes Service Cluster User Role",
		"listClusterUserCredential/action": "Azure Kubernetes Service Cluster User Role",
		"runCommand/action":                "Contributor",
		"commandResults/read":              "Contributor",
	} {
		t.Run(action, func(t *testing.T) {
			w := newWorld(t, nil)
			w.spec.RunCommand = v1alpha1.RunCommandAlways
			action = "Microsoft.ContainerService/managedClusters/" + action
			w.Deny(action)
			access, err := w.finder(t).Find(t.Context())
			if err == nil {
				_, err = get(t.Context(), access, "/version")
			}
			var denied *cluster.Denied
			if !errors.As(err, &denied) || !fault.Is(err, fault.Unreachable) {
				t.Fatalf("it failed with %v", err)
			}
			if denied.Principal != arm.Principal || denied.Action != action || denied.Scope != arm.ID || denied.Role != role {
				t.Errorf("it says %+v", denied)
			}
			want := "az role assignment create --assignee " + arm.Principal + " --role \"" + role + "\" --scope " + arm.ID
			if !strings.Contains(fault.HintOf(err), want) || denied.Command() != want {
				t.Errorf("its cure is %q", fault.HintOf(err))
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	refuse := func(status int, code, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { arm.Refuse(w, status, code, message) }
	}
	for name, c := range map[string]struct {
		spec     func(*v1alpha1.AKS)
		fault    http.HandlerFunc
		kind     fault.Kind
		says     string
		cure     string
		requests int
	}{
		"another subscription": {func(a *v1alpha1.AKS) { a.Subscription = "99999999-2222-3333-4444-555555555555" }, nil, fault.NotFound, "there is no subscription 99999999", "az account list", 1},
		"another group":        {func(a *v1alpha1.AKS) { a.ResourceGroup = "shoop" }, nil, fault.NotFound, "there is no resource group shoop", "az aks list", 1},
		"another name":         {func(a *v1alpha1.AKS) { a.Name = "prod" }, nil, fault.NotFound, "there is no cluster prod in resource group shop", "az aks list", 1},
		"another directory": {nil, refuse(401, "InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer"), fault.Unreachable,
			"does not accept the token: InvalidAuthenticationTokenTenant: The access token is from the wrong issuer", "az account show", 1},
		"an expired token":     {nil, refuse(401, "ExpiredAuthenticationToken", "expired"), fault.Unreachable, "does not accept the token", "az login", 1},
		"a deny assignment":    {nil, refuse(403, "DenyAssignmentAuthorizationFailed", "because of the deny assignment 'x'"), fault.Unreachable, "forbidden: DenyAssignment", "deny assignment", 1},
		"local accounts":       {nil, refuse(400, "BadRequest", "Getting static credential is not allowed because this cluster is set to disable local accounts."), fault.Unreachable, "its local accounts are disabled", "--enable-aad", 1},
		"throttled":            {nil, proxy.Answer(429, `{"error":{"code":"TooManyRequests"}}`, "Retry-After", "7"), fault.Unreachable, "throttled: it takes no more requests for now (asked 4 times)", "wait some minutes", 4},
		"throttled for long":   {nil, proxy.Answer(429, "", "Retry-After", "300"), fault.Unreachable, "it asks to come back in 5m0s", "wait some minutes", 1},
		"broken":               {nil, refuse(500, "InternalServerError", "oops"), fault.Unreachable, "answered 500 InternalServerError oops (asked 4 times)", "health of Azure", 4},
		"away":                 {nil, proxy.Reset, fault.Unreachable, "Azure Resource Manager does not answer: EOF", "check the network", 4},
		"half an answer":       {nil, proxy.Cut(`{"id":`), fault.Unreachable, "does not answer: unexpected EOF (asked 4 times)", "check the network", 4},
		"a sign-in page":       {nil, proxy.Answer(200, "<html>"), fault.Unreachable, "does not answer as Azure Resource Manager does", "sign-in page", 1},
		"a proxy's refusal":    {nil, proxy.Answer(403, "<html>"), fault.Unreachable, "does not answer as Azure Resource Manager does: status 403", "sign-in page", 1},
		"something else":       {nil, refuse(409, "OperationNotAllowed", "an upgrade\nis under way"), fault.Unreachable, "answered 409 OperationNotAllowed: an upgrade is under way", "az aks show", 1},
		"an answer without id": {nil, proxy.Answer(200, "{}"), fault.Unreachable, `answered with ""`, "proxy", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			if c.spec != nil {
				c.spec(&w.spec)
			}
			w.Fault(func(*http.Request) http.HandlerFunc { return c.fault })
			access, err := w.finder(t).Find(t.Context())
			if access != nil || !fault.Is(err, c.kind) || !strings.Contains(err.Error(), "AKS cluster "+w.spec.Name) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it gave %v, %v (%s)", access, err, fault.KindOf(err))
			}
			if !strings.Contains(fault.HintOf(err), c.cure) {
				t.Errorf("its cure is %q", fault.HintOf(err))
			}
			// Go's client asks again by itself where a connection breaks before an answer.
			if n := len(w.Requests()); n != c.requests && name != "away" {
				t.Errorf("%d requests: %v", n, w.Requests())
			}
		})
	}
}

func TestThrottlingIsWaitedOut(t *testing.T) {
	w := newWorld(t, nil)
	n := 0
	w.Fault(func(*http.Request) http.HandlerFunc {
		if n++; n < 3 {
			return proxy.Answer(429, "", "Retry-After", "7")
		}
		return nil
	})
	if _, err := w.finder(t).Find(t.Context()); err != nil {
		t.Error(err)
	}
	if waits := w.clock.waits(); !slices.Equal(waits, []time.Duration{7 * time.Second, 7 * time.Second}) {
		t.Errorf("it waited %v", waits)
	}
}

func TestNotSignedIn(t *testing.T) {
	w := newWorld(t, nil)
	w.credential.err = errors.New("tried az login: not signed in")
	_, err := w.finder(t).Find(t.Context())
	if !fault.Is(err, fault.Unreachable) || !errors.Is(err, w.credential.err) || !strings.Contains(fault.HintOf(err), "az login") {
		t.Errorf("it failed with %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newWorld(t, nil).finder(t).Find(ctx); !fault.Is(err, fault.Interrupted) {
		t.Errorf("an interruption is %v", err)
	}
}

func TestKubeconfigsOfNobody(t *testing.T) {
	for name, text := range map[string]string{
		"none":        `{"kubeconfigs":[]}`,
		"no YAML":     `{"kubeconfigs":[{"name":"clusterUser","value":"e30KLS0t"}]}`,
		"plain HTTP":  `{"kubeconfigs":[{"value":"` + b64(`{"clusters":[{"cluster":{"server":"http://a"}}],"users":[{"user":{"token":"c4nary"}}]}`) + `"}]}`,
		"two servers": `{"kubeconfigs":[{"value":"` + b64(`{"clusters":[{},{}],"users":[{"user":{"token":"c4nary"}}]}`) + `"}]}`,
		"a form":      `{"kubeconfigs":"c4nary"}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.Fault(func(r *http.Request) http.HandlerFunc {
				if strings.HasSuffix(r.URL.Path, "/listClusterUserCredential") {
					return proxy.Answer(200, text)
				}
				return nil
			})
			_, err := w.finder(t).Find(t.Context())
			if !fault.Is(err, fault.Unreachable) || strings.Contains(fmt.Sprintf("%v %#v", err, err), "c4nary") {
				t.Errorf("it failed with %v", err)
			}
		})
	}
}
