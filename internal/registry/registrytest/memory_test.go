package registrytest

import "testing"

func TestMemoryKeepsTheContract(t *testing.T) {
	Run(t, func(*testing.T) (Port, string) { return &Memory{}, "memory.test:5000/contract" })
}
