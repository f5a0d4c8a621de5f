package azure

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// tryTime bounds one request to Entra ID.
const tryTime = 15 * time.Second

// authority is where Entra ID is, of the cloud that the environment names.
func (c *Chain) authority() string {
	if host := c.lookup("AZURE_AUTHORITY_HOST"); host != "" {
		return host
	}
	return cloud.AzurePublic.ActiveDirectoryAuthorityHost
}

func isAuthority(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil
}

// private says that the authority is of none of the public or sovereign clouds, so that only its own word can be taken for what it is:
// theirs do not know it.
func (c *Chain) private() bool {
	u, err := url.Parse(c.authority())
	return err == nil && !slices.ContainsFunc([]string{"microsoftonline.com", "microsoftonline.us", "chinacloudapi.cn", "partner.microsoftonline.cn", "microsoft.com"},
		func(known string) bool { return u.Host == "login."+known || strings.HasSuffix(u.Host, ".login."+known) })
}

// exchangeAudience is whom a token is made for that is shown to Entra ID. The sovereign clouds have their own.
func (c *Chain) exchangeAudience() string {
	const audience = "api://AzureADTokenExchange"
	switch host := c.authority(); {
	case strings.Contains(host, ".microsoftonline.us"):
		return audience + "USGov"
	case strings.Contains(host, ".chinacloudapi.cn"), strings.Contains(host, ".partner.microsoftonline.cn"):
		return audience + "China"
	}
	return audience
}

// tenants are those that tokens may be asked for besides the one that is named: a service may ask for a token of its own.
func (c *Chain) tenants() []string {
	return strings.FieldsFunc(c.lookup("AZURE_ADDITIONALLY_ALLOWED_TENANTS"), func(r rune) bool { return r == ';' || r == ' ' })
}

// client is how Entra ID is asked.
func (c *Chain) client() policy.ClientOptions {
	retry := c.o.Retry
	if retry.TryTimeout == 0 {
		retry.TryTimeout = tryTime
	}
	return policy.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: c.authority(), Services: map[cloud.ServiceName]cloud.ServiceConfiguration{}},
		Transport: watching{c.o.Transport},
		Retry:     retry,
		Telemetry: policy.TelemetryOptions{ApplicationID: "sluice"},
	}
}

// direct is a client for the machine's own services: an address that is only valid within the machine must not be asked for at a proxy.
func direct() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
	}}
}

// exchange is the last request of a try, and what came of it.
type exchange struct {
	host   string
	status int
	body   []byte
	err    error
}

type exchangeKey struct{}

// watched lets a transport tell what it saw: what the libraries make of an answer, or of none, is hard to read for people and programs.
func watched(ctx context.Context, seen *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, seen)
}
