package variablestest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// Told checks what an error says and which cure it has, and that it holds none of the secrets however it is printed.
func Told(t *testing.T, err error, says []string, cure string, secrets ...string) {
	t.Helper()
	for _, want := range says {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q: %v", want, err)
		}
	}
	if !strings.Contains(fault.HintOf(err), cure) {
		t.Errorf("the cure is %q, and not %q", fault.HintOf(err), cure)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		text := fmt.Sprintf("%v %+v %#v %s", e, e, e, fault.HintOf(e))
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("it holds a value: %s", text)
			}
		}
	}
}

// Current asks for the current versions of names.
func Current(names ...string) []variables.Query {
	var all []variables.Query
	for _, name := range names {
		all = append(all, variables.Query{Name: name})
	}
	return all
}
