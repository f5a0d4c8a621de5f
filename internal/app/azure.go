package app

import (
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
)

// resourceManager says where Azure Resource Manager is: in the cloud whose directory the environment signs in to, or at ARM_ENDPOINT, which
// an Azure of one's own has. There a token is asked for that is good for nothing else.
func (a *App) resourceManager() cloud.Configuration {
	if endpoint, ok := a.lookup("ARM_ENDPOINT"); ok {
		endpoint = strings.TrimRight(endpoint, "/")
		return cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: endpoint, Audience: endpoint},
		}}
	}
	authority, _ := a.lookup("AZURE_AUTHORITY_HOST")
	for _, known := range []cloud.Configuration{cloud.AzureGovernment, cloud.AzureChina} {
		if authority != "" && strings.EqualFold(strings.TrimRight(authority, "/"), strings.TrimRight(known.ActiveDirectoryAuthorityHost, "/")) {
			return known
		}
	}
	return cloud.AzurePublic
}
