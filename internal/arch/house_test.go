package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

const (
	maxFile     = 400
	maxFunction = 60
	maxMain     = 20
)

// houseRules are the rules that a file can break by itself; the linter has those about complexity and errors.
func houseRules() []func(source) []string {
	return []func(source) []string{longFiles, longFunctions, packageNames, inits, variables, sleeps}
}

func TestHouseRules(t *testing.T) {
	for _, s := range sources(t) {
		for _, r := range houseRules() {
			for _, problem := range r(s) {
				t.Error(problem)
			}
		}
	}
}

func longFiles(s source) []string {
	most := maxFile
	if s.path == "cmd/sluice/main.go" {
		most = maxMain
	}
	if s.lines > most {
		return []string{fmt.Sprintf("%s has %d lines; at most %d: split it by what its parts do", s.path, s.lines, most)}
	}
	return nil
}

func longFunctions(s source) []string {
	var problems []string
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil || s.test() {
			continue
		}
		if n := s.set.Position(f.Body.End()).Line - s.set.Position(f.Pos()).Line + 1; n > maxFunction {
			problems = append(problems, fmt.Sprintf("%s: %s has %d lines; at most %d", s.at(f), f.Name.Name, n, maxFunction))
		}
	}
	return problems
}

func packageNames(s source) []string {
	banned := []string{"util", "utils", "common", "helper", "helpers", "types", "models", "manager", "misc", "base", "shared"}
	if name := strings.TrimSuffix(s.file.Name.Name, "_test"); slices.Contains(banned, name) {
		return []string{fmt.Sprintf("%s: a package called %s says nothing about its job", s.path, name)}
	}
	return nil
}

func inits(s source) []string {
	var problems []string
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			problems = append(problems, s.at(f)+": init() runs before anybody asked: make a constructor")
		}
	}
	return problems
}

// variables finds package-level variables, but for sentinel errors, interface assertions and embedded files.
func variables(s source) []string {
	var problems []string
	for _, d := range s.file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR || s.test() {
			continue
		}
		for _, spec := range g.Specs {
			v, _ := spec.(*ast.ValueSpec)
			for _, name := range v.Names {
				if name.Name != "_" && !sentinel(name.Name) && !embedded(g, v) {
					problems = append(problems, fmt.Sprintf("%s: package-level variable %s: pass it in, or make it a constant or a function", s.at(name), name.Name))
				}
			}
		}
	}
	return problems
}

func sentinel(name string) bool {
	return strings.HasPrefix(name, "Err") || strings.HasPrefix(name, "err") && name != strings.ToLower(name)
}

func embedded(g *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// sleeps finds time.Sleep. Only the driver waits: everything else returns, and is asked again. The local cluster, the tests
// and the demo's switches for delays watch processes, which nobody else does for them.
func sleeps(s source) []string {
	exempt := s.test() || s.path == "internal/rollout/drive.go" || slices.Contains([]string{"local", "test", "examples"}, strings.Split(s.path, "/")[0])
	if exempt {
		return nil
	}
	var problems []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && sel.Sel.Name == "Sleep" {
			problems = append(problems, s.at(sel)+": time.Sleep: only the driver waits (internal/rollout/drive.go)")
		}
		return true
	})
	return problems
}

// TestPackagesSayTheirJob wants a package comment in every package that is not a test.
func TestPackagesSayTheirJob(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		said := s.file.Doc != nil && strings.HasPrefix(s.file.Doc.Text(), "Package "+s.file.Name.Name) ||
			s.file.Doc != nil && s.file.Name.Name == "main"
		documented[s.folder()] = documented[s.folder()] || said
	}
	for folder, ok := range documented {
		if !ok {
			t.Errorf("%s: no file says in a package comment what the package's job is, and what it must not do", folder)
		}
	}
}

// TestHouseRulesCanFail feeds every rule with what it forbids, and with the nearest thing that it allows.
func TestHouseRulesCanFail(t *testing.T) {
	long := strings.Repeat("\t_ = 1\n", 60)
	for _, test := range []struct {
		name, file, text string
		broken           bool
	}{
		{"401 lines", "a/a.go", "package a\n" + strings.Repeat("\n", 400), true},
		{"400 lines", "a/a.go", "package a\n" + strings.Repeat("\n", 399), false},
		{"a main of 21 lines", "cmd/sluice/main.go", "package main\n" + strings.Repeat("\n", 20), true},
		{"a function of 62 lines", "a/a.go", "package a\n\nfunc f() {\n" + long + "}\n", true},
		{"the same in a test", "a/a_test.go", "package a\n\nfunc f() {\n" + long + "}\n", false},
		{"package util", "util/a.go", "package util\n", true},
		{"init", "a/a.go", "package a\n\nfunc init() {}\n", true},
		{"a method init", "a/a.go", "package a\n\nfunc (t T) init() {}\n", false},
		{"a variable", "a/a.go", "package a\n\nvar cache = map[string]int{}\n", true},
		{"a variable called err", "a/a.go", "package a\n\nvar err error\n", true},
		{"a sentinel", "a/a.go", "package a\n\nvar ErrGone = f()\n", false},
		{"an assertion", "a/a.go", "package a\n\nvar _ I = (*T)(nil)\n", false},
		{"an embedded file", "a/a.go", "package a\n\n//go:embed a.json\nvar file []byte\n", false},
		{"a sleep", "internal/deploy/helm/a.go", "package a\n\nfunc f() { time.Sleep(1) }\n", true},
		{"a sleep of the driver", "internal/rollout/drive.go", "package a\n\nfunc f() { time.Sleep(1) }\n", false},
		{"a sleep elsewhere in the machine", "internal/rollout/act.go", "package a\n\nfunc f() { time.Sleep(1) }\n", true},
	} {
		s, err := parseSource(path.Clean(test.file), []byte(test.text))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range houseRules() {
			got = append(got, r(s)...)
		}
		if (len(got) > 0) != test.broken {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}
