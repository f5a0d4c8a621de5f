package variables

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what stands in place of a value wherever one is printed.
const Redacted = "[redacted]"

// Value is a content that nobody must see by accident: fmt, JSON, YAML, templates and slog print it as [redacted], also from within
// other structs. Reveal is the only way out. Values are compared by Equal; the compiler refuses `==`. The zero Value is an empty one.
type Value struct {
	// content is a function because nothing that walks through fields, exported or not, calls one.
	content func() string
}

// NewValue holds a text, or any bytes.
func NewValue(content string) Value { return Value{content: func() string { return content }} }

// Reveal returns the content. Whoever calls it takes care that it goes only where it must.
func (v Value) Reveal() string {
	if v.content == nil {
		return ""
	}
	return v.content()
}

// Equal compares in a time that does not depend on where the contents differ.
func (v Value) Equal(other Value) bool {
	a, b := sha256.Sum256([]byte(v.Reveal())), sha256.Sum256([]byte(other.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// String is always Redacted.
func (v Value) String() string { return Redacted }

// Format prints Redacted for every verb and flag.
func (v Value) Format(f fmt.State, _ rune) {
	// What a printer cannot write it reports itself.
	_, _ = io.WriteString(f, Redacted)
}

// MarshalText makes encoders write Redacted. There is no way back: a Value is read from a store, never from a document.
func (v Value) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue makes slog write Redacted.
func (v Value) LogValue() slog.Value { return slog.StringValue(Redacted) }

var (
	_ fmt.Formatter  = Value{}
	_ slog.LogValuer = Value{}
)
