package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/managedidentity"

	"github.com/sluice-dev/sluice/internal/fault"
)

const (
	// metadataService is where a machine of Azure asks who it is; the address is valid within it alone.
	metadataService = "http://169.254.169.254/metadata/identity/oauth2/token"
	// lookTime is how long that may take to answer at all: it is on the machine itself, and a laptop has none.
	lookTime = time.Second
	// notAssigned begins what a machine says that has no identity, or not the one that was asked for.
	notAssigned = "Identity not found"
)

// machine signs in as the managed identity of what this runs on: a virtual machine, App Service, Azure Arc and others.
func (c *Chain) machine() *way {
	w := &way{name: WayManaged, client: c.lookup("AZURE_CLIENT_ID"), found: "the machine's own identity", explain: c.notManaged}
	o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: policy.ClientOptions{
		Transport: watching{c.o.Metadata}, Retry: c.o.Retry, Telemetry: policy.TelemetryOptions{ApplicationID: "sluice"},
	}}
	if w.client != "" {
		w.found, o.ID = "client "+w.client, azidentity.ClientID(w.client)
	}
	source, err := managedidentity.GetSource()
	if err != nil {
		w.wrong = fault.New(fault.Unreachable, "", "%w", err)
		return w
	}
	if source == managedidentity.DefaultToIMDS {
		w.look = c.lookForMachine
	} else {
		w.found += " of " + string(source)
	}
	if source == managedidentity.ServiceFabric {
		// The library pins the certificate of that service, which it can do with a client of its own alone.
		o.Transport = nil
	}
	credential, err := azidentity.NewManagedIdentityCredential(o)
	return use(w, credential, err)
}

// lookForMachine asks the metadata service something that it refuses: whoever refuses it so is one.
func (c *Chain) lookForMachine(ctx context.Context) (missing string, err error) {
	const none = "a machine of Azure: "
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, metadataService, http.NoBody)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "look for the metadata service", err)
	}
	response, err := c.o.Metadata.Do(request)
	if err != nil {
		return none + "nothing answers at " + request.URL.Host, nil
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(response.Body, largest)) // what cannot be read is none
	if _, ok := readRefusal(body); !ok && response.StatusCode != http.StatusBadRequest {
		return fmt.Sprintf("%swhat answers at %s is no metadata service of Azure", none, request.URL.Host), nil
	}
	return "", nil
}

// notManaged tells apart that a machine has no identity, which is nobody's fault, and that it does not give it.
func (c *Chain) notManaged(w *way, err error, seen *exchange, scope string) error {
	said, ok := readRefusal(seen.body)
	switch {
	case ok && seen.status == http.StatusBadRequest && strings.HasPrefix(said.Description, notAssigned):
		if w.client != "" {
			return &errNone{"an identity with client " + w.client + " that is assigned to this machine"}
		}
		return &errNone{"an identity that is assigned to this machine"}
	case ok && strings.Contains(said.Description, "Multiple user assigned identities"):
		return fault.New(fault.Unreachable, "", "several identities are assigned to this machine, and none of them is its own").
			WithHint("name the one to use: AZURE_CLIENT_ID; az identity list --query '[].{name: name, client: clientId}' -o table lists them")
	case ok && said.code() != "":
		return c.refused(w, err, seen, scope)
	case seen.status != 0:
		return fault.New(fault.Unreachable, "", "the identity service of this machine answered %d", seen.status).
			WithHint("run the command again: nothing was changed; a machine that is new may need a minute to know its identity")
	case seen.err != nil:
		return fault.New(fault.Unreachable, "", "the identity service of this machine does not answer: %w", seen.err).
			WithHint("run the command again: nothing was changed")
	}
	return fault.New(fault.Unreachable, "", "%w", plainly(err))
}

// said is an answer in the form of OAuth 2.0 and of Azure's own services.
type said struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Codes       []int  `json:"error_codes"`
}

// readRefusal reads why somebody says no; false where an answer is nothing of that kind.
func readRefusal(body []byte) (said, bool) {
	var s said
	if json.Unmarshal(body, &s) != nil || s.Error == "" {
		return said{}, false
	}
	return s, true
}

// plainly is what the library says without its advice where to read on.
func plainly(err error) error {
	text, _, _ := strings.Cut(err.Error(), ". To troubleshoot, visit ")
	text, _, _ = strings.Cut(text, "\n")
	return errors.New(strings.TrimSpace(text))
}
