// Package vault reads an environment's variables from a key/value engine of HashiCorp Vault or OpenBao; it must not write anything, nor take settings other than those it is given.
package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	// answerTime bounds one attempt.
	answerTime = 15 * time.Second
	// largest bounds an answer: Vault keeps at most 1 MiB in one secret unless it is told otherwise.
	largest = 16 << 20
)

// Options are what a Store needs besides its settings.
type Options struct {
	// ReadFile reads the files that the settings name; a relative path is below the folder of sluice.yaml.
	ReadFile func(path string) ([]byte, error)
	// Getenv reads environment variables.
	Getenv func(name string) string
	// Pipeline gives the job's own signed token, for the login by one that the settings do not name.
	Pipeline identity.Source
	Clock    variables.Clock
	// AnswerTime is how long one answer may take. Default: 15 s.
	AnswerTime time.Duration
}

// Store is one secret of a key/value engine, or a folder of them.
type Store struct {
	at v1alpha1.VaultStore
	o  Options
	// client reads with the token of a login, door logs in and has none.
	client, door *api.Client
	login        login
}

var (
	_ variables.Store  = (*Store)(nil)
	_ variables.Lister = (*Store)(nil)
)

// New returns the store that the settings describe, with their defaults. It sends nothing.
func New(settings v1alpha1.VaultStore, o Options) (*Store, error) {
	if o.AnswerTime == 0 {
		o.AnswerTime = answerTime
	}
	s := &Store{at: settings, o: o}
	op := "prepare to read " + s.String()
	for what, path := range map[string]string{"mount": s.at.Mount, "path": s.at.Path} {
		if !plain(path) {
			return nil, fault.New(fault.Usage, op, "its %s %q has an empty part, or one of dots", what, path).WithHint("write it as in vault kv get -mount=secret calculator/prod")
		}
	}
	transport, err := s.transport()
	if err != nil {
		return nil, fault.New(fault.Usage, op, "%w", err).WithHint("give caFile a file with the certificates, in PEM, of who signed the server's")
	}
	for _, client := range []**api.Client{&s.client, &s.door} {
		if *client, err = s.newClient(transport); err != nil {
			return nil, fault.New(fault.Usage, op, "%w", err).WithHint("check the address, and the variables of the environment that begin with VAULT_")
		}
	}
	return s, nil
}

func (s *Store) newClient(transport http.RoundTripper) (*api.Client, error) {
	client, err := api.NewClient(&api.Config{
		Address: s.at.Address,
		// Attempts are counted, and paused between, by what every store uses. Where the server sends a request to, the library decides itself.
		HttpClient: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	})
	if err != nil {
		return nil, err
	}
	// The library takes both from the environment, where they may be those of another server.
	client.ClearToken()
	client.ClearNamespace()
	if s.at.Namespace != "" {
		client.SetNamespace(s.at.Namespace)
	}
	return client, nil
}

func (s *Store) transport() (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if s.at.CAFile == "" {
		return bounded{t}, nil
	}
	pem, err := s.o.ReadFile(s.at.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read caFile: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("caFile %s holds no certificate", s.at.CAFile)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return bounded{t}, nil
}

// bounded ends answers that are larger than any of Vault's: what is cut off cannot be read as one.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, largest), response.Body}
	}
	return response, err
}

// plain says whether a path stays where it is when it is cleaned, as it is on the way.
func plain(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// String names the server's address and the place in it.
func (s *Store) String() string {
	place := s.at.Mount + "/" + s.at.Path
	if s.at.Namespace != "" {
		place += " in namespace " + s.at.Namespace
	}
	return "Vault " + s.at.Address + ", " + place
}

// group are the queries that one secret answers.
type group struct {
	path, version string
	queries       []int
}

// Resolve reads each secret once; earlier versions are read only where one is asked for.
func (s *Store) Resolve(ctx context.Context, queries []variables.Query) ([]variables.Variable, error) {
	groups, errs := s.groups(queries)
	answers := make([]variables.Variable, len(queries))
	failures := variables.Each(ctx, len(groups), func(ctx context.Context, i int) error {
		g := groups[i]
		if !s.counts() {
			return s.trace(ctx, g, queries, answers, errs)
		}
		found, err := s.read(ctx, g.path, g.version)
		if err != nil {
			return err
		}
		for _, at := range g.queries {
			answers[at], errs[at] = s.pick(found, queries[at].Name)
		}
		return nil
	})
	for i, err := range failures {
		for _, at := range groups[i].queries {
			if err != nil {
				errs[at] = err
			}
		}
	}
	if err := variables.Failed(s, variables.Problems(queries, errs)); err != nil {
		return nil, err
	}
	return answers, nil
}

// groups says what to ask, and of each query that cannot be asked why.
func (s *Store) groups(queries []variables.Query) ([]*group, []error) {
	type key struct{ path, version string }
	var order []*group
	known := map[key]*group{}
	errs := make([]error, len(queries))
	for i, q := range queries {
		if s.at.Key != "" && !plain(q.Name) {
			errs[i] = fault.New(fault.Usage, "", "it cannot be the name of a secret: a part of it is empty, or dots").WithHint("give it another name in the store with `name:`")
			continue
		}
		k := key{path: s.pathOf(q.Name)}
		if s.counts() {
			k.version = q.Version
		}
		if known[k] == nil {
			known[k] = &group{path: k.path, version: k.version}
			order = append(order, known[k])
		}
		known[k].queries = append(known[k].queries, i)
	}
	return order, errs
}

// counts says whether the engine's own count of versions is that of a variable: it is where each is a secret of its own.
func (s *Store) counts() bool { return s.at.Version == 2 && s.at.Key != "" }

// pathOf is the secret below the mount that holds a variable.
func (s *Store) pathOf(name string) string {
	if s.at.Key == "" {
		return s.at.Path
	}
	return s.at.Path + "/" + name
}
