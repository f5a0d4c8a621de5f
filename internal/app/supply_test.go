package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/variablestest"
)

// requests is a fake of what deploys: it remembers requests.
type requests struct {
	deploy.Releaser
	deploy.Witness
	deployed, checked []deploy.Request
	observed          int
}

func (r *requests) Deploy(_ context.Context, req deploy.Request) error {
	r.deployed = append(r.deployed, req)
	return nil
}

func (r *requests) Preflight(_ context.Context, req deploy.Request) error {
	r.checked = append(r.checked, req)
	return nil
}

func (r *requests) Watch(context.Context, deploy.Scope) <-chan struct{} { return nil }

// shelf is a fake of the cluster's Secrets: names tell the contents, so that tests can.
type shelf struct {
	kept []string
	// before lies there since earlier runs.
	before []string
	broken error
	asked  int
	// meanwhile is what another run does after the Secrets were listed; needed is what was then said to be needed.
	meanwhile func()
	needed    []string
}

func (s *shelf) Kept(context.Context, variables.Place) ([]variables.Value, error) {
	s.asked++
	var out []variables.Value
	for _, text := range s.before {
		out = append(out, variables.NewValue(text))
	}
	return out, s.broken
}

func (s *shelf) Keep(_ context.Context, _ variables.Place, digest string, contents map[string]variables.Value) (string, error) {
	var parts []string
	for key, value := range contents {
		parts = append(parts, key+"="+value.Reveal())
	}
	slices.Sort(parts)
	name := strings.Join(parts, ",")
	s.kept = append(s.kept, digest+" "+name)
	return name, nil
}

func (s *shelf) Collect(ctx context.Context, _ variables.Place, needed variables.Needs) (_ []string, err error) {
	if s.meanwhile != nil {
		s.meanwhile()
	}
	s.needed, err = needed(ctx)
	return nil, err
}

type supplied struct {
	*supply
	*requests
	store *variablestest.Memory
	shelf *shelf
}

func newSupply(t *testing.T) supplied {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	s := supplied{requests: &requests{}, store: variablestest.NewMemory(now), shelf: &shelf{}}
	s.supply = &supply{
		releaser: s.requests, keeper: s.shelf, secrets: &variables.Masker{}, log: func(string) {}, known: map[variables.Query]variables.Variable{},
		store: func(context.Context, *v1alpha1.Release, string) (variables.Store, error) { return s.store, nil },
	}
	s.store.Put("db", "hunter2-hunter2")
	s.store.Put("LEVEL", "debug")
	return s
}

// shop takes one hidden variable, by another name and key than its own, and one that is none.
func shop() *v1alpha1.Release {
	return &v1alpha1.Release{Service: "shop", Version: "1.0.0", Spec: v1alpha1.Service{
		Variables: map[string]v1alpha1.Variable{
			"DB_PASSWORD": {As: v1alpha1.VariableSecret, Name: "db", Key: "password"},
			"LEVEL":       {As: v1alpha1.VariableValue, Key: "log.level"},
		},
		VariableValues: &v1alpha1.VariableValues{SecretName: "config.secretName"},
	}}
}

func request(versions map[string]string) deploy.Request {
	return deploy.Request{Scope: deploy.Scope{Service: "shop", Environment: "prod", Namespace: "shop"}, Release: shop(), DeployDigest: "sha256:1", Variables: versions}
}

func (s supplied) versions(t *testing.T, recorded map[string]string) (map[string]string, []string) {
	t.Helper()
	versions, notices, err := s.Versions(t.Context(), shop(), "prod", recorded)
	if err != nil {
		t.Fatal(err)
	}
	return versions, notices
}

