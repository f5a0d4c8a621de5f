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
	registrytest.Run(t, func(*testing.T) (registrytest.Port, string) { return oci.New(oci.Options{}), fresh() })
}

// fresh is a prefix in the registry that nothing was pushed to.
func fresh() string {
	host := "localhost:5000"
	if h := os.Getenv("SLUICE_E2E_REGISTRY"); h != "" {
		host = h
	}
	return host + "/registry-e2e/" + strings.ToLower(rand.Text())
}

func TestTheLocalClustersRegistryMountsWhatIsCopied(t *testing.T) {
	r, prefix := oci.New(oci.Options{}), fresh()
	from := sealedIndex(t, r, prefix+"/dev/image")
	copied, err := r.Copy(t.Context(), from, prefix+"/prod/image", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if copied.Moved != 0 {
		t.Errorf("%d bytes were moved within one registry", copied.Moved)
	}
	wantSeals(t, r, copied.Ref, from)
	if _, err := r.Verify(t.Context(), copied.Ref); err != nil {
		t.Error(err)
	}
}
