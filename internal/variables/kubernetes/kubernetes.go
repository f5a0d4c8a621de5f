// Package kubernetes reads variables from a Secret of a cluster, and keeps those of services in Secrets of their own; it must touch no other Secret.
package kubernetes

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// timeout is how long the API server may take; client-go tries again by itself where it is throttled.
const timeout = 15 * time.Second

// Store reads the keys of one Secret. It is safe for concurrent use.
type Store struct {
	client          kubernetes.Interface
	namespace, name string
}

var _ variables.Store = (*Store)(nil)

// New reads a Secret of the cluster that the client talks to.
func New(client kubernetes.Interface, namespace, name string) *Store {
	return &Store{client: client, namespace: namespace, name: name}
}

func (s *Store) String() string { return "Secret " + s.namespace + "/" + s.name }

// Resolve answers the queries from one reading of the Secret.
func (s *Store) Resolve(ctx context.Context, queries []variables.Query) ([]variables.Variable, error) {
	if len(queries) == 0 {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, variables.Failed(s, []error{fault.Wrap(fault.Interrupted, "", err)})
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	secret, err := s.client.CoreV1().Secrets(s.namespace).Get(limited, s.name, metav1.GetOptions{})
	if err != nil {
		return nil, variables.Failed(s, []error{s.failed(ctx, err)})
	}
	var answers []variables.Variable
	var problems []error
	for _, q := range queries {
		answer, err := s.one(secret, q)
		answers, problems = append(answers, answer), append(problems, err)
	}
	if err := variables.Failed(s, problems); err != nil {
		return nil, err
	}
	return answers, nil
}

func (s *Store) one(secret *corev1.Secret, q variables.Query) (variables.Variable, error) {
	content, ok := secret.Data[q.Name]
	if !ok {
		known := "it has no key at all"
		if len(secret.Data) > 0 {
			known = "its keys are " + strings.Join(slices.Sorted(maps.Keys(secret.Data)), ", ")
		}
		return variables.Variable{}, variables.Problem(fault.NotFound, q.Name,
			"whoever manages "+s.String()+" adds the key", "there is no such key; %s", known)
	}
	current := version(secret, q.Name, content)
	if q.Version != "" && q.Version != current {
		return variables.Variable{}, variables.Problem(fault.Refused, q.Name, "take the current version",
			"version %s %w: a Secret holds the current one only, which is %s", q.Version, variables.ErrGone, current)
	}
	return variables.Variable{Name: q.Name, Version: current, Value: variables.NewValue(string(content))}, nil
}

// version names the content of one key, so that a change of its neighbours is none of its own, as the Secret's resourceVersion would be.
// It is a hash with the Secret's UID as key: random, and shown only to those who may read the Secret. Without it nobody can try contents.
func version(secret *corev1.Secret, key string, content []byte) string {
	mac := hmac.New(sha256.New, []byte(secret.UID))
	fmt.Fprintf(mac, "%d:%s", len(key), key)
	mac.Write(content)
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// failed classifies an error of the API server.
func (s *Store) failed(ctx context.Context, err error) error {
	get := fmt.Sprintf("kubectl --namespace %s create role sluice-variables --verb=get --resource=secrets --resource-name=%s", s.namespace, s.name)
	switch {
	case ctx.Err() != nil:
		return fault.Wrap(fault.Interrupted, "", ctx.Err())
	case apierrors.IsNotFound(err):
		return fault.New(fault.NotFound, "", "there is no such Secret").
			WithHint("whoever manages the cluster makes it, or correct the environment's variables.kubernetes")
	case apierrors.IsForbidden(err):
		return fault.New(fault.Unreachable, "", "this identity may not get it: %s", reason(err)).
			WithHint("`%s` makes the right, and `kubectl create rolebinding` gives it", get)
	case apierrors.IsUnauthorized(err):
		return fault.New(fault.Unreachable, "", "the API server refuses the credentials").WithHint("log in again")
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Unreachable, "", "the API server did not answer within %s", timeout).
			WithHint("is the cluster up, and is this network allowed to reach it?")
	case apierrors.IsTooManyRequests(err):
		return fault.New(fault.Unreachable, "", "the API server is overloaded: %s", reason(err)).WithHint("try again later")
	}
	return fault.New(fault.Unreachable, "", "the API server does not give it: %s", reason(err)).
		WithHint("is the cluster up, and is this network allowed to reach it?")
}

// reason is what the API server said, in its first line.
func reason(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
