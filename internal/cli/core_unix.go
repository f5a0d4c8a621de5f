//go:build unix

package cli

import "syscall"

// withoutCore keeps the system from writing the memory of this process, and of those that it starts, into a file when they crash: secrets are
// in it. A limit of one byte, unlike none, also keeps the kernel of Linux from piping it into a program.
func withoutCore() {
	limit := syscall.Rlimit{}
	if syscall.Getrlimit(syscall.RLIMIT_CORE, &limit) != nil {
		return
	}
	limit.Cur = min(limit.Max, 1)
	// Where it cannot be set, it is as before.
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &limit)
}
