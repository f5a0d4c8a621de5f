// Package identitytest holds what every identity.Source must do, and a fake of one; it must not know any of them.
package identitytest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

// Run tests sources that give tokens for an audience; make returns a new one.
func Run(t *testing.T, audience string, make func(t *testing.T) identity.Source) {
	t.Run("it gives a token that tells nothing when it is printed", func(t *testing.T) {
		token, err := make(t).Token(t.Context(), audience)
		if err != nil || token.Reveal() == "" {
			t.Fatalf("it gave %v, %v", token, err)
		}
		for _, text := range printed(t, token) {
			if strings.Contains(text, token.Reveal()) {
				t.Errorf("it prints itself: %s", text)
			}
		}
	})
	t.Run("it is safe for concurrent use", func(t *testing.T) {
		source := make(t)
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				if token, err := source.Token(t.Context(), audience); err != nil || token.Reveal() == "" {
					t.Errorf("it gave %v, %v", token, err)
				}
			})
		}
		wait.Wait()
	})
	t.Run("it is interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		token, err := make(t).Token(ctx, audience)
		if !fault.Is(err, fault.Interrupted) || token.Reveal() != "" {
			t.Errorf("it gave %v, %v of kind %v", token, err, fault.KindOf(err))
		}
	})
}

func printed(t *testing.T, token identity.Token) []string {
	t.Helper()
	within := struct{ Token identity.Token }{token}
	encoded, err := json.Marshal(within)
	if err != nil {
		t.Fatal(err)
	}
	return []string{fmt.Sprintf("%v %+v %#v %s %q", token, token, token, token, token), fmt.Sprintf("%+v %#v", within, &within), string(encoded)}
}

// Refusing asserts that a source which cannot give a token says so without one of the secrets.
func Refusing(t *testing.T, source identity.Source, audience string, secrets ...string) error {
	t.Helper()
	token, err := source.Token(t.Context(), audience)
	if !fault.Is(err, fault.Unreachable) || token.Reveal() != "" {
		t.Errorf("it gave %v, %v of kind %v", token, err, fault.KindOf(err))
	}
	for _, secret := range secrets {
		if strings.Contains(fmt.Sprintf("%v %+v %#v %s", err, err, err, fault.HintOf(err)), secret) {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
	return err
}
