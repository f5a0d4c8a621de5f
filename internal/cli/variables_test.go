package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/variablestest"
)

const takes = `  calculator:
    chart: chart
    variables: {A: {}, B: {name: b-stored, onRollback: current}, C: {as: value, key: c.d}}
    variableValues: {secretName: s}
`

// taking is a world whose service takes three variables of a store in memory.
func taking(t *testing.T) (*world, *variablestest.Memory) {
	w := newWorld(t)
	text := strings.Replace(projectFile, "  calculator: {chart: chart}\n", takes, 1)
	text = strings.ReplaceAll(text, "    cluster:", "    variables: {kubernetes: {secret: app}}\n    cluster:")
	w.write("sluice.yaml", text)
	m := variablestest.NewMemory(func() time.Time { return w.now })
	w.variables = m
	return w, m
}

func TestVariablesList(t *testing.T) {
	w, m := taking(t)
	for _, name := range []string{"A", "b-stored", "C"} {
		m.Put(name, "c4nary of "+name)
	}
	m.Expire("A", w.now.Add(time.Hour))
	r := w.must(0, "variables", "list", "--env", "dev", "-o", "json")
	var got variableList
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatal(err)
	}
	want := []listedVariable{
		{Name: "A", Version: "1", Expires: w.now.Add(time.Hour), Uses: []variableUse{{"calculator", "A", "secret", "A", "recorded"}}},
		{Name: "C", Version: "1", Uses: []variableUse{{"calculator", "C", "value", "c.d", "recorded"}}},
		{Name: "b-stored", Version: "1", Uses: []variableUse{{"calculator", "B", "secret", "B", "current"}}},
	}
	if diff := cmp.Diff(want, got.Variables); diff != "" || got.Store != "the store in memory" {
		t.Errorf("%s: (-want +got)\n%s", got.Store, diff)
	}
	if text := r.stdout + r.stderr; strings.Contains(text, "c4nary") {
		t.Errorf("a content is printed: %s", text)
	}
	if m.Queries() != 3 {
		t.Errorf("the store was asked for %d variables, and there are 3", m.Queries())
	}
}

// What only the cluster is to read is not read here.
func TestVariablesListReadsNoReference(t *testing.T) {
	w := newWorld(t)
	text := strings.Replace(projectFile, "  calculator: {chart: chart}\n", `  calculator:
    chart: chart
    variables: {A: {as: reference}, B: {}}
    variableValues: {secretName: s, referenceName: r}
`, 1)
	w.write("sluice.yaml", strings.ReplaceAll(text, "    cluster:", "    variables: {keyVault: my-vault}\n    references: {externalSecrets: {store: s}}\n    cluster:"))
	m := variablestest.NewMemory(func() time.Time { return w.now })
	w.variables = m
	for _, name := range []string{"A", "A", "B"} {
		m.Put(name, "c4nary")
	}
	r := w.must(0, "variables", "list", "--env", "dev")
	if !strings.Contains(r.stdout, "A     2        -        calculator as reference A  -") || m.Queries() != 1 {
		t.Errorf("after reading %d variables it prints\n%s", m.Queries(), r.stdout)
	}
	m.Disable("B")
	m.Disable("A")
	m.Expire("A", w.now)
	if r := w.must(3, "variables", "list", "--env", "dev"); !strings.Contains(r.stdout, "A     1") || !strings.Contains(r.stdout, "is disabled") {
		t.Errorf("it prints\n%s", r.stdout)
	}
}

func TestVariablesListTellsEachProblem(t *testing.T) {
	w, m := taking(t)
	m.Put("A", "c4nary")
	m.Put("C", "")
	m.Disable("A")
	r := w.must(3, "variables", "list", "--env", "dev")
	for _, line := range []string{"A         -        -        calculator as secret A                        version 1 is disabled",
		"C         1        -        calculator as value c.d                       is empty",
		"b-stored  -        -        calculator as secret B (current on rollback)  there is none"} {
		if !strings.Contains(r.stdout, line) {
			t.Errorf("it does not print %q:\n%s", line, r.stdout)
		}
	}
	if !strings.Contains(r.stderr, "cannot be used in dev: A, C, b-stored") || !strings.Contains(r.stderr, "enable it") || strings.Contains(r.stderr+r.stdout, "c4nary") {
		t.Errorf("stderr: %s", r.stderr)
	}
}

