//go:build !e2e

package prometheus_test

import "testing"

func servers() map[string]func(*testing.T) *bed {
	return map[string]func(*testing.T) *bed{"fake": startFake}
}
