// Package money counts in cents, so that sums are exact; all three services share it. It must not know what is sold.
package money

import "fmt"

// Amount is a number of cents.
type Amount int64

// Times is the price of several pieces.
func (a Amount) Times(pieces int) Amount { return a * Amount(pieces) }

// WithTax adds a tax in percent, rounded half up to a whole cent.
func (a Amount) WithTax(percent int) Amount { return a + (a*Amount(percent)+50)/100 }

// String writes it as a price: 12.05.
func (a Amount) String() string {
	sign := ""
	if a < 0 {
		sign, a = "-", -a
	}
	return fmt.Sprintf("%s%d.%02d", sign, a/100, a%100)
}
