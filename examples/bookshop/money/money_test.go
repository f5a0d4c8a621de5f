package money_test

import (
	"testing"

	"github.com/sluice-dev/sluice/examples/bookshop/money"
)

func TestString(t *testing.T) {
	for amount, want := range map[money.Amount]string{0: "0.00", 5: "0.05", 1205: "12.05", -250: "-2.50"} {
		if got := amount.String(); got != want {
			t.Errorf("%d is written %s, want %s", int64(amount), got, want)
		}
	}
}

func TestWithTaxRoundsHalfUp(t *testing.T) {
	for amount, want := range map[money.Amount]money.Amount{100: 107, 50: 54, 7: 7, 8: 9} {
		if got := amount.WithTax(7); got != want {
			t.Errorf("%s with 7 %% is %s, want %s", amount, got, want)
		}
	}
}
