package azure

import (
	"context"
	"os/exec"
	"regexp"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

// lookForAz says whether the program is there.
func lookForAz(context.Context) (missing string, err error) {
	if path, _ := exec.LookPath("az"); path != "" {
		return "", nil
	}
	return "the program az, and a login with it", nil
}

// azSays repeats why az gives no token; what it says it says for people.
func azSays(w *way, err error, _ *exchange, _ string) error {
	text, _, _ := strings.Cut(err.Error(), ". To troubleshoot, visit ")
	_, text, _ = strings.Cut(text, ": ")
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "WARNING") {
			lines = append(lines, strings.TrimPrefix(line, "ERROR: "))
		}
	}
	text = explanation(strings.Join(lines, " "))
	login := "az login"
	if w.tenant != "" {
		login += " --tenant " + plain(w.tenant, "TENANT")
	}
	// az knows better than anybody what it needs, such as a scope.
	if own := regexp.MustCompile(`az login( --?[a-z-]+ "?[A-Za-z0-9._:/=-]+"?)+`).FindString(text); own != "" {
		login = own
	}
	if code := codeIn(text); code != "" {
		return fault.New(fault.Unreachable, "", "%w", &identity.Refusal{Code: code, Says: text}).WithHint("sign in again: %s", login)
	}
	return fault.New(fault.Unreachable, "", "it says: %s", text).WithHint("sign in: %s", login)
}
