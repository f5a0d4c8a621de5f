package config

import (
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// aks checks a cluster that is found in Azure. What is wrong here would be a "not found" of Azure's, which does not say which part it is.
func (v *validator) aks(path string, c v1alpha1.Cluster) {
	if c.Kubeconfig != "" {
		v.report(child(path, "kubeconfig"), "remove one of the two", "means nothing together with aks, which needs none")
	}
	path, a := child(path, "aks"), c.AKS
	if here := child(path, "subscription"); v.positions.has(here) && !v.matches(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`, a.Subscription) {
		v.report(here, "`az account show --query id` prints it", "%q is no id of an Azure subscription", a.Subscription)
	}
	if here := child(path, "resourceGroup"); v.positions.has(here) && !v.matches(`^[-\w.()]{0,89}[-\w()]$`, a.ResourceGroup) {
		v.report(here, "`az aks list -o table` prints it", "%q is no name of a resource group", a.ResourceGroup)
	}
	if here := child(path, "name"); v.positions.has(here) && !v.matches(`^[a-zA-Z0-9]([-\w]{0,61}[a-zA-Z0-9])?$`, a.Name) {
		v.report(here, "`az aks list -o table` prints it", "%q is no name of an AKS cluster", a.Name)
	}
	if here := child(path, "runCommand"); v.positions.has(here) {
		switch a.RunCommand {
		case v1alpha1.RunCommandNever, v1alpha1.RunCommandFallback, v1alpha1.RunCommandAlways:
		default:
			v.report(here, "known: never, fallback, always", "%q is no time at which the run-command API can be used", a.RunCommand)
		}
	}
}

func aksDefaults(c *v1alpha1.Cluster) {
	if c.AKS != nil && c.AKS.RunCommand == "" {
		c.AKS.RunCommand = v1alpha1.RunCommandFallback
	}
}
