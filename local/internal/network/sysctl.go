package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Settings are kernel settings by name, as below /proc/sys with slashes: "net/ipv4/ip_forward" → "1".
type Settings map[string]string

const settingsRoot = "/proc/sys"

// Changed lists the settings that a node changes: forwarding, and what the kubelet insists on.
func Changed() []string {
	return []string{
		"net/ipv4/ip_forward", "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
		"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	}
}

// Read reads settings; those that this kernel does not have are left out.
func Read(names []string) (Settings, error) {
	settings := Settings{}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(settingsRoot, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read kernel setting %s: %w", name, err)
		}
		settings[name] = strings.TrimSpace(string(content))
	}
	return settings, nil
}

// Write sets those settings that differ.
func (s Settings) Write() error {
	for name, value := range s {
		path := filepath.Join(settingsRoot, name)
		now, err := os.ReadFile(path)
		if err == nil && strings.TrimSpace(string(now)) == value {
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("set kernel setting %s to %s: %w", name, value, err)
		}
	}
	return nil
}
