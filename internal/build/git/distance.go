package git

import (
	"context"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
)

// fewTags are counted one by one, which git does fast where they are near. For more of them the graph of the commits is read once.
const fewTags = 4

// Distances counts the commits after each tag.
func (g Git) Distances(ctx context.Context, dir string, tags []string) (map[string]int, error) {
	op := "count the commits of " + dir
	if len(tags) > fewTags {
		return g.distancesInGraph(ctx, op, dir, tags)
	}
	distances := map[string]int{}
	for _, tag := range tags {
		args := []string{"rev-list", "--count", "HEAD"}
		if tag != "" {
			args = append(args, "^refs/tags/"+tag)
		}
		out, err := g.run(ctx, op, dir, args...)
		if err != nil {
			return nil, err
		}
		if distances[tag], err = strconv.Atoi(strings.TrimSpace(out)); err != nil {
			return nil, fault.New(fault.Internal, op, "git rev-list answered %q", out)
		}
	}
	return distances, nil
}

func (g Git) distancesInGraph(ctx context.Context, op, dir string, tags []string) (map[string]int, error) {
	out, err := g.run(ctx, op, dir, "rev-list", "--parents", "HEAD")
	if err != nil {
		return nil, err
	}
	commits := graphOf(out)
	// An annotated tag is an object of its own; what it stands for comes after it.
	out, err = g.run(ctx, op, dir, "for-each-ref", "--format=%(refname) %(objectname) %(*objectname)", "refs/tags")
	if err != nil {
		return nil, err
	}
	tagged := map[string]string{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) > 1 {
			tagged[strings.TrimPrefix(fields[0], "refs/tags/")] = fields[len(fields)-1]
		}
	}
	distances, known := map[string]int{"": len(commits.parents)}, map[int]int{}
	for _, tag := range tags {
		if tag == "" {
			continue
		}
		at, ok := commits.number[tagged[tag]]
		if !ok {
			return nil, fault.New(fault.Usage, op, "the checkout does not descend from the tag %q", tag)
		}
		if _, ok := known[at]; !ok {
			known[at] = len(commits.parents) - commits.ancestors(at)
		}
		distances[tag] = known[at]
	}
	return distances, nil
}

// graph of commits, which are numbered.
type graph struct {
	number  map[string]int
	parents [][]int
	// seen tells which commits a walk has met: those that carry its number.
	seen []int
	walk int
}

// graphOf reads `hash parent…` lines. Parents that a shallow clone has cut off are not among them.
func graphOf(lines string) *graph {
	g := &graph{number: map[string]int{}}
	for line := range strings.Lines(lines) {
		hash, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		g.number[hash] = len(g.number)
	}
	g.parents, g.seen = make([][]int, len(g.number)), make([]int, len(g.number))
	for line := range strings.Lines(lines) {
		hashes := strings.Fields(line)
		for _, parent := range hashes[1:] {
			if p, ok := g.number[parent]; ok {
				g.parents[g.number[hashes[0]]] = append(g.parents[g.number[hashes[0]]], p)
			}
		}
	}
	return g
}

// ancestors counts a commit and all that it descends from.
func (g *graph) ancestors(commit int) int {
	g.walk++
	g.seen[commit] = g.walk
	count, next := 0, []int{commit}
	for len(next) > 0 {
		here := next[len(next)-1]
		next = next[:len(next)-1]
		count++
		for _, p := range g.parents[here] {
			if g.seen[p] != g.walk {
				g.seen[p] = g.walk
				next = append(next, p)
			}
		}
	}
	return count
}
