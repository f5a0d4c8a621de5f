package config

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// applyDefaults writes out what the file left to the defaults, so that a release carries the whole process and a later
// version of Sluice with other defaults does not change it.
func applyDefaults(p *v1alpha1.Project) {
	supplyDefaults(p)
	variableDefaults(p)
	for name, e := range p.Environments {
		orDuration(&e.Timeout, usualTimeout)
		gateDefaults(e.Gates)
		aksDefaults(&e.Cluster)
		if b := e.Strategy.BlueGreen; b != nil {
			trafficDefaults(&b.Traffic, &b.Header)
		}
		if c := e.Strategy.Canary; c != nil {
			trafficDefaults(&c.Traffic, &c.Header)
			for i := range c.Steps {
				gateDefaults(c.Steps[i].Gates)
			}
		}
		analysisDefaults(e)
		p.Environments[name] = e
	}
}

func trafficDefaults(t *v1alpha1.Traffic, h *v1alpha1.Header) {
	if !byWeight(t.Router()) {
		return
	}
	orDuration(&t.Convergence, 5*time.Second)
	*h = h.OrDefault()
}

func gateDefaults(gates []v1alpha1.Gate) {
	for _, g := range gates {
		if h := g.HTTP; h != nil {
			orDuration(&h.Timeout, 5*time.Second)
			if h.Method == "" {
				h.Method = "GET"
			}
			if h.Attempts == 0 {
				h.Attempts = 3
			}
			if h.Expect.Status == 0 {
				h.Expect.Status = 200
			}
		}
		if t := g.HelmTest; t != nil {
			orDuration(&t.Timeout, 5*time.Minute)
		}
	}
}

func orDuration(d *v1alpha1.Duration, def time.Duration) { *d = v1alpha1.Duration(d.Or(def)) }
