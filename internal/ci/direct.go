package ci

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ReadsStderr says whether the system itself reads this process's standard error. It may not: `sluice … 2>log`, `2>&1 | tee log` and
// `$(sluice … 2>&1)` take it elsewhere, and a command that names a secret would be kept there for all to read.
func ReadsStderr() bool { return processes{"/proc"}.direct("self", "2") }

// processes are those of a Linux machine, as files. Elsewhere nothing is known of them.
type processes struct{ root string }

// direct follows a pipe upwards: all the processes between this one and the system's own must have it as their own output. A shell that
// reads it, or one that gave it to this process alone, does not.
func (p processes) direct(self, descriptor string) bool {
	pipe, err := os.Readlink(filepath.Join(p.root, self, "fd", descriptor))
	if err != nil || !strings.HasPrefix(pipe, "pipe:") {
		return false
	}
	_, parent, ok := p.status(self)
	for ok && parent > 0 {
		pid := strconv.Itoa(parent)
		var name string
		name, parent, ok = p.status(pid)
		if !p.writes(pid, pipe) {
			// The workers of the two systems, and the program in which Azure Pipelines runs its scripts.
			return ok && slices.Contains([]string{"Runner.Worker", "Agent.Worker", "node"}, name)
		}
	}
	// In a container it is whoever started the container that reads.
	return ok
}

// writes says whether a pipe is one of a process's outputs.
func (p processes) writes(pid, pipe string) bool {
	return slices.ContainsFunc([]string{"1", "2"}, func(descriptor string) bool {
		there, err := os.Readlink(filepath.Join(p.root, pid, "fd", descriptor))
		return err == nil && there == pipe
	})
}

// status returns a process's name and its parent, 0 for none.
func (p processes) status(pid string) (name string, parent int, ok bool) {
	data, err := os.ReadFile(filepath.Join(p.root, pid, "status"))
	if err != nil {
		return "", 0, false
	}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); key {
		case "Name":
			name = value
		case "PPid":
			parent, err = strconv.Atoi(value)
			return name, parent, err == nil
		}
	}
	return "", 0, false
}
