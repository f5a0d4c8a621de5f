package main

import (
	"crypto/subtle"
	"net/http"

	"github.com/sluice-dev/sluice/examples/calculator/internal/api"
	"github.com/sluice-dev/sluice/examples/calculator/internal/chaos"
)

type handler struct {
	faults   *chaos.Injector
	identity *api.Identity // nil: do not tell the version
	journal  *journal      // nil: no volume
	token    string        // who does not show it is refused; empty: everybody may ask
}

func (h *handler) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /factors", h.known(h.faults.Handler(http.HandlerFunc(h.factors))))
	if h.journal != nil {
		mux.HandleFunc("GET /journal", func(w http.ResponseWriter, _ *http.Request) {
			status := http.StatusOK
			if h.journal.Problem != "" {
				status = http.StatusInternalServerError
			}
			api.Write(w, status, h.journal)
		})
	}
	return mux
}

// known lets in who shows the token.
func (h *handler) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.token != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+h.token)) != 1 {
			api.Write(w, http.StatusUnauthorized, api.Problem{Error: "the token is missing or wrong", Backend: h.identity})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (h *handler) factors(w http.ResponseWriter, r *http.Request) {
	number, err := api.ParseNumber(r.URL.Query().Get("number"))
	if err != nil {
		api.Write(w, http.StatusBadRequest, api.Problem{Error: err.Error(), Backend: h.identity})
		return
	}
	api.Write(w, http.StatusOK, api.Factors{
		Number: number, Factors: h.faults.Factors(factorize(number)), Backend: h.identity,
	})
}

// factorize returns the prime factors in ascending order, with repetitions; none for 0 and 1. Trial division takes about half
// a million steps for the largest number the calculator accepts.
func factorize(n uint64) []uint64 {
	factors := []uint64{}
	if n < 2 {
		return factors
	}
	for n%2 == 0 {
		factors = append(factors, 2)
		n /= 2
	}
	for d := uint64(3); d*d <= n; d += 2 {
		for n%d == 0 {
			factors = append(factors, d)
			n /= d
		}
	}
	if n > 1 {
		factors = append(factors, n)
	}
	return factors
}
