// Package cluster says how an environment's cluster is reached, and why it is not; it must not know a client of Kubernetes or of a cloud.
package cluster

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Finder finds the way to one cluster.
type Finder interface {
	// Find asks whoever knows the cluster for the way to it, and for what opens it. It reads only, and keeps nothing on disk.
	Find(ctx context.Context) (*Access, error)
}

// Access is the way to an API server, with what opens it. It lives in memory, and whoever holds it tells the masker of what is secret in it.
type Access struct {
	// Name says which cluster this is, as whoever found it names it.
	Name string
	// Server is the URL of the API server.
	Server string
	// CA are the certificates, in PEM, that the server's must be signed by; none for those of the machine.
	CA []byte
	// Token gives the bearer token of the next request, and when it expires (zero: not known). It is safe for concurrent use, and
	// asks for a new one before the old one expires. nil where Certificate or Transport opens the cluster.
	Token func(ctx context.Context) (token string, expires time.Time, err error)
	// Certificate and Key, in PEM, are those of a client that has no token.
	Certificate, Key []byte
	// Transport carries requests to the server where the network does not lead to it; nil: the network does.
	// Requests to it bear no credentials: it has its own.
	Transport http.RoundTripper
	// Interval is how long to rest at least between two looks at the cluster, where looking takes long; 0: as always.
	Interval time.Duration
	// Notices are what a person must know of this way, one sentence each.
	Notices []string
}

// String tells where the cluster is, and nothing that opens it.
func (a *Access) String() string { return a.Name + " at " + a.Server }

// GoString is String: %#v tells no more.
func (a *Access) GoString() string { return a.String() }

// Denied is the error (errors.As) of whoever is known, and may not do something. Its fault kind is Unreachable.
type Denied struct {
	// Principal is who is refused, as the one that refuses names it; "" where it does not say.
	Principal string
	// Action is what it may not do, as "Microsoft.ContainerService/managedClusters/read".
	Action string
	// Scope is what it may not be done to: the id of a resource.
	Scope string
	// Role is the least built-in role that allows the action.
	Role string
	// Message is what was answered.
	Message string
}

func (e *Denied) Error() string {
	who := "whoever is signed in"
	if e.Principal != "" {
		who = e.Principal
	}
	return fmt.Sprintf("%s may not do %s on %s", who, e.Action, e.Scope)
}

// Command is the one that grants the role, for somebody who may.
func (e *Denied) Command() string {
	who := e.Principal
	if who == "" {
		who = "OBJECT_ID"
	}
	return fmt.Sprintf("az role assignment create --assignee %s --role %q --scope %s", who, e.Role, e.Scope)
}

// Private is the error (errors.As) of an API server that only a private network leads to, which this machine is not in. Its fault kind is Unreachable.
type Private struct {
	// Server is the API server's URL.
	Server string
	// Err is what came of trying: a name that is not known here, or a connection that nobody answered.
	Err error
}

func (e *Private) Error() string {
	return fmt.Sprintf("the API server %s is private, and not reachable from here: %v", e.Server, e.Err)
}

func (e *Private) Unwrap() error { return e.Err }

// Restricted is the error (errors.As) of an API server that does not answer, and lets in only some addresses. Its fault kind is Unreachable.
type Restricted struct {
	// Server is the API server's URL.
	Server string
	// Ranges are the addresses that are let in.
	Ranges []string
	// Err is what came of trying.
	Err error
}

func (e *Restricted) Error() string {
	return fmt.Sprintf("the API server %s does not answer; it lets in only %s: %v", e.Server, strings.Join(e.Ranges, ", "), e.Err)
}

func (e *Restricted) Unwrap() error { return e.Err }

// Stopped is the error (errors.As) of a cluster that is switched off, or is being made. Its fault kind is Unreachable.
type Stopped struct {
	// Name is the cluster's.
	Name string
	// State is what it is in, as whoever runs it names it.
	State string
}

func (e *Stopped) Error() string {
	return fmt.Sprintf("the cluster %s is not running: %s", e.Name, e.State)
}

var (
	_ error = (*Denied)(nil)
	_ error = (*Private)(nil)
	_ error = (*Restricted)(nil)
	_ error = (*Stopped)(nil)
)
