// Command basket adds prices up: GET /total?cents=1890&pieces=2 answers 37.80.
package main

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/sluice-dev/sluice/examples/bookshop/money"
	"github.com/sluice-dev/sluice/examples/bookshop/serving"
)

func main() {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /total", total)
	serving.Main(routes)
}

func total(w http.ResponseWriter, r *http.Request) {
	cents, err := strconv.ParseInt(r.FormValue("cents"), 10, 32)
	if err != nil || cents < 0 {
		http.Error(w, "cents must be a whole number", http.StatusBadRequest)
		return
	}
	pieces, err := strconv.Atoi(r.FormValue("pieces"))
	if err != nil || pieces < 1 || pieces > 1000 {
		http.Error(w, "pieces must be 1 to 1000", http.StatusBadRequest)
		return
	}
	fmt.Fprintln(w, money.Amount(cents).Times(pieces))
}