func TestVariablesListOfAStoreThatIsAway(t *testing.T) {
	w, m := taking(t)
	m.Fail(fault.New(fault.Unreachable, "", "403").WithHint("grant it"))
	if r := w.must(8, "variables", "list", "--env", "dev"); !strings.Contains(r.stderr, "the store in memory: 403") || r.stdout != "" {
		t.Errorf("%+v", r)
	}
}

func TestANameThatMeansTwoVariables(t *testing.T) {
	w, _ := taking(t)
	more := strings.Replace(takes, "calculator:", "other:", 1)
	more = strings.Replace(more, "A: {}", "A: {name: a-other}", 1)
	text := strings.Replace(projectFile, "  calculator: {chart: chart}\n", takes+more, 1)
	w.write("sluice.yaml", strings.ReplaceAll(text, "    cluster:", "    variables: {sops: env.yaml}\n    cluster:"))
	w.write("env.yaml", "sops:\n    mac: ENC[AES256_GCM]\n")
	if r := w.must(2, "variables", "set", "A", "--env", "dev"); !strings.Contains(r.stderr, "name it as the store does: A, a-other") {
		t.Errorf("%+v", r)
	}
}

// TestAnInterruptedEditorLeavesNothing: what the editor had in clear text is gone, and the file is as it was.
func TestAnInterruptedEditorLeavesNothing(t *testing.T) {
	w := newWorld(t)
	t.Setenv("SOPS_AGE_KEY_FILE", filepath.Join(w.dir, "keys.txt"))
	t.Setenv("SOPS_AGE_KEY", "")
	w.write("sluice.yaml", strings.Replace(projectFile, "    cluster:", "    variables: {sops: env/dev.yaml}\n    cluster:", 1))
	w.must(0, "variables", "init")
	w.write("value", "c4nary")
	w.must(0, "variables", "set", "A", "--env", "dev", "--from-file", "value")
	before, err := os.ReadFile(filepath.Join(w.dir, "env/dev.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	where := filepath.Join(w.dir, "where")
	w.write("editor", "#!/bin/sh\necho changed: yes >> \"$1\"\ncp \"$1\" \"$1.swp\"\ndirname \"$1\" > "+where+".new\nmv "+where+".new "+where+"\nexec sleep 60\n")
	w.environment["EDITOR"] = "sh " + filepath.Join(w.dir, "editor")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(where); err == nil {
				cancel()
			}
		}
	}()
	if r := w.runCtx(ctx, "variables", "edit", "--env", "dev"); r.code != 130 {
		t.Errorf("it ended with %d: %s", r.code, r.stderr)
	}
	folder, err := os.ReadFile(where)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(strings.TrimSpace(string(folder))); !os.IsNotExist(err) {
		t.Errorf("the clear text is still in %s (%v)", folder, err)
	}
	if after, err := os.ReadFile(filepath.Join(w.dir, "env/dev.yaml")); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed: %v", err)
	}
}

func TestNewValue(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		stdin, file string
		want        string
		wrong       string
	}{
		"one line":         {stdin: "a b\n", want: "a b"},
		"one line, DOS":    {stdin: "a\r\n", want: "a"},
		"without an end":   {stdin: " a ", want: " a "},
		"several lines":    {stdin: "a\nb\n", want: "a\nb\n"},
		"a file":           {file: "a\n", want: "a\n"},
		"nothing":          {stdin: "\n", wrong: "it is empty"},
		"bytes":            {stdin: "\xff\xfe", wrong: "it is no text"},
		"a zero":           {stdin: "a\x00b", wrong: "it is no text"},
		"more than a disk": {stdin: strings.Repeat("a", maxVariable+1), wrong: fmt.Sprintf("larger than %d bytes", maxVariable)},
	} {
		t.Run(name, func(t *testing.T) {
			inv := &invocation{Process: Process{Stdin: strings.NewReader(c.stdin), Dir: w.dir}}
			from := ""
			if c.file != "" {
				from = "value"
				w.write(from, c.file)
			}
			got, err := inv.newValue(t.Context(), "A", from)
			if c.wrong != "" {
				if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("it gave %v", err)
				}
				return
			}
			if err != nil || !got.Equal(variables.NewValue(c.want)) {
				t.Errorf("it is %q, %v", got.Reveal(), err)
			}
		})
	}
}
