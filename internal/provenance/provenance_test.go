package provenance_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/provenance"
)

func TestRepository(t *testing.T) {
	const shop = "https://github.com/acme/shop"
	for text, want := range map[string]string{
		shop:                                      shop,
		shop + ".git":                             shop,
		shop + "/":                                shop,
		"https://me:token@github.com/acme/shop":   shop,
		"https://token@GitHub.com/acme/shop.git":  shop,
		"git@github.com:acme/shop.git":            shop,
		"github.com:acme/shop":                    shop,
		"ssh://git@github.com:22/acme/shop.git":   shop,
		"git://github.com/acme/shop":              shop,
		"https://git.example:8443/a/b":            "https://git.example:8443/a/b",
		"http://git.example/a/b":                  "http://git.example/a/b",
		"https://dev.azure.com/org/my%20p/_git/r": "https://dev.azure.com/org/my%20p/_git/r",
		"https://x@h.example/a?token=secret#frag": "https://h.example/a",
		"/home/me/shop":                           "",
		"../shop":                                 "",
		"file:///home/me/shop":                    "",
		"C:/shop":                                 "",
		"":                                        "",
		"::":                                      "",
	} {
		if got := provenance.Repository(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
		if got := provenance.Repository(want); got != want {
			t.Errorf("%q is not stable: %q", want, got)
		}
	}
}

func TestFromCI(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want provenance.Environment
	}{
		"nowhere": {nil, provenance.Environment{Builder: provenance.LocalBuilder}},
		"GitHub": {map[string]string{
			"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/shop", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2",
			"GITHUB_WORKFLOW_REF": "acme/shop/.github/workflows/release.yaml@refs/heads/main",
		}, provenance.Environment{
			Builder:    "https://github.com/acme/shop/.github/workflows/release.yaml@refs/heads/main",
			Invocation: "https://github.com/acme/shop/actions/runs/7/attempts/2", Repository: "https://github.com/acme/shop",
		}},
		"Azure": {map[string]string{
			"TF_BUILD": "True", "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/", "SYSTEM_TEAMPROJECT": "shop", "SYSTEM_DEFINITIONID": "12", "BUILD_BUILDID": "345",
			"BUILD_REPOSITORY_URI": "https://acme@dev.azure.com/acme/shop/_git/shop",
		}, provenance.Environment{
			Builder:    "https://dev.azure.com/acme/shop/_build?definitionId=12",
			Invocation: "https://dev.azure.com/acme/shop/_build/results?buildId=345", Repository: "https://dev.azure.com/acme/shop/_git/shop",
		}},
	} {
		got := provenance.FromCI(func(name string) (string, bool) { v, ok := c.env[name]; return v, ok })
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestStatement(t *testing.T) {
	digest := strings.Repeat("a", 64)
	data, err := provenance.New("localhost:5000/shop@sha256:"+digest, provenance.PredicateType, provenance.Predicate{
		Definition: provenance.Definition{Dependencies: []provenance.Descriptor{provenance.Source{Repository: "https://h.example/s", Commit: "c1", Dirty: true}.Descriptor()}},
		Run:        provenance.Run{Builder: provenance.Builder{ID: "b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"localhost:5000/shop","digest":{"sha256":"DIGEST"}}],"predicateType":"https://slsa.dev/provenance/v1",` +
		`"predicate":{"buildDefinition":{"buildType":"","externalParameters":{"service":""},"resolvedDependencies":[{"name":"source","uri":"git+https://h.example/s","digest":{"gitCommit":"c1"},"annotations":{"dirty":"true"}}]},` +
		`"runDetails":{"builder":{"id":"b"}}}}`
	if diff := cmp.Diff(strings.Replace(want, "DIGEST", digest, 1), string(data)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	st, err := provenance.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := st.Provenance()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]provenance.Source{{Repository: "https://h.example/s", Commit: "c1", Dirty: true}}, p.Sources()); diff != "" {
		t.Errorf("sources (-want +got)\n%s", diff)
	}
	if _, err := provenance.New("localhost:5000/shop:1.0.0", provenance.PredicateType, nil); !fault.Is(err, fault.Internal) {
		t.Errorf("a tag as a subject gave %v", err)
	}
}

func TestWhatIsNoStatement(t *testing.T) {
	for text, want := range map[string]string{
		"":   "it cannot be read",
		"{}": "no in-toto statement",
		`{"_type":"https://in-toto.io/Statement/v1"}`:                  "it is about nothing",
		`{"_type":"https://in-toto.io/Statement/v1","subject":[{}]}{}`: "something follows it",
		strings.Repeat(" ", 5<<20):                                     "a statement has at most",
	} {
		if st, err := provenance.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q gave %+v, %v", text, st, err)
		}
	}
	for predicate, want := range map[string]string{`{}`: "names no builder", `[]`: "it cannot be read"} {
		st := provenance.Statement{PredicateType: provenance.PredicateType, Predicate: []byte(predicate)}
		if p, err := st.Provenance(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gave %+v, %v", predicate, p, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"x"}}],"predicateType":"https://slsa.dev/provenance/v1","predicate":{"runDetails":{"builder":{"id":"x"}},"buildDefinition":{"resolvedDependencies":[{"uri":"git+a:b","digest":{"sha1":"x"}}]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := provenance.Parse(data)
		if err != nil {
			return
		}
		if st.About("") || st.About("sha256:") {
			t.Error("it is about nothing in particular")
		}
		if p, err := st.Provenance(); err == nil {
			p.Sources()
		}
	})
}

func FuzzRepository(f *testing.F) {
	f.Add("https://me:secret@h.example/a.git")
	f.Fuzz(func(t *testing.T, text string) {
		got := provenance.Repository(text)
		if strings.Contains(got, "@") && strings.Contains(strings.SplitN(strings.TrimPrefix(strings.TrimPrefix(got, "https://"), "http://"), "/", 2)[0], "@") {
			t.Errorf("%q keeps its user: %q", text, got)
		}
	})
}
