package variables

import (
	"encoding/binary"
	"slices"
)

const (
	// ends marks, in a transition, that a text ends in the state it leads to.
	ends = 1 << 31
	// denseEntries bounds the table of transitions, in entries of four bytes. States that are reached often are near the root, which
	// comes first; the others know only the way on, and where to go back to.
	denseEntries = 1 << 20
	// begins is how many bytes of a text the filter looks at; no text is shorter.
	begins = minValue
	// filterBits is the size of the filter, as a power of two.
	filterBits = 17
)

// automaton finds many texts in one pass, after Aho and Corasick. It is immutable. Unlike the libraries that do the same it tells after any
// byte how much of what was read may still become one of the texts, which is what a stream has to hold back.
type automaton struct {
	// filter has a bit for every number that the first bytes of a text may have: where it says no, no text begins.
	filter [1 << (filterBits - 6)]uint64
	// shallow is the first state that more than the filter's bytes lead to.
	shallow uint32
	// class numbers the bytes that occur in the texts; 0 is any other.
	class [256]uint8
	width uint32
	// table has a row per state below dense: the next state, with the mark.
	table []uint32
	dense uint32
	// nodes by state, in the order of their depth; 0 is the root.
	nodes []node
	edges []edge
}

type node struct {
	// fail is the state of the longest proper suffix that is a state too.
	fail uint32
	// depth is how many bytes lead here, longest the length of the longest text that ends here; 0: none does.
	depth, longest uint32
	// first and count find its edges.
	first, count uint32
}

type edge struct {
	class uint8
	to    uint32
}

// newAutomaton takes texts of minValue bytes or more.
func newAutomaton(texts []string) *automaton {
	a := &automaton{}
	for _, t := range texts {
		h := hash(binary.LittleEndian.Uint32([]byte(t)))
		a.filter[h>>6] |= 1 << (h & 63)
	}
	a.classify(texts)
	a.grow(texts)
	a.fails()
	a.fill()
	a.shallow = uint32(len(a.nodes))
	if at := slices.IndexFunc(a.nodes, func(n node) bool { return n.depth >= begins }); at >= 0 {
		a.shallow = uint32(at)
	}
	return a
}

// hash numbers the first bytes of a text.
func hash(first uint32) uint32 { return first * 0x9E3779B1 >> (32 - filterBits) }

// classify numbers the bytes. Where all of them occur there is no other, and nothing needs the number 0 for it.
func (a *automaton) classify(texts []string) {
	var occurs [256]bool
	kinds := 0
	for _, t := range texts {
		for i := range len(t) {
			if !occurs[t[i]] {
				occurs[t[i]] = true
				kinds++
			}
		}
	}
	if kinds < len(occurs) {
		a.width = 1
	}
	for b, there := range occurs {
		if there {
			a.class[b] = uint8(a.width)
			a.width++
		}
	}
}

// grow makes the tree of the sorted texts, level by level, so that a state's number grows with its depth.
func (a *automaton) grow(texts []string) {
	texts = slices.Compact(slices.Sorted(slices.Values(texts)))
	type part struct{ from, to int }
	a.nodes = append(a.nodes, node{})
	level, start := []part{{0, len(texts)}}, uint32(0)
	for depth := 0; len(level) > 0; depth++ {
		var next []part
		first := uint32(len(a.nodes))
		for i, p := range level {
			n := &a.nodes[start+uint32(i)]
			n.first = uint32(len(a.edges))
			if p.from < p.to && len(texts[p.from]) == depth {
				n.longest = uint32(depth)
				p.from++
			}
			for p.from < p.to {
				b, end := texts[p.from][depth], p.from+1
				for end < p.to && texts[end][depth] == b {
					end++
				}
				a.edges = append(a.edges, edge{a.class[b], first + uint32(len(next))})
				next = append(next, part{p.from, end})
				p.from = end
			}
			n.count = uint32(len(a.edges)) - n.first
		}
		for range next {
			a.nodes = append(a.nodes, node{depth: uint32(depth) + 1})
		}
		level, start = next, first
	}
}

