package v1alpha1

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Share is a part of all, written in percent: 1%, 0.1%.
type Share float64

// Or returns s, or the default where s is zero.
func (s Share) Or(def float64) float64 {
	if s == 0 {
		return def
	}
	return float64(s)
}

// String writes the share in percent; empty for zero.
func (s Share) String() string {
	if s == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(s)*100, 'g', 6, 64) + "%"
}

// ParseShare reads a share above 0 and below 100 %, of at most six digits.
func ParseShare(text string) (Share, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !percent || math.IsNaN(v) || v <= 0 || v >= 100 {
		return 0, fmt.Errorf("%q is no share such as 1%% or 0.1%%, above 0%% and below 100%%", text)
	}
	share := Share(v / 100)
	if written, err := strconv.ParseFloat(strings.TrimSuffix(share.String(), "%"), 64); err != nil || written != v {
		return 0, fmt.Errorf("%q has more than six digits", text) // String would write another share
	}
	return share, nil
}

// MarshalJSON writes the share as a string.
func (s Share) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads a share from a string.
func (s *Share) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("a share is a string such as 1%%: %w", err)
	}
	v, err := ParseShare(text)
	if err == nil {
		*s = v
	}
	return err
}
