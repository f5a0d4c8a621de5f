// Package process starts the node's programs as daemons, recognises them again and ends them. It must never signal a
// process that it did not start: a pid is only believed together with its start time and boot.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Identity names one process for good. A pid alone is reused; a start time counts from the boot.
type Identity struct {
	PID int `json:"pid"`
	// Started is field 22 of /proc/PID/stat, in clock ticks since the boot.
	Started uint64 `json:"started"`
	// Boot is the kernel's boot id.
	Boot string `json:"boot"`
}

// ErrGone says that there is no such process (any more).
var ErrGone = errors.New("process is gone")

// Identify reads the identity of a running process. ErrGone if there is none or it is a zombie.
func Identify(pid int) (Identity, error) {
	boot, err := BootID()
	if err != nil {
		return Identity{}, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || isNoSuchProcess(err) {
		return Identity{}, ErrGone
	}
	if err != nil {
		return Identity{}, fmt.Errorf("read the state of process %d: %w", pid, err)
	}
	started, err := parseStat(stat)
	if err != nil {
		return Identity{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return Identity{PID: pid, Started: started, Boot: boot}, nil
}

// Alive says whether exactly this process runs. An error means that it could not be found out.
func (i Identity) Alive() (bool, error) {
	if i.PID <= 0 {
		return false, nil
	}
	now, err := Identify(i.PID)
	if errors.Is(err, ErrGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return now == i, nil
}

// BootID reads what tells this boot from every other.
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

// Positions in /proc/PID/stat after the closing parenthesis of the command's name, which may hold blanks itself.
const (
	fieldState   = 0
	fieldStarted = 19
)

func parseStat(stat []byte) (started uint64, err error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, fmt.Errorf("unexpected format of its stat file: %q", stat)
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) <= fieldStarted {
		return 0, fmt.Errorf("its stat file has only %d fields", len(fields))
	}
	if fields[fieldState] == "Z" || fields[fieldState] == "X" {
		return 0, ErrGone
	}
	started, err = strconv.ParseUint(fields[fieldStarted], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("start time in its stat file: %w", err)
	}
	return started, nil
}
