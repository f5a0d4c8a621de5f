package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// operator is a fake of what reads in the cluster: names tell what was referred to, so that tests can.
type operator struct {
	referred []string
	asked    int
	err      error
}

func (o *operator) Ready(context.Context, variables.Place) error {
	o.asked++
	return o.err
}

func (o *operator) Refer(_ context.Context, place variables.Place, digest string, references []variables.Reference) (string, error) {
	var parts []string
	for _, r := range references {
		parts = append(parts, fmt.Sprintf("%s=%s@%s", r.Key, r.Name, r.Version))
	}
	slices.Sort(parts)
	name := strings.Join(parts, ",")
	o.referred = append(o.referred, place.Namespace+" "+digest+" "+name)
	return name, o.err
}

func (o *operator) Collect(context.Context, variables.Place, []string) ([]string, error) {
	return nil, o.err
}

// referring is a supply whose service takes a secret and a reference.
func referring(t *testing.T) (supplied, *operator, *v1alpha1.Release) {
	t.Helper()
	s, o := newSupply(t), &operator{}
	s.store.Put("token", "t0ken-for-the-cluster-alone")
	s.supply.referrer = func(*v1alpha1.Release, string) variables.Referrer { return o }
	release := shop()
	release.Spec.Variables["TOKEN"] = v1alpha1.Variable{As: v1alpha1.VariableReference, Name: "token", Key: "api-token"}
	release.Spec.VariableValues.ReferenceName = "config.tokens"
	release.Environments = map[string]v1alpha1.Environment{"prod": {Namespace: "shop", References: &v1alpha1.References{}}}
	return s, o, release
}

func TestReferencesReachTheChartUnread(t *testing.T) {
	s, o, release := referring(t)
	versions, _, err := s.Versions(t.Context(), release, "prod", nil)
	if err != nil || versions["TOKEN"] != "1" || o.asked != 1 {
		t.Fatalf("the versions are %v, %v; the operator was asked %d times", versions, err, o.asked)
	}
	req := request(versions)
	req.Release = release
	if err := s.supply.Preflight(t.Context(), req); err != nil || len(o.referred) != 0 || s.checked[0].Settings["config.tokens"] != unnamed {
		t.Errorf("before anything is written: %v, %v, %v", err, o.referred, s.checked)
	}
	if err := s.supply.Deploy(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"log.level": "debug", "config.secretName": "password=hunter2-hunter2", "config.tokens": "api-token=token@1"}
	if diff := cmp.Diff(want, s.deployed[0].Settings); diff != "" {
		t.Errorf("the chart is told (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"shop sha256:1 api-token=token@1"}, o.referred); diff != "" {
		t.Errorf("referred to (-want +got):\n%s", diff)
	}
	if s.store.Queries() != 2 {
		t.Errorf("%d variables were read, and two are not only the cluster's", s.store.Queries())
	}
}

func TestTheWayBackRefersToWhatRanThen(t *testing.T) {
	for _, c := range []struct {
		about  string
		change func(s supplied, v *v1alpha1.Variable)
		want   string
		notice string
	}{
		{"as recorded", func(supplied, *v1alpha1.Variable) {}, "1", ""},
		{"renewed on purpose", func(_ supplied, v *v1alpha1.Variable) { v.OnRollback = v1alpha1.OnRollbackCurrent }, "2", "onRollback: current"},
		{"gone", func(s supplied, _ *v1alpha1.Variable) { s.store.Forget("token") }, "2", "is lost"},
	} {
		t.Run(c.about, func(t *testing.T) {
			s, _, release := referring(t)
			recorded, _, err := s.Versions(t.Context(), release, "prod", nil)
			if err != nil {
				t.Fatal(err)
			}
			s.store.Put("token", "changed-since")
			v := release.Spec.Variables["TOKEN"]
			c.change(s, &v)
			release.Spec.Variables["TOKEN"] = v
			versions, notices, err := s.Versions(t.Context(), release, "prod", recorded)
			if err != nil || versions["TOKEN"] != c.want || (c.notice == "") != (len(notices) == 0) || !strings.Contains(fmt.Sprint(notices), c.notice) {
				t.Errorf("the versions are %v, %q, %v", versions, notices, err)
			}
		})
	}
}

func TestAClusterThatCannotReadStopsBeforeAnythingIsWritten(t *testing.T) {
	s, o, release := referring(t)
	o.err = fault.New(fault.Refused, "", "no operator")
	req := request(map[string]string{"DB_PASSWORD": "1", "LEVEL": "1", "TOKEN": "1"})
	req.Release = release
	if _, _, err := s.Versions(t.Context(), release, "prod", nil); !fault.Is(err, fault.Refused) {
		t.Errorf("the versions are given: %v", err)
	}
	if err := s.supply.Preflight(t.Context(), req); !fault.Is(err, fault.Refused) || len(s.checked) != 0 {
		t.Errorf("the check goes on: %v", err)
	}
	if err := s.supply.Deploy(t.Context(), req); !fault.Is(err, fault.Refused) || len(s.deployed) != 0 {
		t.Errorf("it is deployed: %v", err)
	}
	release.Environments["prod"] = v1alpha1.Environment{}
	if _, _, err := s.Versions(t.Context(), release, "prod", nil); !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), "environments.prod.references") {
		t.Errorf("without a reader it gives %v", err)
	}
}

