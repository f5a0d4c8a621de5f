package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// style colours text for a terminal; its zero value leaves text as it is.
type style struct{ on bool }

func (s style) paint(code, text string) string {
	if !s.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bad(text string) string    { return s.paint("31", text) }
func (s style) good(text string) string   { return s.paint("32", text) }
func (s style) busy(text string) string   { return s.paint("33", text) }
func (s style) strong(text string) string { return s.paint("1", text) }
func (s style) dim(text string) string    { return s.paint("2", text) }

// style of the log on stderr: coloured on a terminal unless NO_COLOR is set or the terminal is a dumb one.
func (inv *invocation) style() style {
	return style{on: isTerminal(inv.Stderr) && inv.colourful()}
}

func (inv *invocation) colourful() bool {
	if value, ok := inv.LookupEnv("NO_COLOR"); ok && value != "" {
		return false
	}
	kind, _ := inv.LookupEnv("TERM")
	return kind != "dumb"
}

// isTerminal says whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := unguarded(stream).(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// size of the terminal behind a stream; 80 by 24 where it cannot be found out.
func size(w io.Writer) (columns, lines int) {
	if f, ok := unguarded(w).(*os.File); ok {
		if columns, lines, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && lines > 0 {
			return columns, lines
		}
	}
	return 80, 24
}
