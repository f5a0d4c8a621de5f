package main

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed" // the page
	"errors"
	"html/template"
	"net/http"

	"github.com/sluice-dev/sluice/examples/calculator/internal/api"
	"github.com/sluice-dev/sluice/examples/calculator/internal/chaos"
)

//go:embed page.html
var pageSource string

// site is the page and its API.
type site struct {
	backend interface {
		factors(ctx context.Context, number uint64) (api.Factors, error)
	}
	identity *api.Identity // nil: do not tell the version
	page     *template.Template
}

func newSite(b *backend, faults *chaos.Injector, identity *api.Identity) http.Handler {
	s := &site{backend: b, identity: identity, page: template.Must(template.New("page").Parse(pageSource))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.index)
	mux.Handle("GET /api/calculate", faults.Handler(http.HandlerFunc(s.calculate)))
	return mux
}

// index serves the page. Style and script are in it, so that during a canary one version's page never loads another's script.
func (s *site) index(w http.ResponseWriter, _ *http.Request) {
	nonce := rand.Text()
	var page bytes.Buffer
	if err := s.page.Execute(&page, map[string]any{"Nonce": nonce, "Identity": s.identity, "Max": uint64(api.MaxNumber)}); err != nil {
		http.Error(w, "render the page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; img-src data:; "+
		"style-src 'nonce-"+nonce+"'; script-src 'nonce-"+nonce+"'; base-uri 'none'; form-action 'none'")
	// A failing write means that the caller has gone: nobody is left to tell.
	_, _ = w.Write(page.Bytes())
}

func (s *site) calculate(w http.ResponseWriter, r *http.Request) {
	number, err := api.ParseNumber(r.URL.Query().Get("number"))
	if err != nil {
		s.problem(w, http.StatusBadRequest, err)
		return
	}
	answer, err := s.backend.factors(r.Context(), number)
	switch {
	case errors.Is(err, errTimeout):
		s.problem(w, http.StatusGatewayTimeout, err)
	case err != nil:
		s.problem(w, http.StatusBadGateway, err)
	default:
		api.Write(w, http.StatusOK, api.Answer{
			Number: answer.Number, Factors: answer.Factors, Frontend: s.identity, Backend: answer.Backend,
		})
	}
}

func (s *site) problem(w http.ResponseWriter, status int, err error) {
	api.Write(w, status, api.Problem{Error: err.Error(), Frontend: s.identity})
}
