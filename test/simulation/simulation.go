// Package simulation lets made-up releases run through an analysis, with known rates and a fixed seed; it must not know how the analysis decides.
package simulation

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/metric"
)

// Release is one release: its traffic, and how often requests fail.
type Release struct {
	// RPS is the candidate's mean number of requests per second, Share its part of all traffic; with all of it, it is alone.
	RPS, Share float64
	// Live and Candidate are the mean shares of failed requests.
	Live, Candidate float64
	// Burst is the correlation of failures within a second; 0 for independent ones. Shared bursts hit both slots in the same second,
	// others each slot on its own.
	Burst  float64
	Shared bool
	// Drift is by what part of itself the rate swings up and down, once in two hours.
	Drift float64
	// Incident is the share of failed requests of both slots for a minute, half of Seconds after the candidate has come; 0 for none.
	Incident float64
	// Blip is for how many seconds all of the candidate's requests fail, once, at a moment of its first 15 seconds.
	Blip float64
	// Looks is how many reads there are in each of the candidate's first 15 seconds; 0 for one, as there is later.
	Looks int
	// Warm is how many seconds live is watched alone, Seconds how long the candidate is.
	Warm, Seconds int
}

// Outcome of a release.
type Outcome struct {
	Decision analysis.Decision
	// Requests of the candidate and Seconds until then.
	Requests uint64
	Seconds  float64
}

// Run lets a release run until the analysis says one of the decisions or the time is over.
func (r Release) Run(a *analysis.Analysis, random *rand.Rand, until ...analysis.Decision) Outcome {
	var candidate, live metric.Counters
	var out Outcome
	swing := random.Float64() * 2 * math.Pi
	all := r.RPS * (1 - r.Share) / r.Share
	blip := float64(r.Warm) + random.Float64()*(15-r.Blip)
	for second := range r.Warm + r.Seconds {
		drift := 1 + r.Drift*math.Sin(swing+float64(second)/7200*2*math.Pi)
		rates := r.rates(random, drift)
		if since := second - r.Warm - r.Seconds/2; r.Incident > 0 && since >= 0 && since < 60 {
			rates = [2]float64{r.Incident, r.Incident}
		}
		looks := 1
		if since := second - r.Warm; since >= 0 && since < 15 {
			looks = max(r.Looks, 1)
		}
		for look := range looks {
			part := 1 / float64(looks)
			if second < r.Warm {
				count(&live, random, (all+r.RPS)*part, rates[1])
			} else {
				count(&live, random, all*part, rates[1])
				from := float64(second) + float64(look)*part
				failing := max(0, min(from+part, blip+r.Blip)-max(from, blip)) / part
				count(&candidate, random, r.RPS*part*(1-failing), rates[0])
				count(&candidate, random, r.RPS*part*failing, 1)
			}
			at := time.Unix(int64(1_000_000+second), int64(look+1)*int64(time.Second)/int64(looks))
			read := analysis.Read{At: at, Live: &live, Candidate: &candidate, Alone: r.Share == 1 && second >= r.Warm}
			out = Outcome{a.Look(read), candidate.Requests, float64(second-r.Warm) + float64(look+1)*part}
			if slices.Contains(until, out.Decision) {
				return out
			}
		}
	}
	return out
}

// rates of the candidate and of live in a second.
func (r Release) rates(random *rand.Rand, drift float64) [2]float64 {
	means := [2]float64{min(r.Candidate*drift, 1), min(r.Live*drift, 1)}
	if r.Burst == 0 {
		return means
	}
	if r.Shared && r.Candidate == r.Live {
		p := beta(random, means[0], r.Burst)
		return [2]float64{p, p}
	}
	if !r.Shared {
		return [2]float64{beta(random, means[0], r.Burst), beta(random, means[1], r.Burst)}
	}
	// What the candidate fails by itself comes on top of the bursts.
	p := beta(random, means[1], r.Burst)
	return [2]float64{p + (1-p)*max(0, (means[0]-means[1])/(1-means[1])), p}
}

func count(c *metric.Counters, random *rand.Rand, mean, rate float64) {
	n := poisson(random, mean)
	c.Requests += uint64(n)
	c.Failed += uint64(binomial(random, n, rate))
}

// EachRequest lets requests come one at a time, with a read after each, until the candidate is aborted or has had most requests; it returns how many it has had.
// Live has had history requests before.
func EachRequest(a *analysis.Analysis, random *rand.Rand, share, live, candidate float64, history, most int) int {
	var c, l metric.Counters
	at := time.Unix(1_000_000, 0)
	look := func() analysis.Decision {
		at = at.Add(analysis.Round)
		return a.Look(analysis.Read{At: at, Candidate: &c, Live: &l})
	}
	look()
	for range history / 100 {
		l.Requests += 100
		l.Failed += uint64(binomial(random, 100, live))
		look()
	}
	for c.Requests < uint64(most) {
		to, rate := &l, live
		if random.Float64() < share {
			to, rate = &c, candidate
		}
		to.Requests++
		if random.Float64() < rate {
			to.Failed++
		}
		if look() == analysis.Abort {
			break
		}
	}
	return int(c.Requests)
}
