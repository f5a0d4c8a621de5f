package entra

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Where a machine asks who it is.
const (
	metadataHost = "169.254.169.254"
	metadataPath = "/metadata/identity/oauth2/token"
)

// metadata gives tokens of the machine's identities.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	no := func(status int, kind, text string) {
		reply(w, status, map[string]string{"error": kind, "error_description": text})
	}
	query := r.URL.Query()
	client := query.Get("client_id")
	at := slices.IndexFunc(s.Machine, func(a App) bool { return client == "" || a.Client == client })
	switch {
	case r.Header.Get("Metadata") != "true":
		no(http.StatusBadRequest, "invalid_request", "Required metadata header not specified")
	case query.Get("api-version") == "":
		no(http.StatusBadRequest, "invalid_request", "Required query variable 'api-version' is missing")
	case query.Get("resource") == "":
		no(http.StatusBadRequest, "invalid_request", "Required audience parameter not specified")
	case client == "" && len(s.Machine) > 1:
		no(http.StatusBadRequest, "invalid_request", "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request")
	case at < 0:
		no(http.StatusBadRequest, "invalid_request", "Identity not found")
	default:
		life := s.life()
		reply(w, http.StatusOK, map[string]string{
			"access_token": s.give(s.Machine[at], query.Get("resource")), "client_id": s.Machine[at].Client, "resource": query.Get("resource"), "token_type": "Bearer",
			"expires_in": strconv.Itoa(int(life.Seconds())), "ext_expires_in": strconv.Itoa(int(life.Seconds())),
			"expires_on": strconv.FormatInt(time.Now().Add(life).Unix(), 10), "not_before": strconv.FormatInt(time.Now().Unix(), 10),
		})
	}
}
