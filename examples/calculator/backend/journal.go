package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-dev/sluice/examples/calculator/internal/api"
)

// journal tells how often back ends were started on a volume. It shows that the slots of a release share one.
type journal struct {
	File    string `json:"file"`
	Starts  int    `json:"starts,omitempty"`  // lines in the file, ours included
	Problem string `json:"problem,omitempty"` // why it could not be kept
}

// startJournal appends a line to the journal. A volume that cannot be written does not keep the calculator from calculating,
// so the problem is kept to be told rather than returned.
func startJournal(dir string, id *api.Identity, now time.Time) *journal {
	j := &journal{File: filepath.Join(dir, "starts.log")}
	line := now.UTC().Format(time.RFC3339)
	if id != nil {
		line += " " + id.Slot + " " + id.Version
	}
	if err := appendLine(j.File, line); err != nil {
		j.Problem = err.Error()
		return j
	}
	all, err := os.ReadFile(j.File)
	if err != nil {
		j.Problem = err.Error()
		return j
	}
	j.Starts = bytes.Count(all, []byte("\n"))
	return j
}

// appendLine writes the line in one call, so that lines of several pods do not mix.
func appendLine(name, line string) error {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	if _, err := file.WriteString(line + "\n"); err != nil {
		file.Close()
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	return nil
}
