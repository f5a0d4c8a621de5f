package variablestest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// Memory is a store that keeps the contract in memory, for tests of what uses one. It keeps every version. It is safe for concurrent use.
type Memory struct {
	now func() time.Time

	mu      sync.Mutex
	held    map[string][]*version
	err     error
	queries int
}

type version struct {
	content  string
	expires  time.Time
	disabled bool
	gone     bool
}

var (
	_ variables.Store  = (*Memory)(nil)
	_ variables.Lister = (*Memory)(nil)
)

// NewMemory returns an empty store. now tells what has expired.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, held: map[string][]*version{}}
}

// Put writes the next version of a variable.
func (m *Memory) Put(name, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[name] = append(m.held[name], &version{content: content})
}

// Disable switches a variable's current version off.
func (m *Memory) Disable(name string) { m.current(name, func(v *version) { v.disabled = true }) }

// Expire lets a variable's current version expire.
func (m *Memory) Expire(name string, at time.Time) {
	m.current(name, func(v *version) { v.expires = at })
}

// Forget removes all versions of a variable but the current one.
func (m *Memory) Forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.held[name][:len(m.held[name])-1] {
		v.gone = true
	}
}

// Fail lets every Resolve from now on end with the error; nil ends that.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// Queries counts what was read.
func (m *Memory) Queries() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.queries
}

func (m *Memory) current(name string, change func(*version)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m.held[name][len(m.held[name])-1])
}

// Resolve answers the queries.
func (m *Memory) Resolve(ctx context.Context, queries []variables.Query) ([]variables.Variable, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queries += len(queries)
	return m.all(ctx, queries)
}

// Versions answers the queries without values. What it is asked for is not counted.
func (m *Memory) Versions(ctx context.Context, queries []variables.Query) ([]variables.Variable, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := append([]variables.Query(nil), queries...)
	for i, q := range queries {
		for n, v := range m.held[q.Name] {
			if q.Version == "" && !v.disabled {
				asked[i].Version = strconv.Itoa(n + 1)
			}
		}
	}
	answers, err := m.all(ctx, asked)
	for i := range answers {
		answers[i].Value = variables.Value{}
	}
	return answers, err
}

func (m *Memory) all(ctx context.Context, queries []variables.Query) ([]variables.Variable, error) {
	if len(queries) == 0 {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, variables.Failed(m, []error{fault.Wrap(fault.Interrupted, "", err)})
	}
	if m.err != nil {
		return nil, variables.Failed(m, []error{m.err})
	}
	var answers []variables.Variable
	var problems []error
	for _, q := range queries {
		answer, err := m.one(q)
		answers, problems = append(answers, answer), append(problems, err)
	}
	if err := variables.Failed(m, problems); err != nil {
		return nil, err
	}
	return answers, nil
}

func (m *Memory) one(q variables.Query) (variables.Variable, error) {
	held := m.held[q.Name]
	if len(held) == 0 {
		return variables.Variable{}, variables.Problem(fault.NotFound, q.Name, "put it into the store", "there is none")
	}
	number := len(held)
	if q.Version != "" {
		number, _ = strconv.Atoi(q.Version)
	}
	if number < 1 || number > len(held) || held[number-1].gone {
		return variables.Variable{}, variables.Problem(fault.Refused, q.Name, "take the current version", "version %s %w", q.Version, variables.ErrGone)
	}
	switch v := held[number-1]; {
	case v.disabled:
		return variables.Variable{}, variables.Problem(fault.Refused, q.Name, "enable it", "version %d %w", number, variables.ErrDisabled)
	case !v.expires.IsZero() && !m.now().Before(v.expires):
		return variables.Variable{}, variables.Problem(fault.Refused, q.Name, "renew it", "version %d %w (%s)", number, variables.ErrExpired, v.expires.Format(time.RFC3339))
	default:
		return variables.Variable{Name: q.Name, Version: fmt.Sprint(number), Value: variables.NewValue(v.content), Expires: v.expires}, nil
	}
}

func (m *Memory) String() string { return "the store in memory" }
