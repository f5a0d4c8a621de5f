package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// maxVariable bounds a value in bytes: Kubernetes takes no larger Secret.
const maxVariable = 1 << 20

// variableSet is the result of `sluice variables set` and `edit`.
type variableSet struct {
	document
	Environment string `json:"environment"`
	File        string `json:"file"`
	// Written is false where the file held that already.
	Written bool `json:"written"`
	// Versions of the variables that were written, by their name in the store; Removed are those that are gone.
	Versions map[string]string `json:"versions,omitempty"`
	Removed  []string          `json:"removed,omitempty"`
}

func newVariablesSet(inv *invocation) *cobra.Command {
	var env, from string
	cmd := &cobra.Command{
		Use: "set NAME --env ENV", Short: "Write a variable into an environment's encrypted file", Args: nameOnly,
		Long: describe(`Write a variable into the file, encrypted by sops, that holds an environment's variables. NAME is what services call it, or what the file
calls it.

The value is never an argument, which every user of the machine could read. It comes from a file (to the byte), from standard input, or on a
terminal from a prompt that shows nothing. From standard input the end of the line is not part of a value of one line; a value of several
lines is taken to the byte. Everything else in the file keeps its place, its comments and its ciphertext.

Other stores are written by their own tools, which the error names.`, 0, 1, 2, 3, 8, 130),
		Example: `  sluice variables set DB_PASSWORD --env dev
  openssl rand -base64 24 | sluice variables set DB_PASSWORD --env prod
  sluice variables set TLS_KEY --env prod --from-file tls.key`,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			return inv.setVariable(cmd.Context(), args[0], env, from)
		}),
	}
	envFlag(cmd, inv, &env, "`environment` whose variable to write (default: the only one)")
	cmd.Flags().StringVar(&from, "from-file", "", "`path` of a file that holds the value")
	return cmd
}

// nameOnly takes one argument. What else is there may be a value, so that no message repeats it.
func nameOnly(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 1:
		return nil
	case 0:
		return fault.New(fault.Usage, "", "NAME is missing").WithHint("usage: %s", cmd.UseLine())
	}
	return fault.New(fault.Usage, "", "one NAME and nothing more: a value among the arguments is seen by everybody on this machine, and kept by the shell").
		WithHint("if that was a secret, renew it; then give it on standard input: `%s < FILE`", cmd.UseLine())
}

func (inv *invocation) setVariable(ctx context.Context, name, env, from string) error {
	file, environment, encrypted, err := inv.variableFile(env, name)
	if err != nil {
		return err
	}
	stored, taken, err := storeName(file.Project.Services, name)
	if err != nil {
		return err
	}
	value, err := inv.newValue(ctx, name, from)
	if err != nil {
		return err
	}
	// What no service takes may yet be taken as a secret.
	written, err := encrypted.Set(ctx, stored, value, !taken || file.Project.Hidden()[stored])
	if err != nil {
		return err
	}
	versions, err := encrypted.Store().Names()
	if err != nil {
		return err
	}
	if !taken {
		inv.log("note: no service takes a variable %s", stored)
	}
	doc := variableSet{document: head("VariableSetResult"), Environment: environment, File: encrypted.Name, Written: written, Versions: map[string]string{stored: versions[stored]}}
	return inv.emit(doc, func(w io.Writer) {
		if !written {
			fmt.Fprintf(w, "%s holds this value of %s already (version %s)\n", encrypted.Name, stored, versions[stored])
			return
		}
		fmt.Fprintf(w, "wrote %s to %s (version %s)\n", stored, encrypted.Name, versions[stored])
	})
}

// newValue reads a value from where it is given.
func (inv *invocation) newValue(ctx context.Context, name, from string) (variables.Value, error) {
	var data []byte
	var err error
	switch {
	case from != "":
		if !filepath.IsAbs(from) {
			from = filepath.Join(inv.Dir, from)
		}
		data, err = readValue(ctx, func() (io.ReadCloser, error) { return os.Open(from) })
	case isTerminal(inv.Stdin):
		data, err = inv.prompt(ctx, "value of "+name+" (it is not shown): ")
	default:
		data, err = readValue(ctx, func() (io.ReadCloser, error) { return io.NopCloser(inv.Stdin), nil })
		data = trimmedLine(data)
	}
	op := "read the value of " + name
	switch {
	case err != nil && ctx.Err() != nil:
		return variables.Value{}, fault.Wrap(fault.Interrupted, op, ctx.Err())
	case err != nil:
		return variables.Value{}, fault.Wrap(fault.Usage, op, err)
	case len(data) == 0:
		return variables.Value{}, fault.New(fault.Usage, op, "it is empty, and nothing was written").WithHint("give it on standard input or by --from-file")
	case len(data) > maxVariable:
		return variables.Value{}, fault.New(fault.Usage, op, "it is larger than %d bytes, which no Kubernetes Secret holds", maxVariable)
	case !utf8.Valid(data) || strings.ContainsRune(string(data), 0):
		return variables.Value{}, fault.New(fault.Usage, op, "it is no text").WithHint("encode it, for example by base64")
	}
	return variables.NewValue(string(data)), nil
}

// trimmedLine takes the end of the line from a text of one line.
func trimmedLine(data []byte) []byte {
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if strings.Contains(text, "\n") {
		return data
	}
	return []byte(text)
}

// readValue reads until the end or the interruption, whichever comes first.
func readValue(ctx context.Context, open func() (io.ReadCloser, error)) ([]byte, error) {
	return interruptible(ctx, func() ([]byte, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(io.LimitReader(r, maxVariable+1))
	})
}

// interruptible ends with the context, although reading does not.
func interruptible(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	type answer struct {
		data []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		data, err := read()
		answers <- answer{data, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case a := <-answers:
		return a.data, a.err
	}
}

// prompt asks on the terminal without showing what is typed, and leaves the terminal as it was.
func (inv *invocation) prompt(ctx context.Context, question string) ([]byte, error) {
	stdin, ok := inv.Stdin.(*os.File)
	if !ok {
		return nil, fault.New(fault.Internal, "", "standard input is no terminal")
	}
	before, err := term.GetState(int(stdin.Fd()))
	if err != nil {
		return nil, err
	}
	fmt.Fprint(inv.Stderr, question)
	data, err := interruptible(ctx, func() ([]byte, error) { return term.ReadPassword(int(stdin.Fd())) })
	fmt.Fprintln(inv.Stderr)
	if ctx.Err() != nil {
		// The reader is still waiting, with the echo off.
		_ = term.Restore(int(stdin.Fd()), before)
	}
	return data, err
}
