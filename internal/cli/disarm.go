package cli

import (
	"io"
	"unicode"
	"unicode/utf8"
)

// disarmed writes what others said to a system that looks for commands in a job's output: `##vso[…]` and `##[…]` wherever they stand,
// `::…::` where a line begins with it. A space without width takes them apart, so that nobody who can write to a pod's log commands the
// pipeline. Commands of our own go past it.
type disarmed struct {
	to io.Writer
	// last is the last byte, and column the number of characters of its line up to it that can be seen: a system trims a line by its own
	// idea of white space before it looks.
	last   byte
	column int
	// part is the beginning of a character whose end is not written yet.
	part []byte
}

const apart = "\u200b"

func (d *disarmed) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p)+len(apart))
	for _, b := range p {
		command := b == '#' && d.last == '#' || b == ':' && d.last == ':' && d.column == 1
		if command {
			out = append(out, apart...)
		}
		out = append(out, b)
		d.count(b)
		d.last = b
	}
	if _, err := d.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// count moves the column on. What is no UTF-8 moves nothing: as what it is read depends on the system.
func (d *disarmed) count(b byte) {
	if b == '\n' || b == '\r' {
		d.column, d.part = 0, nil
		return
	}
	d.part = append(d.part, b)
	for utf8.FullRune(d.part) {
		r, n := utf8.DecodeRune(d.part)
		valid := r != utf8.RuneError || n > 1
		if valid && unicode.In(r, unicode.Letter, unicode.Number, unicode.Punct, unicode.Symbol) {
			d.column++
		}
		d.part = append(d.part[:0], d.part[n:]...)
	}
}
