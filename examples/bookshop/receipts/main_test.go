package main

import (
	"strings"
	"testing"
)

func TestReceiptNamesPriceAndTax(t *testing.T) {
	got := receipt("Locks", 2450)
	for _, want := range []string{"Locks", " 24.50\n", " 26.22\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}
