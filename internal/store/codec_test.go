package store_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/store/storetest"
)

func sample() v1alpha1.Rollout { return storetest.Rollout(storetest.Key("ns", "svc"), 1) }

func TestDecodeRefuses(t *testing.T) {
	good, err := store.Encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	swap := func(old, with string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("the sample has no %s", old)
		}
		return strings.Replace(string(good), old, with, 1)
	}
	for name, tt := range map[string]struct{ body, want string }{
		"nothing":           {"", "unexpected end"},
		"no JSON":           {"apiVersion: x", "line 1, byte 1"},
		"cut off":           {string(good[:len(good)/2]), "unexpected end"},
		"another version":   {swap("v1alpha1", "v7"), `unknown apiVersion "sluice.dev/v7", this sluice reads sluice.dev/v1alpha1`},
		"no version":        {swap(`"apiVersion":"sluice.dev/v1alpha1",`, ""), `unknown apiVersion ""`},
		"another kind":      {swap(`"kind":"Rollout"`, `"kind":"Release"`), `kind "Release" is not Rollout`},
		"unknown field":     {swap(`"step":1`, `"step":1,"stepp":2`), `unknown field "stepp"`},
		"a text for a step": {swap(`"step":1`, `"step":"one"`), "step"},
		"a bad duration":    {swap(`"timeout":"5m0s"`, `"timeout":"5 minutes"`), "5 minutes"},
		"something behind":  {string(good) + "{}", "after top-level value"},
		"number zero":       {swap(`"number":1`, `"number":0`), "number is 0"},
		"no service":        {swap(`"service":"svc"`, `"service":""`), "no service"},
		"no environment":    {swap(`"environment":"prod"`, `"environment":""`), "no environment"},
		"no phase":          {swap(`"phase":"Shifting"`, `"phase":""`), "no phase"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := store.Decode([]byte(tt.body))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
			if fault.Retry(err) {
				t.Error("the error says that trying again helps")
			}
		})
	}
}

func TestEncodeTrims(t *testing.T) {
	r := sample()
	r.LastError = strings.Repeat("ä", 50_000)
	for i := range 500 {
		r.History = append(r.History, v1alpha1.Event{Seq: i + 2, Message: "m"})
	}
	r.Announced = 100
	body, err := store.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := store.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if first := got.History[0].Seq; first != 102 {
		t.Errorf("the oldest event kept is %d; those after 101 were not announced, want 102", first)
	}
	if !utf8.ValidString(got.LastError) || strings.ContainsRune(got.LastError, utf8.RuneError) {
		t.Error("a text was cut within a character")
	}
	if len(got.LastError) > 5000 {
		t.Errorf("%d bytes of an error are kept", len(got.LastError))
	}
}

func TestEncodeTrimsWhatWasSeen(t *testing.T) {
	many := func(n int) []string {
		lines := make([]string, n)
		for i := range lines {
			lines[i] = strings.Repeat("\x1b", 100_000)
		}
		return lines
	}
	r := sample()
	r.Phase = v1alpha1.Analyzing
	state := json.RawMessage(`{"version":1}`)
	r.Judgement = &v1alpha1.Judgement{Sentence: "much fails", Evidence: many(50), State: state}
	r.Testimony = many(10)
	for phase, want := range map[v1alpha1.Phase]json.RawMessage{v1alpha1.Analyzing: state, v1alpha1.RolledBack: nil, v1alpha1.Succeeded: nil} {
		r.Phase = phase
		body, err := store.Encode(r)
		if err != nil || len(body) > store.MaxSize/2 {
			t.Fatalf("%d bytes, %v", len(body), err)
		}
		got, err := store.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Testimony) != 10 || len(got.Judgement.Evidence) == 0 || got.Judgement.Sentence != "much fails" || !bytes.Equal(got.Judgement.State, want) {
			t.Errorf("%s: %d of the testimony, %d of the evidence, state %s", phase, len(got.Testimony), len(got.Judgement.Evidence), got.Judgement.State)
		}
	}
	if len(r.Judgement.Evidence) != 50 || len(r.Judgement.Evidence[0]) != 100_000 || len(r.Judgement.State) == 0 || len(r.Testimony[0]) != 100_000 {
		t.Error("what the caller holds was trimmed")
	}
	// A log that a person can read stays whole.
	r = sample()
	r.Testimony = []string{"log of shop/web:\n" + strings.Repeat("at com.example.Shop\n", 500)}
	body, err := store.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.Decode(body); err != nil || got.Testimony[0] != r.Testimony[0] {
		t.Errorf("%d bytes are left of a log of %d: %v", len(got.Testimony[0]), len(r.Testimony[0]), err)
	}
}

func TestEncodeSaysWhatIsTooLarge(t *testing.T) {
	r := sample()
	r.Plan.Gates = []v1alpha1.Gate{{HTTP: &v1alpha1.HTTPGate{Path: "/", Body: strings.Repeat("x", store.MaxSize)}}}
	_, err := store.Encode(r)
	if !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), "sluice.yaml") {
		t.Errorf("error %v, hint %q, want fault.Usage with what to shorten", err, fault.HintOf(err))
	}
}

func FuzzDecode(f *testing.F) {
	good, err := store.Encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"apiVersion":"sluice.dev/v2","kind":"Rollout"}`))
	f.Add([]byte(`{"apiVersion":"sluice.dev/v1alpha1","kind":"Rollout","plan":{"timeout":1}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		first, err := store.Decode(body)
		if err != nil {
			if err.Error() == "" || fault.KindOf(err) != fault.Fatal {
				t.Errorf("error %q of kind %s, want a text and fault.Fatal", err, fault.KindOf(err))
			}
			return
		}
		again, err := store.Encode(first)
		if err != nil {
			// Only a record that is too large, which Encode never wrote, may fail.
			if !fault.Is(err, fault.Usage) {
				t.Fatalf("what was decoded cannot be encoded: %v", err)
			}
			return
		}
		second, err := store.Decode(again)
		if err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v", err)
		}
		third, err := store.Encode(second)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, third) {
			t.Errorf("encoding is not stable:\n%s", cmp.Diff(json.RawMessage(again), json.RawMessage(third)))
		}
	})
}
