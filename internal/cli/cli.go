// Package cli is the command line: one file per command, each of which reads flags, asks app for what it needs and prints; it must not talk to a cluster or a registry itself.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/ci"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/seal"
	"github.com/sluice-dev/sluice/internal/variables"
)

// Process is what a command line sees of the process it runs in.
type Process struct {
	// Args without the name of the program.
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	LookupEnv      func(string) (string, bool)
	// Environ lists the environment as NAME=value, for what in it is secret. Nil: nothing is.
	Environ func() []string
	// Redirect sends to a writer what libraries and the programs that they start write past Stderr, until the returned function is
	// called. Nil: nothing is redirected.
	Redirect func(to io.Writer) (stop func())
	// CIReads says whether a CI system reads Stderr itself, so that it can be told there what is secret. Nil: it does not.
	CIReads func() bool
	// Dir is the working folder, Executable the path of the running binary: plugins are looked for beside it.
	Dir        string
	Executable string
	Now        func() time.Time
	// Exec replaces the process by another program; it only returns where that fails.
	Exec func(path string, argv []string) error
	// Backend opens what the commands need to have done for them.
	Backend func(app.Options) Backend
}

// System is the real process.
func System() Process {
	withoutCore()
	p := Process{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		LookupEnv: os.LookupEnv, Environ: os.Environ, Redirect: redirect, CIReads: ci.ReadsStderr, Dir: ".", Now: time.Now,
		Exec:    func(path string, argv []string) error { return syscall.Exec(path, argv, os.Environ()) },
		Backend: func(o app.Options) Backend { return app.New(o) },
	}
	if path, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		p.Executable = path
	}
	return p
}

// Run executes the command line and returns the exit code.
func Run(ctx context.Context, p Process) int {
	inv := &invocation{Process: p}
	defer inv.guard()()
	root := newRoot(inv)
	root.SetArgs(p.Args)
	root.SetIn(p.Stdin)
	root.SetOut(inv.Stdout)
	root.SetErr(inv.Stderr)
	err := inv.execute(ctx, root)
	var classified *fault.Error
	if err != nil && !inv.entered && !errors.As(err, &classified) {
		err = unclear(err, root)
	}
	if inv.output == "" {
		inv.output = outputOf(p)
	}
	return inv.end(ctx, err)
}

// unclear is the error of a command line that no command understood.
func unclear(err error, root *cobra.Command) error {
	f := fault.New(fault.Usage, "", "%s", firstLine(err.Error())).WithHint("`sluice --help` lists commands and flags")
	word, ok := strings.CutPrefix(err.Error(), `unknown command "`)
	if !ok {
		return f
	}
	word, _, _ = strings.Cut(word, `"`)
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	if meant := closest(word, names); meant != "" {
		return f.WithHint("did you mean `sluice %s`? `sluice --help` lists all commands", meant)
	}
	return f
}

// outputOf finds the wanted format where the command line was wrong before its flags were read to the end: a program that asked
// for JSON gets the error as JSON.
func outputOf(p Process) format {
	value, _ := p.LookupEnv(environmentName("output"))
	for i, arg := range p.Args {
		name, given, inline := strings.Cut(arg, "=")
		if name != "-o" && name != "--output" {
			continue
		}
		if !inline && i+1 < len(p.Args) {
			given = p.Args[i+1]
		}
		value = given
	}
	var f format
	// A value that is none is reported by the flag itself.
	_ = f.Set(value)
	return f
}

// invocation is what the commands of one run share.
type invocation struct {
	Process
	// secrets are taken out of Stdout and Stderr.
	secrets *variables.Masker
	// file, output, cluster and building are the flags that many commands have.
	file     string
	output   format
	cluster  clusterFlags
	building buildFlags
	// scans are those of the images that this run built, by the image's name.
	scans map[string]seal.Scanned
	// entered says that a command has begun: from here an error is the command's.
	entered bool
}

// enter wraps a command's function.
func (inv *invocation) enter(run func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		inv.entered = true
		return run(cmd, args)
	}
}
