// Command catalog says what books there are and what they cost.
package main

import (
	"encoding/json"
	"net/http"

	"github.com/sluice-dev/sluice/examples/bookshop/money"
	"github.com/sluice-dev/sluice/examples/bookshop/serving"
)

type book struct {
	Title string `json:"title"`
	Price string `json:"price"`
}

func main() {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /books", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(books())
	})
	serving.Main(routes)
}

func books() []book {
	return []book{{"The Sluice Keeper", money.Amount(1890).String()}, {"A Short History of Locks", money.Amount(2450).String()}}
}
