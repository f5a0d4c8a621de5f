package vault

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// farthest is how many versions before the current one are looked through; the engine keeps ten unless it is told otherwise.
const farthest = 50

// trace answers the queries of a secret whose version is not that of its variables: it would change with each neighbour's. There a
// variable's version is a fingerprint of its content, and an earlier one is found by going back through what the engine keeps.
func (s *Store) trace(ctx context.Context, g *group, queries []variables.Query, answers []variables.Variable, errs []error) error {
	current, err := s.latest(ctx, g.path)
	if err != nil && !errors.Is(err, variables.ErrGone) {
		return err
	}
	wanted := map[int]bool{}
	for _, at := range g.queries {
		switch {
		case queries[at].Version != "":
			wanted[at] = true
		case err != nil:
			errs[at] = err
		default:
			answers[at], errs[at] = s.pick(current, queries[at].Name)
		}
	}
	seen := map[string][]byte{}
	for found, n := current, current.version; ; {
		s.match(found, wanted, seen, queries, answers)
		n--
		if len(wanted) == 0 || n < 1 || n < current.version-farthest {
			break
		}
		found, err = s.numbered(ctx, g.path, strconv.FormatInt(n, 10))
		if errors.Is(err, errNothing) {
			break // what is older than this was removed as well
		}
		if err != nil && !errors.Is(err, variables.ErrGone) {
			return err
		}
	}
	for at := range wanted {
		errs[at] = s.lost(current, queries[at])
	}
	return nil
}

// match gives the wanted queries what a version of the secret holds for them. A content is looked at once, however many versions hold it.
func (s *Store) match(found *secret, wanted map[int]bool, seen map[string][]byte, queries []variables.Query, answers []variables.Variable) {
	changed := map[string]bool{}
	for at := range wanted {
		key := s.keyOf(queries[at].Name)
		content, ok := found.held[key]
		if !ok || !changed[key] && bytes.Equal(content, seen[key]) {
			continue
		}
		changed[key], seen[key] = true, content
		if v, err := s.pick(found, queries[at].Name); err == nil && v.Version == queries[at].Version {
			answers[at] = v
			delete(wanted, at)
		}
	}
}

func (s *Store) lost(current *secret, q variables.Query) error {
	if s.at.Version == 1 {
		return fault.New(fault.Refused, "", "version %s %w: version 1 of the engine keeps the latest only", q.Version, variables.ErrGone).
			WithHint("take the current one with `onRollback: current`, or let the engine keep versions: vault kv enable-versioning%s %s, and `version: 2`", s.server(), s.at.Mount)
	}
	return fault.New(fault.Refused, "", "version %s %w: no version of secret %s up to %d that is kept holds it", q.Version, variables.ErrGone, current.path, current.version).
		WithHint("take the current one with `onRollback: current`, or let the engine keep more: vault kv metadata patch%s -mount=%s -max-versions=50 %s", s.server(), s.at.Mount, current.path)
}

// fingerprint names a content and does not tell it. There is no key that all who deploy share, so it is made slow: whoever reads a
// record spends 19 MiB of memory on each guess.
func (s *Store) fingerprint(path, key string, content json.RawMessage) string {
	salt := strings.Join([]string{"sluice variable", s.at.Namespace, s.at.Mount, path, key}, "\x00")
	return base64.RawURLEncoding.EncodeToString(argon2.IDKey(content, []byte(salt), 1, 19<<10, 1, 18))
}
