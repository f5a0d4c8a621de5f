package app

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	port "github.com/sluice-dev/sluice/internal/cluster"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

func inAzure() v1alpha1.Cluster {
	return v1alpha1.Cluster{AKS: &v1alpha1.AKS{Subscription: "11111111-2222-3333-4444-555555555555", ResourceGroup: "shop", Name: "production"}}
}

// TestAKSToken holds that each request bears the token of its moment, and that every token is masked.
func TestAKSToken(t *testing.T) {
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		http.Error(w, `{"kind":"Status","apiVersion":"v1","code":403,"reason":"Forbidden"}`, http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	token, failure := "first-token-0123456789", error(nil)
	secrets := &variables.Masker{}
	a, spec := New(Options{Secrets: secrets}), inAzure()
	a.found[*spec.AKS] = &port.Access{Name: spec.AKS.ID(), Server: server.URL, Token: func(context.Context) (string, time.Time, error) {
		return token, time.Time{}, failure
	}}
	for _, token = range []string{token, "second-token-0123456789"} {
		c, err := a.connect(t.Context(), "prod", spec)
		if err != nil || c.server != server.URL || c.interval != 0 {
			t.Fatalf("connected to %+v: %v", c, err)
		}
		if said := secrets.String("it was " + token); strings.Contains(said, token) {
			t.Errorf("the token is not masked: %s", said)
		}
	}
	if len(seen) != 2 || seen[0] != "Bearer first-token-0123456789" || seen[1] != "Bearer second-token-0123456789" {
		t.Errorf("sent as %q", seen)
	}
	failure = fault.New(fault.Unreachable, "", "no token for the cluster").WithHint("az login")
	if _, err := a.connect(t.Context(), "prod", spec); !fault.Is(err, fault.Unreachable) || !errors.Is(err, failure) || fault.HintOf(err) != "az login" {
		t.Errorf("without a token: %v, %q", err, fault.HintOf(err))
	}
}

// carrying is a way that takes its time.
type carrying struct{ deadline time.Duration }

func (c *carrying) RoundTrip(r *http.Request) (*http.Response, error) {
	if at, ok := r.Context().Deadline(); ok {
		c.deadline = time.Until(at)
	}
	return nil, fault.New(fault.Unreachable, "", "run-command API: no room").WithHint("make room")
}

func TestAKSCarried(t *testing.T) {
	way := &carrying{}
	a, spec := New(Options{}), inAzure()
	a.found[*spec.AKS] = &port.Access{Server: "https://a.invalid", Transport: way, Interval: time.Second}
	_, err := a.connect(t.Context(), "prod", spec)
	if !fault.Is(err, fault.Unreachable) || fault.HintOf(err) != "make room" || !strings.Contains(err.Error(), "environment prod") {
		t.Errorf("it failed with %v, %q", err, fault.HintOf(err))
	}
	if way.deadline < time.Minute {
		t.Errorf("the first answer is waited for %s", way.deadline)
	}
	if unwatched.Watch(unwatched{}, t.Context(), deploy.Scope{}) != nil {
		t.Error("somebody is to tell of changes")
	}
}

func TestFlagsReplaceAKS(t *testing.T) {
	for _, o := range []Options{{Context: "a"}, {Kubeconfig: "b"}} {
		if spec := New(o).override(inAzure()); spec.AKS != nil {
			t.Errorf("%+v leaves %+v", o, spec)
		}
	}
	if spec := New(Options{}).override(inAzure()); spec.AKS == nil {
		t.Error("without flags it is gone")
	}
}

func TestResourceManager(t *testing.T) {
	for environment, want := range map[string]string{
		"": "https://management.azure.com",
		"AZURE_AUTHORITY_HOST=https://login.microsoftonline.us":  "https://management.usgovcloudapi.net",
		"AZURE_AUTHORITY_HOST=https://login.chinacloudapi.cn/":   "https://management.chinacloudapi.cn",
		"AZURE_AUTHORITY_HOST=https://login.microsoftonline.com": "https://management.azure.com",
		"ARM_ENDPOINT=https://management.shop.example/":          "https://management.shop.example",
	} {
		a := New(Options{LookupEnv: func(name string) (string, bool) { return strings.CutPrefix(environment, name+"=") }})
		got := a.resourceManager().Services[cloud.ResourceManager]
		if got.Endpoint != want || strings.HasPrefix(environment, "ARM") && got.Audience != want {
			t.Errorf("%s leads to %+v", environment, got)
		}
	}
}

func TestDeniedByAzure(t *testing.T) {
	err := errors.New(`configmaps is forbidden: User "0a1b2c3d-0000-4000-8000-123456789abc" cannot create resource "configmaps" in API group "" in the namespace "shop": ` +
		`User does not have access to the resource in Azure. Update role assignment to allow access.`)
	denied := deniedByAzure(err)
	want := `az role assignment create --assignee 0a1b2c3d-0000-4000-8000-123456789abc --role "Azure Kubernetes Service RBAC Writer" --scope CLUSTER_ID/namespaces/shop`
	if denied == nil || denied.Command() != want || denied.Action != `create resource "configmaps"` {
		t.Errorf("it is %+v", denied)
	}
	if denied := deniedByAzure(errors.New(`namespaces is forbidden: User "a" cannot get resource "namespaces" in API group "" at the cluster scope: User does not have access to the resource in Azure.`)); denied == nil || denied.Scope != "CLUSTER_ID" {
		t.Errorf("at the cluster's scope it is %+v", denied)
	}
	if denied := deniedByAzure(errors.New(`configmaps is forbidden: User "a" cannot create resource "configmaps" in API group "" in the namespace "shop"`)); denied != nil {
		t.Errorf("Kubernetes' own refusal is %+v", denied)
	}
}
