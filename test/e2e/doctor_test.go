//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// diagnosis is what `sluice doctor -o json` says.
type diagnosis struct {
	Failed       int `json:"failed"`
	Environments []struct {
		Sections []struct {
			Name     string   `json:"name"`
			Next     []string `json:"next"`
			Findings []struct {
				Code, Severity, Title string
				Evidence, Next        []string
			} `json:"findings"`
		} `json:"sections"`
	} `json:"environments"`
}

// diagnose runs the doctor and wants an exit code.
func (s *service) diagnose(want int) diagnosis {
	s.t.Helper()
	cmd := s.command("doctor", "--connect", "--kubeconfig", s.identities.deployer, "-o", "json")
	out, err := cmd.Output()
	var doc diagnosis
	if code := exitCode(s.t, err); code != want || json.Unmarshal(out, &doc) != nil || len(doc.Environments) != 1 {
		s.t.Fatalf("doctor: exit %d, want %d\n%s", code, want, out)
	}
	return doc
}

// severities of the findings with a code.
func (d diagnosis) severities(code string) string {
	var all []string
	for _, section := range d.Environments[0].Sections {
		for _, f := range section.Findings {
			if f.Code == code {
				all = append(all, f.Severity)
			}
		}
	}
	return strings.Join(all, " ")
}

// grants is the manifest in what the doctor says to do about missing rights.
func (d diagnosis) grants(t *testing.T) string {
	t.Helper()
	for _, section := range d.Environments[0].Sections {
		if section.Name != "rights" || len(section.Next) != 1 {
			continue
		}
		_, manifest, found := strings.Cut(section.Next[0], "<<'END'\n")
		if manifest, ended := strings.CutSuffix(manifest, "\nEND"); found && ended {
			return manifest
		}
	}
	t.Fatalf("the doctor prints no manifest: %+v", d)
	return ""
}

// TestDoctorGrantsWhatADeploymentNeeds lets somebody without any right ask the doctor, gives exactly what that says, and deploys, moves
// traffic, tests and rolls back with it: a right that is missing in the table of rights fails here.
func TestDoctorGrantsWhatADeploymentNeeds(t *testing.T) {
	for name, strategy := range map[string]map[string]any{
		"doctor-nginx": blueGreen("nginx"), "doctor-gateway": canary("gateway", 0, 50, 100), "doctor-service": blueGreen("service"), "doctor-direct": direct(),
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, name)
			s.strategy = strategy
			values := map[string]any{"hpa": true}
			switch name {
			case "doctor-gateway":
				values["router"] = "gateway"
			case "doctor-service":
				// No route leads there: the gate asks through the API server.
				values["router"] = ""
				s.gates = []any{map[string]any{"http": map[string]any{"url": "http://app/", "timeout": "10s"}}}
			}
			s.gates = append(s.gates, map[string]any{"helmTest": map[string]any{}})
			s.asNobody()
			s.configure(values)

			before := s.diagnose(8)
			if got := before.severities("cluster.login"); got != "ok" {
				t.Fatalf("login is %q: %+v", got, before)
			}
			if !strings.Contains(before.severities("rights.missing"), "failed") {
				t.Fatalf("nothing is missing: %+v", before)
			}
			if code, out := s.release(values); code == 0 {
				t.Fatalf("somebody without any right deploys:\n%s", out)
			}

			s.apply(before.grants(t))
			after := s.diagnose(0)
			if got := after.severities("rights"); got != "ok" {
				t.Fatalf("with what the doctor said to grant, rights are %q: %+v", got, after)
			}
			s.must(0)(s.release(values))
			s.must(0)(s.release(values))
			s.must(0)(s.run("rollback", "--env", "test"))
			s.must(0)(s.run("uninstall", "--env", "test", "--yes"))
		})
	}
}

// asNobody lets the binary be a service account without any right.
func (s *service) asNobody() {
	s.t.Helper()
	s.kubectl("-n", s.namespace, "create", "serviceaccount", "nobody")
	s.identities.deployer = s.kubeconfigOf(s.t.TempDir(), "nobody", s.token("nobody"))
}
