//go:build unix

package cli

import (
	"syscall"
	"testing"
)

func TestNoCoreIsDumped(t *testing.T) {
	System()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil || limit.Cur > 1 {
		t.Errorf("%d bytes of a core may be written, %v", limit.Cur, err)
	}
}
