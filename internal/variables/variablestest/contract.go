// Package variablestest holds the contract that every store of variables keeps, and an in-memory fake that keeps it; it must not be used outside tests.
package variablestest

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// Subject is a store under test, and the hand that writes into it.
type Subject struct {
	Store variables.Store
	// Put writes a variable; where there is one of that name it gets a new version.
	Put func(t *testing.T, name, content string)
	// Disable and Expire make a variable's current version unusable; nil where the store knows no such thing.
	Disable, Expire func(t *testing.T, name string)
	// Keeps says that earlier versions can still be read.
	Keeps bool
	// Refuse makes the store unusable for lack of a key, a right or an answer. It is called last.
	Refuse func(t *testing.T)
}

// Contents are what a store must give back to the byte.
func Contents() map[string]string {
	return map[string]string{
		"plain":   "c0ntent-plain",
		"spaces":  "  c0ntent between spaces ",
		"quotes":  `c0ntent "double" 'single' \ back ${NOT} $(neither) #no`,
		"lines":   "-----BEGIN c0ntent-----\nMIIE\n\n\ttab\n-----END c0ntent-----\n",
		"unicode": "c0ntent-Ünïcödé-日本-🔑",
		"json":    `{"c0ntent":["a",1,null]}`,
		"number":  "00123456789",
		"boolean": "yes",
		"long":    "c0ntent-" + strings.Repeat("0123456789abcdef", 1024),
	}
}

// Run checks the contract. open returns an empty store each time. Names in use are lower-case letters and hyphens, which every store takes.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, Subject){
		"contents come back to the byte, in the order of the queries": contents,
		"a version names the content and does not tell it":            versions,
		"an earlier version is given back, or said to be gone":        earlier,
		"every problem is told, and nothing is given":                 problems,
		"what cannot be used is refused":                              unusable,
		"a store that cannot be read is not one that holds nothing":   refused,
		"an interruption is one":                                      interrupted,
		"many may ask at once":                                        concurrent,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

