package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Spec is one daemon to run.
type Spec struct {
	// Name names its record and its log.
	Name string
	// Path is the program; Args are its arguments without the program's name.
	Path string
	Args []string
	// Env is its whole environment.
	Env []string
	// Dir is its working folder.
	Dir string
	// Files are configuration files that it reads once, at its start.
	Files []string
	// Nice is its scheduling priority, -20 to 19; where the right to raise it is missing the default stands.
	Nice int
}

// entry is what the folder of records holds about a daemon.
type entry struct {
	Identity
	// Digest tells what was started from what would be started now.
	Digest string `json:"digest"`
}

// digest changes with what a running daemon cannot take up by itself. The environment is left out: it carries the search
// path of whoever calls, which is no reason to restart anything.
func (s Spec) digest() (string, error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %q %q %d\n", s.Path, s.Args, s.Dir, s.Nice)
	for _, file := range s.Files {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("configuration of %s: %w", s.Name, err)
		}
		fmt.Fprintf(hash, "%q %d\n", file, len(content))
		hash.Write(content)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// Table is the folder of records and logs of the daemons of one node.
type Table struct {
	// Records is the folder of the records, Logs that of the logs.
	Records, Logs string
	// Adopt is called with the pid of a started daemon before it is recorded; it puts it into the node's cgroup.
	Adopt func(pid int) error
}

// Find returns the recorded identity of a daemon; ErrGone if there is no record.
func (t Table) Find(name string) (Identity, error) {
	found, err := t.find(name)
	return found.Identity, err
}

func (t Table) find(name string) (entry, error) {
	content, err := os.ReadFile(t.record(name))
	if errors.Is(err, os.ErrNotExist) {
		return entry{}, ErrGone
	}
	if err != nil {
		return entry{}, fmt.Errorf("read the record of %s: %w", name, err)
	}
	var found entry
	if err := json.Unmarshal(content, &found); err != nil {
		return entry{}, fmt.Errorf("record of %s in %s: %w", name, t.record(name), err)
	}
	return found, nil
}

// Running returns the identity of a daemon that is recorded and alive; ErrGone if it is not.
func (t Table) Running(name string) (Identity, error) {
	identity, err := t.Find(name)
	if err != nil {
		return Identity{}, err
	}
	alive, err := identity.Alive()
	if err != nil {
		return Identity{}, err
	}
	if !alive {
		return Identity{}, ErrGone
	}
	return identity, nil
}

// Start runs a daemon in a session of its own, with its log in the folder of logs, unless it runs already. One that runs
// with another program, other arguments or another configuration is ended first; patience is how long it may take.
func (t Table) Start(ctx context.Context, spec Spec, patience time.Duration) (started bool, err error) {
	digest, err := spec.digest()
	if err != nil {
		return false, err
	}
	_, err = t.Running(spec.Name)
	switch {
	case err == nil:
		found, err := t.find(spec.Name)
		if err != nil || found.Digest == digest {
			return false, err
		}
		if err := t.Stop(ctx, spec.Name, patience); err != nil {
			return false, err
		}
	case !errors.Is(err, ErrGone):
		return false, err
	}
	log, err := os.OpenFile(t.Log(spec.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return false, fmt.Errorf("open the log of %s: %w", spec.Name, err)
	}
	defer func() { _ = log.Close() }()
	command := exec.Command(spec.Path, spec.Args...)
	command.Env, command.Dir = spec.Env, spec.Dir
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := startAt(command, spec.Nice); err != nil {
		return false, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	if err := t.keep(spec.Name, command.Process.Pid, digest); err != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
		return false, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	// Nobody else reaps the daemon while this program runs, and a zombie would look alive to a signal.
	go func() { _ = command.Wait() }()
	return true, nil
}

// startAt starts a command at a priority, which a child inherits from the thread that it is forked from.
func startAt(command *exec.Cmd, nice int) error {
	if nice == 0 {
		return command.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The kernel's own scale: 20 - nice.
	before, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil || syscall.Setpriority(syscall.PRIO_PROCESS, 0, nice) != nil {
		return command.Start()
	}
	defer func() { _ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 20-before) }()
	return command.Start()
}

func (t Table) keep(name string, pid int, digest string) error {
	if err := t.Adopt(pid); err != nil {
		return err
	}
	identity, err := Identify(pid)
	if errors.Is(err, ErrGone) {
		return fmt.Errorf("it ended at once; its last words are in %s", t.Log(name))
	}
	if err != nil {
		return err
	}
	content, err := json.Marshal(entry{Identity: identity, Digest: digest})
	if err != nil {
		return err
	}
	temporary := t.record(name) + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return fmt.Errorf("record it: %w", err)
	}
	return os.Rename(temporary, t.record(name))
}

// Stop asks a daemon to end, waits, then kills it, and removes its record. A daemon that is gone is no error.
func (t Table) Stop(ctx context.Context, name string, patience time.Duration) error {
	identity, err := t.Running(name)
	if errors.Is(err, ErrGone) {
		return t.forget(name)
	}
	if err != nil {
		return err
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(identity.PID, signal); err != nil && !isNoSuchProcess(err) {
			return fmt.Errorf("end %s (pid %d): %w", name, identity.PID, err)
		}
		gone, err := identity.awaitEnd(ctx, patience)
		if err != nil {
			return err
		}
		if gone {
			return t.forget(name)
		}
	}
	return fmt.Errorf("%s (pid %d) does not end, not even killed", name, identity.PID)
}

const pollInterval = 20 * time.Millisecond

func (i Identity) awaitEnd(ctx context.Context, patience time.Duration) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		alive, err := i.Alive()
		if err != nil || !alive {
			return !alive, err
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-ticker.C:
		}
	}
}

// Log is the file that a daemon writes its log to.
func (t Table) Log(name string) string { return filepath.Join(t.Logs, name+".log") }

func (t Table) record(name string) string { return filepath.Join(t.Records, name+".json") }

func (t Table) forget(name string) error {
	if err := os.Remove(t.record(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the record of %s: %w", name, err)
	}
	return nil
}

func isNoSuchProcess(err error) bool { return errors.Is(err, syscall.ESRCH) }
