package config

import (
	"fmt"
	"strings"
)

// expand replaces every ${NAME} by the variable of that name; $${ stands for a literal ${. It returns what is wrong, one
// sentence per reference. What a variable holds is not expanded again.
func expand(text string, getenv func(string) (string, bool)) (string, []string) {
	var out strings.Builder
	var wrong []string
	for text != "" {
		at := strings.Index(text, "${")
		if at < 0 {
			break
		}
		if at > 0 && text[at-1] == '$' {
			out.WriteString(text[:at-1] + "${")
			text = text[at+2:]
			continue
		}
		out.WriteString(text[:at])
		name, rest, closed := strings.Cut(text[at+2:], "}")
		if !closed || !variableName(name) {
			wrong = append(wrong, fmt.Sprintf("%q is no reference to a variable such as ${NAME}; a literal ${ is written $${", snippet(text[at:])))
			text = text[at+2:]
			continue
		}
		value, set := getenv(name)
		switch {
		case !set:
			wrong = append(wrong, fmt.Sprintf("the environment variable %s is not set; set it where sluice runs", name))
		case value == "":
			wrong = append(wrong, fmt.Sprintf("the environment variable %s is set but empty; give it a value where sluice runs", name))
		}
		out.WriteString(value)
		text = rest
	}
	return out.String() + text, wrong
}

func variableName(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// snippet is the beginning of a text, short enough for a message.
func snippet(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
