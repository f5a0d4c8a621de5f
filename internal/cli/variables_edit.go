package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// editorPatience is how long an editor may take to end after it was told to.
const editorPatience = 5 * time.Second

func newVariablesEdit(inv *invocation) *cobra.Command {
	var env string
	cmd := &cobra.Command{
		Use: "edit --env ENV", Short: "Edit an environment's encrypted file in an editor", Args: noArgs,
		Long: describe(`Open the file that holds an environment's variables in $VISUAL, else $EDITOR, else vi.

The editor works on a copy in clear text in a folder that only you may read, in memory where the machine has such a place (/dev/shm,
$XDG_RUNTIME_DIR); it is overwritten and removed when the editor ends, also when the command is interrupted. What did not change keeps its
ciphertext. A text that cannot be the content is not written: on a terminal you may correct it, else it is kept beside the file, encrypted
for the same keys.`, 0, 1, 2, 3, 8, 130),
		Example: `  sluice variables edit --env dev
  EDITOR="code --wait" sluice variables edit --env prod`,
		RunE: inv.enter(func(cmd *cobra.Command, _ []string) error {
			return inv.editVariables(cmd.Context(), env)
		}),
	}
	envFlag(cmd, inv, &env, "`environment` whose variables to edit (default: the only one)")
	return cmd
}

func (inv *invocation) editVariables(ctx context.Context, env string) error {
	file, environment, encrypted, err := inv.variableFile(env, "")
	if err != nil {
		return err
	}
	before, err := encrypted.Store().Names()
	if err != nil {
		return err
	}
	opened, err := encrypted.Open(ctx)
	if err != nil {
		return err
	}
	text, err := inv.edited(ctx, encrypted.Name, opened)
	if err != nil {
		return err
	}
	written, err := opened.Replace(text, slices.Collect(maps.Keys(file.Project.Hidden()))...)
	if err != nil {
		return inv.setAside(opened, text, err)
	}
	after, err := encrypted.Store().Names()
	if err != nil {
		return err
	}
	doc := variableSet{document: head("VariableSetResult"), Environment: environment, File: encrypted.Name, Written: written, Versions: map[string]string{}}
	for name, version := range after {
		if before[name] != version {
			doc.Versions[name] = version
		}
	}
	for name := range before {
		if _, there := after[name]; !there {
			doc.Removed = append(doc.Removed, name)
		}
	}
	slices.Sort(doc.Removed)
	return inv.emit(doc, doc.text)
}

func (d variableSet) text(w io.Writer) {
	switch {
	case !d.Written:
		fmt.Fprintf(w, "%s is unchanged\n", d.File)
	default:
		fmt.Fprintf(w, "wrote %s: changed %s; removed %s\n", d.File,
			orDefault(joined(slices.Sorted(maps.Keys(d.Versions))), "nothing"), orDefault(joined(d.Removed), "nothing"))
	}
}

// edited lets a person change the text until it can be the content. What is left of it outside of memory is gone when it returns.
func (inv *invocation) edited(ctx context.Context, name string, opened *app.OpenedVariables) (text variables.Value, err error) {
	folder, err := os.MkdirTemp(privatePlace(inv.LookupEnv), "sluice-edit-")
	if err != nil {
		return text, fault.Wrap(fault.Refused, "make a private folder", err)
	}
	defer func() { err = errors.Join(err, wipe(folder)) }()
	path := filepath.Join(folder, filepath.Base(name))
	if err := os.WriteFile(path, []byte(opened.Text().Reveal()), 0o600); err != nil {
		return text, fault.Wrap(fault.Refused, "write the editor's copy", err)
	}
	for {
		if err := inv.runEditor(ctx, path); err != nil {
			return text, err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return text, fault.New(fault.Usage, "read what the editor left", "%w", err)
		}
		text = variables.NewValue(string(data))
		wrong := opened.Check(text)
		if wrong == nil || text.Equal(opened.Text()) {
			return text, nil
		}
		again, err := inv.correct(ctx, wrong)
		if err != nil || !again {
			return text, err
		}
	}
}

// correct asks whether a wrong text is to be corrected; without a terminal nobody can answer.
func (inv *invocation) correct(ctx context.Context, wrong error) (bool, error) {
	if !isTerminal(inv.Stdin) || !isTerminal(inv.Stderr) {
		return false, nil
	}
	inv.log("%s %v", inv.style().bad("error:"), wrong)
	fmt.Fprint(inv.Stderr, "press Enter to correct it, or type q and Enter to keep it aside: ")
	line, err := interruptible(ctx, func() ([]byte, error) {
		text, err := bufio.NewReader(inv.Stdin).ReadString('\n')
		return []byte(text), err
	})
	if ctx.Err() != nil {
		return false, fault.Wrap(fault.Interrupted, "edit", ctx.Err())
	}
	return err == nil && strings.TrimSpace(string(line)) != "q", nil
}

// setAside keeps a text that could not be written, so that nothing is lost, and says how to get it back.
func (inv *invocation) setAside(opened *app.OpenedVariables, text variables.Value, wrong error) error {
	path, err := opened.Aside(text)
	if err != nil {
		return errors.Join(wrong, err)
	}
	return fault.New(fault.KindOf(wrong), "", "%w\nyour text is kept, encrypted, in %s", wrong, path).
		WithHint("%s; `sops decrypt --extract '[\"text\"]' %s` shows your text", fault.HintOf(wrong), path)
}

func (inv *invocation) runEditor(ctx context.Context, path string) error {
	editor := "vi"
	for _, name := range []string{"EDITOR", "VISUAL"} {
		if value, ok := inv.LookupEnv(name); ok && strings.TrimSpace(value) != "" {
			editor = value
		}
	}
	// The variable may hold arguments, quoted as the shell does.
	cmd := exec.CommandContext(ctx, "sh", "-c", editor+` "$1"`, "sh", path)
	screen := inv.Stderr
	if f, ok := unguarded(inv.Stderr).(*os.File); ok && isTerminal(f) {
		// An editor wants a terminal, and shows a person what is theirs.
		screen = f
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inv.Stdin, screen, screen
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = editorPatience
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fault.Wrap(fault.Interrupted, "edit", ctx.Err())
	case err != nil:
		return fault.New(fault.Usage, "", "the editor `%s` failed, and nothing was written: %w", editor, err).WithHint("name another one in $EDITOR")
	}
	return nil
}

// privatePlace is a folder that is kept in memory, "" where there is none: then the system's own for temporary files is taken.
func privatePlace(lookup func(string) (string, bool)) string {
	runtime, _ := lookup("XDG_RUNTIME_DIR")
	for _, folder := range []string{"/dev/shm", runtime} {
		if info, err := os.Stat(folder); folder != "" && err == nil && info.IsDir() && writable(folder) {
			return folder
		}
	}
	return ""
}

func writable(folder string) bool {
	probe, err := os.MkdirTemp(folder, "sluice-")
	return err == nil && os.Remove(probe) == nil
}

// overwrite writes zeros where the content is: a file that was cut off first would get other blocks.
func overwrite(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, size))
	return errors.Join(err, f.Sync(), f.Close())
}

// wipe overwrites all files of a folder, the editor's own among them, and removes it.
func wipe(folder string) error {
	var problems []error
	problems = append(problems, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return overwrite(path, info.Size())
	}), os.RemoveAll(folder))
	if err := errors.Join(problems...); err != nil {
		return fault.New(fault.Refused, "remove the clear text", "%w", err).WithHint("remove %s by hand", folder)
	}
	return nil
}
