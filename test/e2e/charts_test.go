//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestChartsOfOtherStyles releases charts that are harder than the usual one, three times each, under load.
func TestChartsOfOtherStyles(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values map[string]any
		spec   map[string]any
		before func(s *service)
		check  func(s *service, release int)
	}{
		{name: "silent", values: map[string]any{"env": map[string]any{"NOTHING": "to say"}}},
		{name: "hpa", values: map[string]any{"hpa": true}, check: checkScaled},
		{name: "migration", values: map[string]any{"migration": "0"}, check: checkMigrations},
		{name: "pvc", values: map[string]any{"pvc": true}, spec: map[string]any{"shared": []any{"PersistentVolumeClaim/app-data"}}, before: makeVolume},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t, "chart-"+tt.name)
			s.spec = tt.spec
			if tt.before != nil {
				tt.before(s)
			}
			s.must(0)(s.release(tt.values))
			stop := s.users()
			for release := 2; release <= 4; release++ {
				s.must(0)(s.release(tt.values))
				if tt.check != nil {
					tt.check(s, release)
				}
			}
			stop()
		})
	}
}

// checkScaled: the live slot has its two replicas, whatever was scaled down between.
func checkScaled(s *service, release int) {
	s.t.Helper()
	out := s.kubectl("-n", s.namespace, "get", "deploy", "-o", "jsonpath={range .items[*]}{.status.readyReplicas} {end}")
	if !strings.Contains(out, "2") {
		s.t.Errorf("release %d: ready replicas per Deployment: %q", release, out)
	}
}

// checkMigrations: one run per release after the first, in whichever slot.
func checkMigrations(s *service, release int) {
	s.t.Helper()
	out := s.kubectl("-n", s.namespace, "get", "events", "--field-selector", "reason=SuccessfulCreate,involvedObject.kind=Job", "-o", "name")
	if runs := len(strings.Fields(out)); runs != release-1 {
		s.t.Errorf("after %d releases the migration ran %d times, want %d", release, runs, release-1)
	}
}

func makeVolume(s *service) {
	s.t.Helper()
	name := s.namespace + "-data"
	s.kubectl("delete", "pv", name, "--ignore-not-found")
	s.apply(fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: %s}
spec:
  capacity: {storage: 1Mi}
  accessModes: [ReadWriteMany]
  persistentVolumeReclaimPolicy: Delete
  hostPath: {path: %s, type: DirectoryOrCreate}
`, name, s.t.TempDir()))
	s.t.Cleanup(func() { _, _ = s.tryKubectl("delete", "pv", name, "--wait=false") })
}
