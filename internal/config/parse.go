package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds that no honest file comes near. The parser is recursive and keeps the path of every node: without
// them a file of a few hundred kilobytes makes it eat all memory.
const (
	maxDepth  = 64
	maxColumn = 512
	maxTokens = 50_000
)

// parse turns the text into the syntax tree of its only document.
func parse(file string, data []byte) (ast.Node, Problems) {
	text, problem := decodeText(data)
	if problem != nil {
		problem.File = file
		return nil, Problems{*problem}
	}
	if problems := tabs(file, text); len(problems) > 0 {
		return nil, problems
	}
	tokens := lexer.Tokenize(text)
	if problems := screen(file, tokens); len(problems) > 0 {
		return nil, problems
	}
	tree, err := parseTokens(tokens)
	if err != nil {
		return nil, Problems{syntaxProblem(file, text, err)}
	}
	return document(file, tree)
}

// decodeText checks that the file is UTF-8 text, with or without a byte order mark, and removes the mark.
func decodeText(data []byte) (string, *Problem) {
	switch {
	case bytes.HasPrefix(data, []byte{0xFE, 0xFF}), bytes.HasPrefix(data, []byte{0xFF, 0xFE}):
		return "", &Problem{Message: "is UTF-16", Hint: "save it as UTF-8"}
	case !utf8.Valid(data):
		line, column := 1, 1
		for len(data) > 0 {
			r, size := utf8.DecodeRune(data)
			if r == utf8.RuneError && size == 1 {
				break
			}
			if column++; r == '\n' {
				line, column = line+1, 1
			}
			data = data[size:]
		}
		return "", &Problem{Line: line, Column: column, Message: "is not UTF-8", Hint: "save it as UTF-8"}
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	for i, line := range strings.Split(text, "\n") {
		if at := strings.IndexFunc(line, forbidden); at >= 0 {
			return "", &Problem{Line: i + 1, Column: utf8.RuneCountInString(line[:at]) + 1,
				Message: fmt.Sprintf("holds the control character %U, which no text file has", rune(line[at]))}
		}
	}
	return text, nil
}

func forbidden(r rune) bool { return r < ' ' && r != '\t' && r != '\r' }

// tabs finds lines that begin with a tab; YAML indents with spaces only, and no block of text can begin in column 1.
func tabs(file, text string) Problems {
	var problems Problems
	for i, line := range strings.Split(text, "\n") {
		rest := strings.TrimLeft(line, " \t\r")
		if strings.HasPrefix(line, "\t") && rest != "" && rest[0] != '#' {
			problems = append(problems, Problem{File: file, Line: i + 1, Column: 1,
				Message: "is indented with a tab", Hint: "indent with spaces"})
		}
	}
	return problems
}

// screen refuses what is too deep or too long for the parser, and the parts of YAML that hide where a value comes from.
func screen(file string, tokens token.Tokens) Problems {
	var problems Problems
	depth, entries, line := 0, 0, 0
	for i, t := range tokens {
		at := Problem{File: file, Line: t.Position.Line, Column: t.Position.Column}
		if t.Position.Line != line {
			entries, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType:
			entries++
		}
		tooDeep := depth > maxDepth || entries > maxDepth
		if block := t.Type == token.MappingValueType || t.Type == token.SequenceEntryType; block && depth == 0 {
			tooDeep = tooDeep || t.Position.Column > maxColumn
		}
		switch {
		case tooDeep:
			at.Message = fmt.Sprintf("is nested too deeply (more than %d levels or %d columns)", maxDepth, maxColumn)
			return append(problems, at)
		case i >= maxTokens:
			at.Message = fmt.Sprintf("is too long: more than %d keys, values and signs", maxTokens)
			return append(problems, at)
		}
		if at.Message, at.Hint = unsupported(t); at.Message != "" {
			problems = append(problems, at)
		}
	}
	return problems
}

// unsupported says why a part of YAML is not for this file, "" where it is.
func unsupported(t *token.Token) (message, hint string) {
	const hint1 = "write the value where it is used"
	switch t.Type {
	case token.AnchorType:
		return "anchors (&name) are not supported", hint1
	case token.AliasType:
		return "aliases (*name) are not supported", hint1
	case token.MergeKeyType:
		return "merge keys (<<) are not supported", hint1
	case token.TagType:
		return fmt.Sprintf("tags (%s) are not supported", t.Value), "remove it"
	case token.DirectiveType:
		return "directives (%) are not supported", "remove the line"
	case token.MappingKeyType:
		return "keys introduced by ? are not supported", "write `key: value`"
	default:
		return "", ""
	}
}

// parseTokens runs the parser. A panic of this third-party recursive parser on a malformed file is, to the user, a malformed file.
func parseTokens(tokens token.Tokens) (tree *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be read as YAML: %v", r)
		}
	}()
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

func syntaxProblem(file, text string, err error) Problem {
	var located yaml.Error
	if errors.As(err, &located) && located.GetToken() != nil {
		at := located.GetToken().Position
		p := Problem{File: file, Line: at.Line, Column: at.Column, Message: "not valid YAML: " + located.GetMessage()}
		if lines := strings.Split(text, "\n"); at.Line <= len(lines) && strings.Contains(lines[at.Line-1], "${") {
			p.Hint = "put a value with ${ into quotes where it stands between { } or [ ]"
		}
		return p
	}
	return Problem{File: file, Message: "not valid YAML: " + err.Error()}
}

// document returns the root of the only document.
func document(file string, tree *ast.File) (ast.Node, Problems) {
	var root ast.Node
	for i, d := range tree.Docs {
		if i > 0 {
			p := Problem{File: file, Line: 1, Column: 1, Message: "a second document begins here", Hint: "one file holds one project: remove the `---`"}
			if d.Start != nil {
				p.Line, p.Column = d.Start.Position.Line, d.Start.Position.Column
			}
			return nil, Problems{p}
		}
		root = d.Body
	}
	if root == nil || root.Type() == ast.NullType {
		return nil, Problems{{File: file, Line: 1, Column: 1, Message: "is empty", Hint: "`sluice init` writes a first one"}}
	}
	return root, nil
}
