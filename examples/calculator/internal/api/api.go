// Package api holds the JSON documents which the calculator's services exchange; it must not talk to anything.
package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// MaxNumber is the largest number the calculator accepts: trial division answers it within a few milliseconds.
const MaxNumber = 1_000_000_000_000

// ErrNumber marks a number in a request that is missing or cannot be factored: the caller's mistake, status 400.
var ErrNumber = errors.New("bad number")

// Identity says which copy of a service gave an answer.
type Identity struct {
	Version string `json:"version,omitempty"` // what was released, e.g. "1.4.0"
	Slot    string `json:"slot,omitempty"`    // where it runs; by default the name of its Helm release
	Pod     string `json:"pod,omitempty"`     // the host name of the process
}

// Factors is the back end's answer.
type Factors struct {
	Number  uint64    `json:"number"`
	Factors []uint64  `json:"factors"` // ascending, with repetitions; empty for 1
	Backend *Identity `json:"backend,omitempty"`
}

// Answer is the front end's answer at /api/calculate. The identities are absent when the services are told to keep quiet.
type Answer struct {
	Number   uint64    `json:"number"`
	Factors  []uint64  `json:"factors"`
	Frontend *Identity `json:"frontend,omitempty"`
	Backend  *Identity `json:"backend,omitempty"`
}

// Problem is the body of every answer that is not a success.
type Problem struct {
	Error    string    `json:"error"`
	Frontend *Identity `json:"frontend,omitempty"`
	Backend  *Identity `json:"backend,omitempty"`
}

// ParseNumber reads a number from a query parameter. Every error is an ErrNumber and says what is allowed.
func ParseNumber(text string) (uint64, error) {
	if text == "" {
		return 0, fmt.Errorf("%w: the query parameter \"number\" is missing, e.g. ?number=221", ErrNumber)
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil || number < 1 || number > MaxNumber {
		return 0, fmt.Errorf("%w: %q is not a whole number from 1 to %d", ErrNumber, text, uint64(MaxNumber))
	}
	return number, nil
}

// Write sends a document as JSON. Answers differ per copy and moment, so nothing between may cache them.
func Write(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		http.Error(w, "encode the answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A failing write means that the caller has gone: nobody is left to tell.
	_, _ = w.Write(append(body, '\n'))
}
