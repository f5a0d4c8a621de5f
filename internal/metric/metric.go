// Package metric is the port to what is counted of a service's requests; it must not judge what it reads.
package metric

// Counters are what a source has counted of one slot since some start of its own: they only grow, and begin again where the source
// does. Whole numbers, so that there is no NaN and nothing below zero to be treated.
type Counters struct {
	// Requests that were answered, or should have been.
	Requests uint64 `json:"requests"`
	// Failed are those of Requests that failed.
	Failed uint64 `json:"failed"`
	// Slow are those of Requests that took longer than the limit the source was asked for; 0 where it was asked for none.
	Slow uint64 `json:"slow"`
}
