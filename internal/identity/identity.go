// Package identity is the port to whoever vouches for this run, and the types of what they give and of what came of asking; it must not know what the tokens are shown to, nor print one.
package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Source gives tokens that say who this run is. It is safe for concurrent use.
type Source interface {
	// Token returns a token for an audience: for Entra ID a scope such as https://vault.azure.net/.default, for a pipeline's identity
	// whoever the token is to be shown to ("": whom the pipeline means by default). It is valid for as long as Expires says.
	//
	// It fails with fault.Unreachable where no token can be had: a *Failure is in the chain where several ways were tried, a *Refusal
	// where whoever was asked said no. No error contains a token.
	Token(ctx context.Context, audience string) (Token, error)
}

// ErrAbsent says that nothing here vouches for this run, which is known for sure. It comes within an error of a Source.
var ErrAbsent = errors.New("nothing here says who this run is")

// Attempt is one way to sign in, and what came of it.
type Attempt struct {
	// Way names it for people: "service principal (secret)", "workload identity federation (GitHub Actions)", "az login".
	Way string
	// Found is what there was to try it with, such as a client and a tenant, without a secret; "" says that there was nothing, so that it
	// was not tried, and Missing what it would need.
	Found, Missing string
	// Presented is what the token that was shown says of itself; nil where none was shown.
	Presented *Claims
	// Err is why it was not taken; nil where it worked and where it was not tried. fault.HintOf gives the cure.
	Err error
}

// Worked says that this way gave a token.
func (a Attempt) Worked() bool { return a.Found != "" && a.Err == nil }

func (a Attempt) String() string {
	switch {
	case a.Found == "":
		return a.Way + ": not tried: " + a.Missing
	case a.Err == nil:
		return a.Way + ": signed in as " + a.Found
	}
	text := a.Way + ": as " + a.Found + ": " + a.Err.Error()
	if a.Presented != nil {
		text += "; presented was a token " + a.Presented.String()
	}
	return text
}

// Refusal is a no of whoever was asked to let somebody in.
type Refusal struct {
	// Code is what they call it, such as AADSTS700213; "" where they have no name for it.
	Code string
	// Says is their explanation, for people.
	Says string
}

func (r *Refusal) Error() string {
	if r.Code == "" || strings.Contains(r.Says, r.Code) {
		return r.Says
	}
	return r.Code + ": " + r.Says
}

// Failure is the error of a Source to which no way led.
type Failure struct {
	// Attempts are all ways in the order in which they are tried, up to one that failed and must not be stepped over.
	Attempts []Attempt
	// Decided says why the ways after the last one were not tried; "" where all were.
	Decided string
}

func (f *Failure) Error() string {
	lines := []string{"no way led to a token"}
	for _, a := range f.Attempts {
		lines = append(lines, "  "+a.String())
	}
	if f.Decided != "" {
		lines = append(lines, "  "+f.Decided)
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns why the ways that were tried failed.
func (f *Failure) Unwrap() []error {
	var errs []error
	for _, a := range f.Attempts {
		if a.Err != nil {
			errs = append(errs, a.Err)
		}
	}
	return errs
}

// Failed is the error of a Source to which no way led. Its cures are those of the ways that were tried, else the given one.
func Failed(op, cure string, f *Failure) error {
	var cures []string
	for _, a := range f.Attempts {
		if hint := fault.HintOf(a.Err); hint != "" {
			cures = append(cures, hint)
		}
	}
	if len(cures) == 0 {
		cures = append(cures, cure)
	}
	return &fault.Error{Op: op, Kind: fault.Unreachable, Err: f, Hint: strings.Join(cures, "\n")}
}

// Claims are what a token says of itself. Whether that is true only those know to whom it is shown.
type Claims struct {
	Issuer, Subject string
	Audience        []string
	// Tenant is the directory of Entra ID that the token is of; "" for the tokens of others.
	Tenant string
	// Object is who it is of in that directory, as roles are granted to it; "" for the tokens of others.
	Object string
	// Expires is zero where it says nothing of that.
	Expires time.Time
}

func (c Claims) String() string {
	text := fmt.Sprintf("by issuer %s for subject %s and audience %s", c.Issuer, c.Subject, strings.Join(c.Audience, ", "))
	if !c.Expires.IsZero() {
		text += ", valid until " + c.Expires.UTC().Format(time.RFC3339)
	}
	return text
}
