//go:build !unix

package cli

// withoutCore does nothing: only systems of the Unix kind dump core.
func withoutCore() {}
