package cli

import "io"

// disarmed writes what others said to a system that looks for commands in a job's output: `##vso[…]` and `##[…]` wherever they stand,
// `::…::` where a line begins with it. A space without width takes them apart, so that nobody who can write to a pod's log commands the
// pipeline. Commands of our own go past it.
type disarmed struct {
	to io.Writer
	// last is the last byte, and column the number of bytes of its line up to it that are no space.
	last   byte
	column int
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
		switch b {
		case '\n', '\r':
			d.column = 0
		case ' ', '\t':
		default:
			d.column++
		}
		d.last = b
	}
	if _, err := d.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
