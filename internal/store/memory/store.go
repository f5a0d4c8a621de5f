// Package memory keeps records and locks in the process, for rehearsals and for tests of what builds on them; it must not outlive the process or be taken for the cluster.
package memory

import (
	"context"
	"slices"
	"strconv"
	"sync"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
)

var _ store.Store = (*Store)(nil)

// Verb names a method of the store or the locker.
type Verb string

// The verbs that a hook sees.
const (
	Get     Verb = "get"
	List    Verb = "list"
	Create  Verb = "create"
	Update  Verb = "update"
	Delete  Verb = "delete"
	Acquire Verb = "acquire"
	Release Verb = "release"
)

// Call is one call about to happen, or that just happened.
type Call struct {
	Verb   Verb
	Key    store.Key
	Number int
	// Done says that the call took effect and only its answer is still to come.
	Done bool
}

// Hook injects faults. It is called before and after the effect of every call, outside any lock; its error is the call's
// answer. After the effect that is an answer that got lost. A hook may call the store.
type Hook func(ctx context.Context, call Call) error

// Store keeps records in memory. The zero value is not usable.
type Store struct {
	hook Hook

	mu      sync.Mutex
	version int64
	records map[store.Key]map[int]entry
}

// entry is a record as bytes, so that nobody shares memory with the store and everything passes the codec.
type entry struct {
	body    []byte
	version int64
}

// New returns an empty store; hook may be nil.
func New(hook Hook) *Store {
	if hook == nil {
		hook = func(context.Context, Call) error { return nil }
	}
	return &Store{hook: hook, records: map[store.Key]map[int]entry{}}
}

// Get returns one record.
func (s *Store) Get(ctx context.Context, key store.Key, number int) (store.Record, error) {
	var found store.Record
	err := s.call(ctx, Call{Verb: Get, Key: key, Number: number}, func() (err error) {
		e, ok := s.records[key][number]
		if !ok {
			return absent(key, number)
		}
		found, err = e.record()
		return err
	})
	return found, err
}

// List returns the records of a key, newest first.
func (s *Store) List(ctx context.Context, key store.Key) ([]store.Record, error) {
	var list []store.Record
	err := s.call(ctx, Call{Verb: List, Key: key}, func() error {
		for _, e := range s.records[key] {
			r, err := e.record()
			if err != nil {
				return err
			}
			list = append(list, r)
		}
		slices.SortFunc(list, func(a, b store.Record) int { return b.Rollout.Number - a.Rollout.Number })
		return nil
	})
	return list, err
}

// Create keeps a new record.
func (s *Store) Create(ctx context.Context, rollout v1alpha1.Rollout) (store.Record, error) {
	var created store.Record
	key := store.KeyOf(rollout)
	err := s.call(ctx, Call{Verb: Create, Key: key, Number: rollout.Number}, func() (err error) {
		if _, ok := s.records[key][rollout.Number]; ok {
			return fault.New(fault.Conflict, "create the record", "rollout %d of %s in %s exists", rollout.Number, key.Service, key.Environment)
		}
		created, err = s.put(key, rollout)
		return err
	})
	return created, err
}

// Update replaces a record if it is still the one that was read.
func (s *Store) Update(ctx context.Context, record store.Record) (store.Record, error) {
	var updated store.Record
	r := record.Rollout
	key := store.KeyOf(r)
	err := s.call(ctx, Call{Verb: Update, Key: key, Number: r.Number}, func() (err error) {
		e, ok := s.records[key][r.Number]
		if !ok {
			return absent(key, r.Number)
		}
		if strconv.FormatInt(e.version, 10) != record.Version {
			return fault.New(fault.Conflict, "update the record", "rollout %d of %s in %s was changed since it was read", r.Number, key.Service, key.Environment)
		}
		updated, err = s.put(key, r)
		return err
	})
	return updated, err
}

// Delete removes a record; an absent one is no error.
func (s *Store) Delete(ctx context.Context, key store.Key, number int) error {
	return s.call(ctx, Call{Verb: Delete, Key: key, Number: number}, func() error {
		delete(s.records[key], number)
		return nil
	})
}

// call runs an effect between the hook's two looks.
func (s *Store) call(ctx context.Context, c Call, effect func() error) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.Interrupted, string(c.Verb)+" the record", err)
	}
	if err := s.hook(ctx, c); err != nil {
		return err
	}
	if err := s.locked(effect); err != nil {
		return err
	}
	c.Done = true
	return s.hook(ctx, c)
}

func (s *Store) locked(effect func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return effect()
}

// put is called under the lock.
func (s *Store) put(key store.Key, rollout v1alpha1.Rollout) (store.Record, error) {
	body, err := store.Encode(rollout)
	if err != nil {
		return store.Record{}, err
	}
	if s.records[key] == nil {
		s.records[key] = map[int]entry{}
	}
	s.version++
	e := entry{body: body, version: s.version}
	r, err := e.record()
	if err != nil {
		return store.Record{}, err
	}
	s.records[key][rollout.Number] = e
	return r, nil
}

func (e entry) record() (store.Record, error) {
	r, err := store.Decode(e.body)
	return store.Record{Rollout: r, Version: strconv.FormatInt(e.version, 10)}, err
}

func absent(key store.Key, number int) error {
	return fault.New(fault.NotFound, "find the record", "there is no rollout %d of %s in %s", number, key.Service, key.Environment)
}
