package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// redacted stands in place of a token wherever one is printed.
const redacted = "[redacted]"

// Token shows who somebody is. fmt, JSON, YAML, templates and slog print it as [redacted], also from within other structs. Reveal is
// the only way out. The zero Token is an empty one.
type Token struct {
	// content is a function because nothing that walks through fields, exported or not, calls one.
	content func() string
	// Expires is when nobody takes it any more; zero: unknown.
	Expires time.Time
}

// NewToken holds a token as it was given.
func NewToken(content string, expires time.Time) Token {
	return Token{content: func() string { return content }, Expires: expires}
}

// Reveal returns the token. Whoever calls it takes care that it goes only where it must.
func (t Token) Reveal() string {
	if t.content == nil {
		return ""
	}
	return t.content()
}

// String is always [redacted].
func (t Token) String() string { return redacted }

// Format prints [redacted] for every verb and flag.
func (t Token) Format(f fmt.State, _ rune) {
	// What a printer cannot write it reports itself.
	_, _ = io.WriteString(f, redacted)
}

// MarshalText makes encoders write [redacted].
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue makes slog write [redacted].
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// Claims reads what the token says of itself, without verifying it. It fails where it is no JSON Web Token. The error quotes nothing
// of it, for what is no token may be another secret by mistake.
func (t Token) Claims() (Claims, error) {
	parts := strings.Split(t.Reveal(), ".")
	if len(parts) != 3 {
		return Claims{}, fmt.Errorf("it has %d parts between dots, not 3", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return Claims{}, errors.New("its second part is not in base64url")
	}
	var says struct {
		Issuer   string          `json:"iss"`
		Subject  string          `json:"sub"`
		Audience json.RawMessage `json:"aud"`
		Expires  float64         `json:"exp"`
		Tenant   string          `json:"tid"`
		Object   string          `json:"oid"`
	}
	if json.Unmarshal(payload, &says) != nil {
		return Claims{}, errors.New("its second part holds no claims")
	}
	claims := Claims{Issuer: says.Issuer, Subject: says.Subject, Tenant: says.Tenant, Object: says.Object}
	if says.Expires > 0 {
		claims.Expires = time.Unix(int64(says.Expires), 0)
	}
	var one string
	if json.Unmarshal(says.Audience, &one) == nil {
		claims.Audience = []string{one}
	} else if len(says.Audience) > 0 && json.Unmarshal(says.Audience, &claims.Audience) != nil {
		return Claims{}, errors.New("it names no audience that can be read")
	}
	return claims, nil
}

var (
	_ fmt.Formatter  = Token{}
	_ slog.LogValuer = Token{}
)
