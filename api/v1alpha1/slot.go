package v1alpha1

import (
	"fmt"
	"strings"
)

// Slot is a place for one copy of a service in an environment.
type Slot string

// The slots. SlotDirect is the only one of the direct strategy, and the Helm release <service>;
// the others are the Helm releases <service>-blue and <service>-green.
const (
	SlotNone   Slot = ""
	SlotDirect Slot = "direct"
	SlotBlue   Slot = "blue"
	SlotGreen  Slot = "green"
)

// Slots lists every slot in a fixed order.
func Slots() []Slot { return []Slot{SlotDirect, SlotBlue, SlotGreen} }

// HelmRelease is the name of the Helm release that holds the slot's copy of the service.
func (s Slot) HelmRelease(service string) string {
	if s == SlotDirect {
		return service
	}
	return service + "-" + string(s)
}

// Split says where the traffic goes: a weight in percent per slot, sum 100, and the slot the header leads to.
// A host without any traffic yet has a nil Weights.
type Split struct {
	Weights map[Slot]int `json:"weights,omitempty"`
	Header  Slot         `json:"header,omitempty"`
}

// Only is the split that sends everything to one slot, with no header route.
func Only(s Slot) Split { return Split{Weights: map[Slot]int{s: 100}} }

// Between is the split of a step: the candidate's weight, the rest live, and the header leading to the candidate.
func Between(live, candidate Slot, weight int) Split {
	s := Split{Weights: map[Slot]int{}, Header: candidate}
	if weight > 0 {
		s.Weights[candidate] = weight
	}
	if weight < 100 {
		s.Weights[live] = 100 - weight
	}
	return s
}

// Equal compares weights, a missing one being zero, and the header.
func (s Split) Equal(o Split) bool {
	if s.Header != o.Header || (s.Weights == nil) != (o.Weights == nil) {
		return false
	}
	for _, slot := range Slots() {
		if s.Weights[slot] != o.Weights[slot] {
			return false
		}
	}
	return true
}

// Live is the slot with the largest weight; SlotNone where there is no traffic.
func (s Split) Live() Slot {
	best, slot := 0, SlotNone
	for _, c := range Slots() {
		if s.Weights[c] > best {
			best, slot = s.Weights[c], c
		}
	}
	return slot
}

// String writes a split for people, and on the routes it was written to: "blue 95 %, green 5 %, header → green".
func (s Split) String() string {
	var parts []string
	for _, slot := range Slots() {
		if s.Weights[slot] != 0 {
			parts = append(parts, fmt.Sprintf("%s %d %%", slot, s.Weights[slot]))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "nowhere")
	}
	if s.Header != SlotNone {
		parts = append(parts, "header → "+string(s.Header))
	}
	return strings.Join(parts, ", ")
}
