package app

import (
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/sluice-dev/sluice/internal/fault"
)

// azure is whoever the Azure SDK finds signed in: a service principal of the environment, a workload's or machine's identity, az.
func (a *App) azure() (azcore.TokenCredential, error) {
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, fault.Wrap(fault.Unreachable, "look for who is signed in to Azure", err)
	}
	return credential, nil
}

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