func TestVariablesReachTheChart(t *testing.T) {
	s := newSupply(t)
	versions, notices := s.versions(t, nil)
	if diff := cmp.Diff(map[string]string{"DB_PASSWORD": "1", "LEVEL": "1"}, versions); diff != "" || len(notices) != 0 {
		t.Errorf("versions (-want +got):\n%s\nsaid %q", diff, notices)
	}
	asked := s.store.Queries()
	if err := s.supply.Preflight(t.Context(), request(versions)); err != nil {
		t.Fatal(err)
	}
	if len(s.shelf.kept) != 0 {
		t.Errorf("before anything is written %q was", s.shelf.kept)
	}
	if err := s.supply.Deploy(t.Context(), request(versions)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"log.level": "debug", "config.secretName": "password=hunter2-hunter2"}
	if diff := cmp.Diff(want, s.deployed[0].Settings); diff != "" {
		t.Errorf("the chart is told (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"sha256:1 password=hunter2-hunter2"}, s.shelf.kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if s.checked[0].Settings["config.secretName"] != unnamed {
		t.Errorf("before that the chart is told %v", s.checked[0].Settings)
	}
	for text, want := range map[string]string{"url: db://:hunter2-hunter2@db": "DB_PASSWORD", "aHVudGVyMi1odW50ZXIy": "DB_PASSWORD", "level: debug": ""} {
		if got := s.deployed[0].Tainted(text); got != want || s.checked[0].Tainted(text) != want {
			t.Errorf("of %q it says that it holds %q", text, got)
		}
	}
	if s.store.Queries() != asked {
		t.Error("what is known was asked for again")
	}
	if !s.secrets.Holds("the password is hunter2-hunter2") {
		t.Error("the secret is not masked")
	}
	if s.secrets.Holds("the level is debug") {
		t.Error("what is no secret is masked")
	}
}

func TestARunThatGoesOnTakesTheVersionsOfItsRecord(t *testing.T) {
	s := newSupply(t)
	versions, _ := s.versions(t, nil)
	s.store.Put("db", "changed-since")
	s.known = map[variables.Query]variables.Variable{}
	if err := s.supply.Deploy(t.Context(), request(versions)); err != nil {
		t.Fatal(err)
	}
	if got := s.deployed[0].Settings["config.secretName"]; got != "password=hunter2-hunter2" {
		t.Errorf("it takes %s", got)
	}
}

func TestARestoreReadsNothing(t *testing.T) {
	s := newSupply(t)
	s.store.Fail(fault.New(fault.Unreachable, "", "down"))
	req := request(nil)
	req.Release, req.Restore = nil, &v1alpha1.ReturnTarget{}
	if err := s.supply.Deploy(t.Context(), req); err != nil || len(s.deployed) != 1 {
		t.Errorf("it gives %v", err)
	}
}

func TestTheWayBackTakesWhatRanThen(t *testing.T) {
	for _, c := range []struct {
		about  string
		change func(s supplied, spec *v1alpha1.Variable)
		want   string
		notice string
	}{
		{"as recorded", func(supplied, *v1alpha1.Variable) {}, "1", ""},
		{"renewed on purpose", func(_ supplied, v *v1alpha1.Variable) { v.OnRollback = v1alpha1.OnRollbackCurrent }, "2", "onRollback: current"},
		{"gone", func(s supplied, _ *v1alpha1.Variable) { s.store.Forget("db") }, "2", "lost"},
	} {
		t.Run(c.about, func(t *testing.T) {
			s := newSupply(t)
			recorded, _ := s.versions(t, nil)
			s.store.Put("db", "changed-since")
			s.known = map[variables.Query]variables.Variable{}
			release := shop()
			v := release.Spec.Variables["DB_PASSWORD"]
			c.change(s, &v)
			release.Spec.Variables["DB_PASSWORD"] = v
			versions, notices, err := s.Versions(t.Context(), release, "prod", recorded)
			if err != nil || versions["DB_PASSWORD"] != c.want {
				t.Errorf("versions %v, %v", versions, err)
			}
			if said := fmt.Sprint(notices); (c.notice == "") != (len(notices) == 0) || !strings.Contains(said, c.notice) || strings.Contains(said, "hunter2") {
				t.Errorf("it says %s", said)
			}
		})
	}
}

func TestASecretThatLiesOpenInItsStoreIsRefused(t *testing.T) {
	s := newSupply(t)
	s.store.Expose("LEVEL")
	if _, _, err := s.Versions(t.Context(), shop(), "prod", nil); err != nil {
		t.Errorf("what is no secret: %v", err)
	}
	s.store.Expose("db")
	if _, _, err := s.Versions(t.Context(), shop(), "prod", nil); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "variable db: lies in clear text") {
		t.Errorf("it gives %v", err)
	}
}

func TestWhatIsEmptyIsNotDeployed(t *testing.T) {
	s := newSupply(t)
	s.store.Put("LEVEL", "")
	if _, _, err := s.Versions(t.Context(), shop(), "prod", nil); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "variable LEVEL: is empty") {
		t.Errorf("it gives %v", err)
	}
}

func TestWhatIsMissingStopsBeforeAnythingIsWritten(t *testing.T) {
	s := newSupply(t)
	s.store.Disable("db")
	if _, _, err := s.Versions(t.Context(), shop(), "prod", nil); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "db") {
		t.Errorf("it gives %v", err)
	}
	if len(s.deployed)+len(s.shelf.kept) != 0 {
		t.Error("something was written")
	}
}
