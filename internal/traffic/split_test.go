package traffic_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

func TestWordsAndSides(t *testing.T) {
	for _, c := range []struct {
		split           v1alpha1.Split
		words           string
		live, candidate v1alpha1.Slot
		weight          int
	}{
		{v1alpha1.Split{}, "nowhere", "", "", 0},
		{v1alpha1.Only(blue), "blue 100 %", blue, "", 0},
		{v1alpha1.Between(blue, green, 0), "blue 100 %, header → green", blue, green, 0},
		{v1alpha1.Between(direct, blue, 5), "direct 95 %, blue 5 %, header → blue", direct, blue, 5},
	} {
		live, candidate, weight := traffic.Sides(c.split)
		if got := c.split.String(); got != c.words || live != c.live || candidate != c.candidate || weight != c.weight {
			t.Errorf("got %q, %s, %s, %d; want %q, %s, %s, %d", got, live, candidate, weight, c.words, c.live, c.candidate, c.weight)
		}
	}
}

func TestAnswer(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		code int
		err  error
		want fault.Kind
	}{
		{404, boom, fault.NotFound},
		{409, boom, fault.Conflict},
		{401, boom, fault.Unreachable},
		{403, boom, fault.Fatal},
		{422, boom, fault.Fatal},
		{429, boom, fault.Transient},
		{503, boom, fault.Transient},
		{0, context.DeadlineExceeded, fault.Transient},
		{0, fmt.Errorf("call: %w", context.Canceled), fault.Interrupted},
		{0, &url.Error{Op: "Get", URL: "https://cluster", Err: boom}, fault.Unreachable},
		{0, boom, fault.Internal},
		{500, fault.New(fault.Usage, "x", "already classified"), fault.Usage},
	} {
		if err := traffic.Answer("look", c.code, c.err); fault.KindOf(err) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%d %v: got %s (%v), want %s", c.code, c.err, fault.KindOf(err), err, c.want)
		}
	}
	if traffic.Answer("look", 200, nil) != nil {
		t.Error("no error became one")
	}
}
