package doctor

import (
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

// signIn explains which ways to an identity were tried, and with what.
func signIn(f Facts) Section {
	s := Section{Name: "identity"}
	worked := false
	for _, a := range f.SignIn.Attempts {
		found := attempted(a)
		found.Code = "identity.attempt"
		worked = worked || a.Worked()
		s.Findings = append(s.Findings, found)
	}
	if worked {
		// What was tried before somebody was let in is no failure.
		for i := range s.Findings {
			if s.Findings[i].Severity == Failed {
				s.Findings[i].Severity = Warning
			}
		}
	}
	result := good("somebody is signed in")
	if f.SignIn.Err != nil {
		result = bad("nobody is signed in")
		if len(f.SignIn.Attempts) == 0 {
			result = failed("nobody is signed in", f.SignIn.Err)
		}
		if f.SignIn.Decided != "" {
			result = result.seen(f.SignIn.Decided)
		}
		if !tried(f.SignIn.Attempts) {
			result = result.next(steps(fault.HintOf(f.SignIn.Err))...)
		}
	}
	if len(f.SignIn.For) > 0 {
		result = result.seen("needed for " + strings.Join(f.SignIn.For, ", "))
	}
	result.Code = "identity.signedIn"
	s.Findings = append(s.Findings, result)
	return s
}

func tried(attempts []identity.Attempt) bool {
	for _, a := range attempts {
		if a.Found != "" {
			return true
		}
	}
	return false
}

func attempted(a identity.Attempt) Finding {
	switch {
	case a.Found == "":
		return skipped("%s: not tried: %s", a.Way, a.Missing)
	case a.Err == nil:
		return good("%s: signed in as %s", a.Way, a.Found).seen(shown(a)...)
	}
	// Who refused knows the cure, with the command that lets in what was presented.
	return bad("%s: %s is not let in", a.Way, a.Found).seen(shown(a)...).seen(a.Err.Error()).next(steps(fault.HintOf(a.Err))...)
}

// steps takes a hint apart: one thing to do a line.
func steps(hint string) []string {
	return strings.FieldsFunc(strings.ReplaceAll(hint, "; ", "\n"), func(r rune) bool { return r == '\n' })
}

// shown is what the token that was shown says of itself.
func shown(a identity.Attempt) []string {
	if a.Presented == nil {
		return nil
	}
	lines := []string{"presented issuer:   " + a.Presented.Issuer, "presented subject:  " + a.Presented.Subject, "presented audience: " + strings.Join(a.Presented.Audience, ", ")}
	if !a.Presented.Expires.IsZero() {
		lines = append(lines, "valid until "+stamp(a.Presented.Expires))
	}
	return lines
}
