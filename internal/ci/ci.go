// Package ci knows the systems that run pipelines: which one this is, and how it is told what to mask and what to show; it must not write anything itself.
package ci

import (
	"slices"
	"strings"
)

// System runs pipelines. Its zero value is none: somebody's terminal, or a system that is not known here.
type System string

// The systems.
const (
	GitHub System = "GitHub Actions"
	Azure  System = "Azure Pipelines"
)

// Detect reads what the systems say of themselves in the environment.
func Detect(lookup func(string) (string, bool)) System {
	if value, _ := lookup("GITHUB_ACTIONS"); value == "true" {
		return GitHub
	}
	if value, _ := lookup("TF_BUILD"); strings.EqualFold(value, "true") {
		return Azure
	}
	return ""
}

// Mask returns the commands, each a line of a step's output, that make the system mask a value in all that the job prints from then on:
// one for each line of the value, as logs are masked line by line. Both systems read them from standard output and standard error alike,
// and do not show them. There are none for a value that would mask half of the log, a line of fewer than four characters, nor where
// there is no system.
func (s System) Mask(value string) []string {
	begin := map[System]string{GitHub: "::add-mask::", Azure: "##vso[task.setsecret]"}[s]
	if begin == "" {
		return nil
	}
	var commands []string
	for line := range strings.Lines(value) {
		if line = strings.TrimSpace(line); len(line) < 4 || strings.HasPrefix(line, "-----") {
			continue
		}
		if command := begin + s.escape(line); !slices.Contains(commands, command) {
			commands = append(commands, command)
		}
	}
	return commands
}

// escape writes a text as what follows a command.
func (s System) escape(text string) string {
	percent := "%25"
	if s == Azure {
		percent = "%AZP25"
	}
	return strings.NewReplacer("%", percent, "\r", "%0D", "\n", "%0A").Replace(text)
}