// A store that has no versions apart from contents cannot be referred to.
func TestAStoreWithoutVersionsIsRefused(t *testing.T) {
	s, _, release := referring(t)
	memory := s.store
	s.supply.store = func(context.Context, *v1alpha1.Release, string) (variables.Store, error) {
		return struct{ variables.Store }{memory}, nil
	}
	if _, _, err := s.Versions(t.Context(), release, "prod", nil); !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" {
		t.Errorf("it gives %v", err)
	}
}

func TestStoresAsTheOperatorSpeaksOfThem(t *testing.T) {
	for name, c := range map[string]struct {
		store                   v1alpha1.VariableStore
		provider, key, property string
		settings                map[string]string
	}{
		"a Key Vault": {v1alpha1.VariableStore{KeyVault: "prod-vault"}, "azurekv", "DB-PASSWORD", "",
			map[string]string{"vaultUrl": "https://prod-vault.vault.azure.net"}},
		"a shared secret of Vault": {v1alpha1.VariableStore{Vault: &v1alpha1.VaultStore{Mount: "secret", Path: "shop/prod", Version: 2}}, "vault", "secret/shop/prod", "DB_PASSWORD",
			map[string]string{"path": "secret", "version": "v2", "namespace": ""}},
		"a secret for each": {v1alpha1.VariableStore{Vault: &v1alpha1.VaultStore{Mount: "kv", Path: "shop/prod", Version: 2, Key: "value", Namespace: "team"}}, "vault", "kv/shop/prod/DB_PASSWORD", "value",
			map[string]string{"path": "kv", "version": "v2", "namespace": "team"}},
	} {
		t.Run(name, func(t *testing.T) {
			target := targetOf(&c.store)
			key, property := target.Remote("DB_PASSWORD")
			if target.Provider != c.provider || key != c.key || property != c.property || cmp.Diff(c.settings, target.Settings) != "" {
				t.Errorf("it is %s %v, %q %q", target.Provider, target.Settings, key, property)
			}
		})
	}
}

// Where the environment no longer lets its cluster read, there may be no right to look for what is left of it.
func TestNoRightToLookForReferencesMattersOnlyWhereThereAreSome(t *testing.T) {
	o := &operator{err: fault.New(fault.Unreachable, "", "forbidden")}
	p := &Place{referrer: o}
	if err := p.unrefer(t.Context(), nil); err != nil {
		t.Errorf("without references it gives %v", err)
	}
	p.Environment.References = &v1alpha1.References{}
	if err := p.unrefer(t.Context(), nil); !fault.Is(err, fault.Unreachable) {
		t.Errorf("with references it gives %v", err)
	}
}
