// Command receipts prints receipts: GET /receipt?title=Locks&cents=2450.
package main

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/sluice-dev/sluice/examples/bookshop/money"
	"github.com/sluice-dev/sluice/examples/bookshop/serving"
)

// tax on books, in percent.
const tax = 7

func main() {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /receipt", func(w http.ResponseWriter, r *http.Request) {
		cents, err := strconv.ParseInt(r.FormValue("cents"), 10, 32)
		if err != nil || cents < 0 {
			http.Error(w, "cents must be a whole number", http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, receipt(r.FormValue("title"), money.Amount(cents)))
	})
	serving.Main(routes)
}

func receipt(title string, net money.Amount) string {
	return fmt.Sprintf("%-30s %10s\n%-30s %10s\n", title, net, "with tax", net.WithTax(tax))
}
