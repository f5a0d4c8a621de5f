package variables

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	kubeyaml "sigs.k8s.io/yaml"
)

const canary = "s3cr3t-canary"

type holder struct {
	Open   Value
	Ptr    *Value
	List   []Value
	Map    map[string]Value
	Any    any
	hidden Value
	within struct{ deeper []Value }
}

func held() holder {
	v := NewValue(canary)
	h := holder{Open: v, Ptr: &v, List: []Value{v}, Map: map[string]Value{"a": v}, Any: v, hidden: v}
	h.within.deeper = []Value{v}
	return h
}

// leaks says in which form the canary is in a text.
func leaks(text string) string {
	for name, form := range map[string]string{
		"plain": canary, "hex": fmt.Sprintf("%x", canary), "HEX": fmt.Sprintf("%X", canary), "bytes": strings.Trim(fmt.Sprint([]byte(canary)), "[]"),
		"quoted bytes": strings.Trim(fmt.Sprintf("%#v", []byte(canary))[6:], "{}"),
	} {
		if strings.Contains(text, form) {
			return name
		}
	}
	return ""
}

func TestNoVerbPrintsAValue(t *testing.T) {
	v, h := NewValue(canary), held()
	for _, verb := range []string{"v", "+v", "#v", "s", "q", "x", "X", "d", "t", "T", "c", "U", "e", "g", "b", "o", "20s", "-5v", " x", "#x", "w", "z"} {
		for what, arg := range map[string]any{"value": v, "pointer": &v, "list": []Value{v}, "map": map[string]Value{"a": v}, "struct": h, "struct pointer": &h, "any": []any{v}, "panic": func() any { return v }()} {
			if form := leaks(fmt.Sprintf("%"+verb, arg)); form != "" {
				t.Errorf("%%%s of a %s leaks: %s", verb, what, form)
			}
		}
	}
	for _, text := range []string{fmt.Sprint(v), v.String(), fmt.Sprintf("%#v", v), fmt.Sprintf("%q", v), fmt.Errorf("x: %v", v).Error(), errors.Join(fmt.Errorf("%s", v)).Error()} {
		if !strings.Contains(text, Redacted) {
			t.Errorf("%q does not say that something is left out", text)
		}
	}
}

func TestNoEncoderWritesAValue(t *testing.T) {
	h := held()
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("x", "value", h.Open, "struct", h, "group", slog.GroupValue(slog.Any("a", h.Open)), "ptr", h.Ptr)
	}
	var xmlText bytes.Buffer
	if err := xml.NewEncoder(&xmlText).Encode(h.Open); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"slog": log.String(), "xml": xmlText.String()}
	for name, marshal := range map[string]func(any) ([]byte, error){
		"json": json.Marshal, "yaml": func(v any) ([]byte, error) { return yaml.Marshal(v) }, "kubernetes yaml": func(v any) ([]byte, error) { return kubeyaml.Marshal(v) },
	} {
		data, err := marshal(h)
		if err != nil {
			t.Fatal(name, err)
		}
		texts[name] = string(data)
	}
	for name, parse := range map[string]func(b *bytes.Buffer) error{
		"template": func(b *bytes.Buffer) error {
			return template.Must(template.New("").Parse("{{.Open}} {{.}} {{printf `%s` .Open}}")).Execute(b, h)
		},
		"html": func(b *bytes.Buffer) error {
			return htmltemplate.Must(htmltemplate.New("").Parse("<script>{{.Open}}</script>{{.Any}}")).Execute(b, h)
		},
	} {
		var b bytes.Buffer
		if err := parse(&b); err != nil {
			t.Fatal(name, err)
		}
		texts[name] = b.String()
	}
	for name, text := range texts {
		if form := leaks(text); form != "" {
			t.Errorf("%s leaks (%s): %s", name, form, text)
		}
		if !strings.Contains(text, Redacted) {
			t.Errorf("%s does not say that something is left out: %s", name, text)
		}
	}
}

func TestNoDocumentBecomesAValue(t *testing.T) {
	var into struct{ V Value }
	if err := json.Unmarshal([]byte(`{"V":"[redacted]"}`), &into); err == nil {
		t.Error("a redacted text was read as a value")
	}
}

func TestEqualComparesContents(t *testing.T) {
	for _, c := range []struct {
		a, b  Value
		equal bool
	}{
		{NewValue("a"), NewValue("a"), true},
		{NewValue("a"), NewValue("b"), false},
		{NewValue("a"), NewValue("aa"), false},
		{NewValue("a\x00"), NewValue("a"), false},
		{Value{}, NewValue(""), true},
		{Value{}, NewValue("a"), false},
	} {
		if got := c.a.Equal(c.b); got != c.equal {
			t.Errorf("%q and %q: %v", c.a.Reveal(), c.b.Reveal(), got)
		}
	}
	if diff := cmp.Diff(Variable{Value: NewValue(canary)}, Variable{Value: NewValue("other")}); diff == "" || leaks(diff) != "" {
		t.Errorf("a comparison in a test tells too little or too much: %s", diff)
	}
}

func TestRevealIsTheWayOut(t *testing.T) {
	for _, content := range []string{"", canary, "with\nlines\n", "\x00\xff"} {
		if got := NewValue(content).Reveal(); got != content {
			t.Errorf("%q came out as %q", content, got)
		}
	}
}
