package identitytest_test

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/identity/identitytest"
)

func TestContractOfTheFake(t *testing.T) {
	identitytest.Run(t, "anybody", func(*testing.T) identity.Source {
		return &identitytest.Fake{Content: identity.NewToken("a token that is secret", time.Time{})}
	})
}