func contents(t *testing.T, s Subject) {
	var queries []variables.Query
	for name, content := range Contents() {
		s.Put(t, name, content)
		queries = append(queries, variables.Query{Name: name})
	}
	queries = append(queries, queries[0])
	got := resolve(t, s, queries...)
	for i, q := range queries {
		if got[i].Name != q.Name || got[i].Value.Reveal() != Contents()[q.Name] {
			t.Errorf("answer %d to %q is %q: %q", i, q.Name, got[i].Name, got[i].Value.Reveal())
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(text, "c0ntent") {
		t.Errorf("what is printed holds a content: %s", text)
	}
	if none, err := s.Store.Resolve(t.Context(), nil); len(none) > 0 || err != nil {
		t.Errorf("no query was answered by %v, %v", none, err)
	}
}

func versions(t *testing.T, s Subject) {
	const content = "c0ntent-of-a"
	s.Put(t, "a", content)
	first := resolve(t, s, variables.Query{Name: "a"})[0]
	s.Put(t, "b", "c0ntent-of-b")
	again := resolve(t, s, variables.Query{Name: "b"}, variables.Query{Name: "a"})[1]
	if first.Version == "" {
		t.Error("it has no version")
	}
	if first.Version != again.Version {
		t.Errorf("its version changed from %s to %s with its neighbour's, so that both would be deployed again", first.Version, again.Version)
	}
	if by := resolve(t, s, variables.Query{Name: "a", Version: again.Version})[0]; by.Value.Reveal() != content || by.Version != again.Version {
		t.Errorf("asked for by its version it is %q, %s", by.Value.Reveal(), by.Version)
	}
	s.Put(t, "a", "c0ntent-of-a-later")
	if later := resolve(t, s, variables.Query{Name: "a"})[0]; later.Version == again.Version || later.Value.Reveal() != "c0ntent-of-a-later" {
		t.Errorf("the later content has version %s, as the one before: %q", later.Version, later.Value.Reveal())
	}
	for how, telling := range telling(content) {
		if strings.Contains(strings.ToLower(again.Version), telling) {
			t.Errorf("the version %s is the content's %s, by which anybody can try what a content is", again.Version, how)
		}
	}
}

// telling lists what a version must not be made of alone, each by its first characters.
func telling(content string) map[string]string {
	c := []byte(content)
	one, five, two := sha1.Sum(c), md5.Sum(c), sha256.Sum256(c)
	return map[string]string{
		"text": content[:6], "SHA-1": hex.EncodeToString(one[:4]), "MD5": hex.EncodeToString(five[:4]), "SHA-256": hex.EncodeToString(two[:4]),
		"base64": strings.ToLower(base64.StdEncoding.EncodeToString(c)[:8]),
	}
}

func earlier(t *testing.T, s Subject) {
	s.Put(t, "a", "c0ntent-first")
	first := resolve(t, s, variables.Query{Name: "a"})[0]
	s.Put(t, "a", "c0ntent-second")
	got, err := s.Store.Resolve(t.Context(), []variables.Query{{Name: "a", Version: first.Version}})
	switch {
	case s.Keeps && (err != nil || len(got) != 1 || got[0].Value.Reveal() != "c0ntent-first" || got[0].Version != first.Version):
		t.Errorf("the earlier version is %v, %v", got, err)
	case !s.Keeps:
		fails(t, s, err, fault.Refused, variables.ErrGone, "a")
	}
	_, err = s.Store.Resolve(t.Context(), []variables.Query{{Name: "a", Version: strings.Repeat("0", max(1, len(first.Version)))}})
	fails(t, s, err, fault.Refused, variables.ErrGone, "a")
}

func problems(t *testing.T, s Subject) {
	s.Put(t, "there", "c0ntent-there")
	got, err := s.Store.Resolve(t.Context(), []variables.Query{{Name: "missing"}, {Name: "there"}, {Name: "absent"}})
	if got != nil {
		t.Errorf("it gave a part: %v", got)
	}
	fails(t, s, err, fault.NotFound, nil, "missing", "absent")
	if err != nil && strings.Contains(err.Error(), "variable there") {
		t.Errorf("it complains about what is there: %v", err)
	}
	got, err = s.Store.Resolve(t.Context(), []variables.Query{{Name: "missing"}, {Name: "there", Version: "0000"}})
	if got != nil {
		t.Errorf("it gave a part: %v", got)
	}
	fails(t, s, err, fault.Refused, variables.ErrGone, "missing", "there")
}

func unusable(t *testing.T, s Subject) {
	for sentinel, make := range map[error]func(*testing.T, string){variables.ErrDisabled: s.Disable, variables.ErrExpired: s.Expire} {
		if make == nil {
			continue
		}
		name := map[error]string{variables.ErrDisabled: "off", variables.ErrExpired: "late"}[sentinel]
		s.Put(t, name, "c0ntent-unusable")
		s.Put(t, "beside", "c0ntent-beside")
		make(t, name)
		got, err := s.Store.Resolve(t.Context(), []variables.Query{{Name: "beside"}, {Name: name}})
		if got != nil {
			t.Errorf("it gave a part: %v", got)
		}
		fails(t, s, err, fault.Refused, sentinel, name)
		resolve(t, s, variables.Query{Name: "beside"})
	}
}

func refused(t *testing.T, s Subject) {
	s.Put(t, "a", "c0ntent-hidden")
	s.Refuse(t)
	got, err := s.Store.Resolve(t.Context(), []variables.Query{{Name: "a"}, {Name: "missing"}})
	if got != nil {
		t.Errorf("it gave a part: %v", got)
	}
	fails(t, s, err, fault.Unreachable, nil)
	if fault.HintOf(err) == "" {
		t.Errorf("it does not say what to do: %v", err)
	}
}

func interrupted(t *testing.T, s Subject) {
	s.Put(t, "a", "c0ntent-a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := s.Store.Resolve(ctx, []variables.Query{{Name: "a"}}); !fault.Is(err, fault.Interrupted) || got != nil {
		t.Errorf("it gave %v, %v", got, err)
	}
}

func concurrent(t *testing.T, s Subject) {
	s.Put(t, "a", "c0ntent-a")
	s.Put(t, "b", "c0ntent-b")
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			got, err := s.Store.Resolve(t.Context(), []variables.Query{{Name: "a"}, {Name: "b"}, {Name: "a"}})
			if err != nil || len(got) != 3 || got[1].Value.Reveal() != "c0ntent-b" {
				t.Errorf("one of many got %v, %v", got, err)
			}
		})
	}
	wait.Wait()
}

func resolve(t *testing.T, s Subject, queries ...variables.Query) []variables.Variable {
	t.Helper()
	got, err := s.Store.Resolve(t.Context(), queries)
	if err != nil || len(got) != len(queries) {
		t.Fatalf("%v gave %d answers: %v", queries, len(got), err)
	}
	return got
}

// fails checks an error: its kind, what it is made of, that it names the store and the variables, offers a cure and holds no content.
func fails(t *testing.T, s Subject, err error, kind fault.Kind, sentinel error, names ...string) {
	t.Helper()
	if !fault.Is(err, kind) || sentinel != nil && !errors.Is(err, sentinel) {
		t.Fatalf("it failed with %v (%v), and not with %v, %v", err, fault.KindOf(err), kind, sentinel)
	}
	text := err.Error() + "\n" + fault.HintOf(err)
	for _, name := range append(slices.Clone(names), s.Store.String()) {
		if !strings.Contains(text, name) {
			t.Errorf("it does not name %q: %s", name, text)
		}
	}
	if len(names) > 0 && fault.HintOf(err) == "" {
		t.Errorf("it offers no cure: %s", text)
	}
	if strings.Contains(text, "c0ntent") {
		t.Errorf("it holds a content: %s", text)
	}
}
