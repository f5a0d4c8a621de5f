//go:build e2e

package oci_test

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
)

// TestContractOnTheLocalCluster runs the contract on the local cluster's registry, or on that of SLUICE_E2E_REGISTRY. What it pushes
// lies under a new name each time and stays there: some kilobytes.
func TestContractOnTheLocalCluster(t *testing.T) {
	host := "localhost:5000"
	if h := os.Getenv("SLUICE_E2E_REGISTRY"); h != "" {
		host = h
	}
	registrytest.Run(t, func(*testing.T) (registrytest.Port, string) {
		return oci.New(oci.Options{}), host + "/registry-e2e/" + strings.ToLower(rand.Text())
	})
}