// fails finds where each state goes back to, the nearer ones first.
func (a *automaton) fails() {
	for s := range a.nodes {
		n := a.nodes[s]
		for _, e := range a.edges[n.first : n.first+n.count] {
			to := &a.nodes[e.to]
			if s > 0 {
				to.fail = a.slow(n.fail, e.class)
			}
			to.longest = max(to.longest, a.nodes[to.fail].longest)
		}
	}
}

// slow is the next state, found without the table.
func (a *automaton) slow(s uint32, class uint8) uint32 {
	for {
		n := a.nodes[s]
		for _, e := range a.edges[n.first : n.first+n.count] {
			if e.class == class {
				return e.to
			}
		}
		if s == 0 {
			return 0
		}
		s = n.fail
	}
}

// fill writes the table; the row of the state that one goes back to is there already.
func (a *automaton) fill() {
	a.dense = min(uint32(len(a.nodes)), denseEntries/a.width)
	a.table = make([]uint32, a.dense*a.width)
	for s := range a.dense {
		n := a.nodes[s]
		row := a.table[s*a.width : (s+1)*a.width]
		if s > 0 {
			copy(row, a.table[n.fail*a.width:])
		}
		for _, e := range a.edges[n.first : n.first+n.count] {
			row[e.class] = a.marked(e.to)
		}
	}
}

func (a *automaton) marked(s uint32) uint32 {
	if a.nodes[s].longest > 0 {
		return s | ends
	}
	return s
}

// next is the state after a byte of a class, with the mark.
func (a *automaton) next(s uint32, class uint8) uint32 {
	for s >= a.dense {
		n := &a.nodes[s]
		for _, e := range a.edges[n.first : n.first+n.count] {
			if e.class == class {
				return a.marked(e.to)
			}
		}
		s = n.fail
	}
	return a.table[s*a.width+uint32(class)]
}

// span is a part of a text, from its first byte to the one after its last.
type span struct{ from, to int }

// scan reads on from a state. base is the place of text's first byte; the places that hold one of the texts are added to found, joined
// where they overlap and in their order.
func (a *automaton) scan(s uint32, text []byte, base int, found []span) (uint32, []span) {
	table, width, dense, shallow := a.table, a.width, a.dense, a.shallow
	// from is where a text was last said to begin; -1 stands for somewhere before.
	from := -1
	for i := 0; i < len(text); {
		if s == 0 {
			i = a.skip(text, i)
			from = i
		}
		class := a.class[text[i]]
		i++
		var t uint32
		if s < dense {
			t = table[s*width+uint32(class)]
		} else {
			t = a.next(s, class)
		}
		s = t &^ ends
		if t&ends != 0 {
			found = merged(found, span{base + i - int(a.nodes[s].longest), base + i})
			continue
		}
		if s < shallow {
			// What was said to begin did not. What begins later is again found faster by the filter.
			if at := i - int(a.nodes[s].depth); at > from {
				s, i = 0, at
			}
		}
	}
	// Where a text has ended and nothing is longer, only what it ends with can go on.
	for s > 0 && a.nodes[s].count == 0 {
		s = a.nodes[s].fail
	}
	return s, found
}

// skip is the next place at which one of the texts may begin: one that the filter says, or the last few, of which it cannot tell.
func (a *automaton) skip(text []byte, i int) int {
	// Five places at once, as far as eight bytes are left.
	for ; i+8 <= len(text); i += 5 {
		w := binary.LittleEndian.Uint64(text[i:])
		if a.bit(uint32(w))|a.bit(uint32(w>>8))|a.bit(uint32(w>>16))|a.bit(uint32(w>>24))|a.bit(uint32(w>>32)) != 0 {
			break
		}
	}
	for ; i+begins <= len(text); i++ {
		if a.bit(binary.LittleEndian.Uint32(text[i:])) != 0 {
			break
		}
	}
	return i
}

// bit is what the filter says of the first bytes of a text, as a number.
func (a *automaton) bit(first uint32) uint64 {
	h := hash(first)
	return a.filter[h>>6%uint32(len(a.filter))] >> (h & 63) & 1
}

// merged adds a span to those that it may overlap with.
func merged(found []span, hit span) []span {
	for len(found) > 0 && found[len(found)-1].to > hit.from {
		hit.from = min(hit.from, found[len(found)-1].from)
		found = found[:len(found)-1]
	}
	return append(found, hit)
}
