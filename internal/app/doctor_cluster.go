package app

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/doctor"
	"github.com/sluice-dev/sluice/internal/fault"
	signin "github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/rbac"
)

// examiner asks one cluster whose API server may be reached.
type examiner struct {
	*App
	environment string
	spec        v1alpha1.Cluster
	config      *rest.Config
	client      kubernetes.Interface
	// interval is how long to rest at least between two looks at it; 0 where looking is fast.
	interval time.Duration
	// limit is how long one question may take.
	limit time.Duration
}

// diagnoseCluster goes the way to the cluster as far as it leads.
func (a *App) diagnoseCluster(ctx context.Context, req DiagnoseRequest, environment string, env v1alpha1.Environment) doctor.Cluster {
	e := examiner{App: a, environment: environment, spec: a.override(env.Cluster), limit: stepTimeout}
	c := doctor.Cluster{Way: describeCluster(e.spec), Kubectl: a.kubectl(e.spec)}
	if e.spec.AKS != nil {
		c.Azure = e.spec.AKS.ID()
	}
	if c.Settings = e.settle(ctx, &c); c.Settings != nil {
		return c
	}
	if c.Network = a.probe(ctx, e.config); c.Network != nil && !arrived(c.Network) {
		return c
	}
	if c.Answer = e.answer(ctx); c.Answer.Trouble != "" {
		return c
	}
	if c.Login = e.login(ctx); c.Login.Trouble != "" && c.Login.Trouble != doctor.NotAsked {
		return c
	}
	c.Identity = e.identify(ctx, env.Namespace)
	c.Namespace = e.namespace(ctx, env.Namespace)
	c.Access, c.Notes = e.access(ctx, req, env)
	c.Sources = e.sources(ctx, req, env)
	return c
}

// settle finds the address of the cluster and what opens it.
func (e *examiner) settle(ctx context.Context, c *doctor.Cluster) error {
	to, err := bounded(ctx, e.App, "the settings of "+c.Way, checkTimeout, func(ctx context.Context) (way, error) {
		return e.way(ctx, e.environment, e.spec)
	})
	if err != nil {
		return err
	}
	e.config, e.interval = to.config, to.interval
	if to.interval > 0 {
		e.limit = slowReach
	}
	c.Server, c.Origin, c.Credential = e.config.Host, e.origin(ctx, e.spec), credentialOf(e.config)
	if e.spec.AKS != nil {
		c.Credential, c.Notices = nil, to.notices
	}
	e.keepCredentials(e.config)
	e.config.QPS, e.config.Burst, e.config.UserAgent, e.config.WarningHandler = qps, burst, "sluice", rest.NoWarnings{}
	e.client, err = kubernetes.NewForConfig(e.config)
	return fault.Wrap(fault.Usage, "connect to the cluster of environment "+e.environment, err)
}

func arrived(n *doctor.Network) bool {
	for _, step := range []*doctor.Step{n.Resolve, n.Dial, n.Shake} {
		if step != nil && step.Trouble != "" {
			return false
		}
	}
	return true
}

// kubectl is how a person asks the same cluster.
func (a *App) kubectl(spec v1alpha1.Cluster) string {
	command := "kubectl"
	if spec.Kubeconfig != "" {
		command += " --kubeconfig " + a.path(spec.Kubeconfig)
	}
	if spec.Context != "" {
		command += " --context " + spec.Context
	}
	return command
}

// origin says where the way to a cluster was found.
func (a *App) origin(ctx context.Context, spec v1alpha1.Cluster) []string {
	if spec.InCluster || spec.Context == "" {
		return nil
	}
	_, raw, err := a.kubeconfig(spec)
	if err == nil && raw.Contexts[spec.Context] == nil && spec.Context == LocalContext && spec.Kubeconfig == "" {
		_, raw, err = a.loadLocal(ctx)
	}
	if err != nil || raw.Contexts[spec.Context] == nil {
		return nil
	}
	c := raw.Contexts[spec.Context]
	return []string{fmt.Sprintf("cluster %q and user %q, in %s", c.Cluster, c.AuthInfo, c.LocationOfOrigin)}
}

// credentialOf says what a configuration shows to the cluster, never the secret in it.
func credentialOf(config *rest.Config) *doctor.Credential {
	token := config.BearerToken
	if config.BearerTokenFile != "" {
		// A file that cannot be read fails the request itself, which is looked at later.
		data, _ := os.ReadFile(config.BearerTokenFile)
		token = strings.TrimSpace(string(data))
	}
	switch {
	case config.ExecProvider != nil:
		c := &doctor.Credential{Kind: "what the program " + config.ExecProvider.Command + " gives", Program: config.ExecProvider.Command, Install: config.ExecProvider.InstallHint}
		_, err := exec.LookPath(c.Program)
		c.Absent = err != nil
		return c
	case token != "":
		c := &doctor.Credential{Kind: "a token", Presented: claimsOf(token)}
		if c.Presented != nil {
			c.Owner, c.Expires = c.Presented.Subject, c.Presented.Expires
		}
		return c
	case len(config.CertData) > 0 || config.CertFile != "":
		return certificateOf(config)
	case config.AuthProvider != nil:
		return &doctor.Credential{Kind: "what the provider " + config.AuthProvider.Name + " gives"}
	case config.Username != "":
		return &doctor.Credential{Kind: "a password", Owner: config.Username}
	}
	return &doctor.Credential{}
}

func certificateOf(config *rest.Config) *doctor.Credential {
	c := &doctor.Credential{Kind: "a client certificate"}
	loaded := rest.CopyConfig(config)
	if rest.LoadTLSFiles(loaded) != nil {
		return c
	}
	block, _ := pem.Decode(loaded.CertData)
	if block == nil {
		return c
	}
	if leaf, err := x509.ParseCertificate(block.Bytes); err == nil {
		c.Owner, c.Expires = leaf.Subject.String(), leaf.NotAfter
	}
	return c
}

// claimsOf is what a token says of itself; nil for one that only its maker can read.
func claimsOf(token string) *signin.Claims {
	claims, err := signin.NewToken(token, time.Time{}).Claims()
	if err != nil {
		return nil
	}
	return &claims
}

// answer asks as nobody for what most servers tell everybody. Some tell nothing to nobody; those have answered as well.
func (e *examiner) answer(ctx context.Context) *doctor.Answer {
	asked := e.config
	if asked.Transport == nil {
		asked = rest.AnonymousClientConfig(asked)
	}
	raw, err := bounded(ctx, e.App, "an answer of "+asked.Host, e.limit, func(ctx context.Context) ([]byte, error) {
		client, err := kubernetes.NewForConfig(asked)
		if err != nil {
			return nil, err
		}
		return client.Discovery().RESTClient().Get().AbsPath("/version").DoRaw(ctx)
	})
	found := &doctor.Answer{}
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	switch {
	case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err):
		found.Seen = []string{err.Error()}
	case apierrors.IsServiceUnavailable(err), apierrors.IsInternalError(err), apierrors.IsTooManyRequests(err):
		found.Trouble, found.Says = doctor.Unwell, err.Error()
	case err != nil:
		found.Trouble, found.Says, found.Err = troubleOf(err), said(err), explained(err)
	case json.Unmarshal(raw, &version) != nil || version.GitVersion == "":
		found.Trouble, found.Says = doctor.Other, "asked for its version, it says something else"
	}
	found.Version = version.GitVersion
	return found
}

// login asks the cluster for whom it takes this run, which no right is needed for.
func (e *examiner) login(ctx context.Context) *doctor.Login {
	review, err := bounded(ctx, e.App, "a login at "+e.config.Host, max(e.limit, checkTimeout), func(ctx context.Context) (*authenticationv1.SelfSubjectReview, error) {
		return e.client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	})
	const anonymous = "system:anonymous"
	found := &doctor.Login{}
	if err != nil {
		found.Says = said(err)
	}
	switch {
	case err == nil && review.Status.UserInfo.Username == anonymous, apierrors.IsForbidden(err) && strings.Contains(err.Error(), anonymous):
		found.Trouble = doctor.Anonymous
	case err == nil:
		found.User, found.Groups = review.Status.UserInfo.Username, review.Status.UserInfo.Groups
	case apierrors.IsUnauthorized(err):
		found.Trouble = doctor.NotTaken
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		found.Trouble = doctor.NotAsked
	case strings.Contains(err.Error(), "getting credentials:"):
		found.Trouble = doctor.Unhelped
	default:
		found.Trouble, found.Err = troubleOf(err), explained(err)
	}
	return found
}

// explained is an error that says what to do; nil for others.
func explained(err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return known
	}
	return nil
}

// said is what an error says without the request that it came of.
func said(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Message != "" {
		return status.Status().Message
	}
	return err.Error()
}

// identify finds out which cluster this is, as a deployment does before it writes. Without an answer nothing is compared with a pin: a
// cluster that was not recognised is no other one.
func (e *examiner) identify(ctx context.Context, namespace string) *doctor.Identity {
	here := identity{server: normalURL(e.config.Host)}
	uid, err := bounded(ctx, e.App, "which cluster this is", e.limit, func(ctx context.Context) (string, error) {
		return (&cluster{client: e.client, interval: e.interval}).reach(ctx)
	})
	found := &doctor.Identity{Name: here.server, Named: e.spec.Identity}
	if err != nil {
		if strings.Contains(e.spec.Identity, "://") {
			found.Mismatch = here.verify(e.environment, e.spec)
		}
		found.PinError = fault.Wrap(fault.Unreachable, "identity of the cluster of environment "+e.environment, apiError("", "read namespace "+metav1.NamespaceSystem, err))
		return found
	}
	here.uid = uid
	found.Name, found.Readable, found.Mismatch = here.name(), here.uid != "", here.verify(e.environment, e.spec)
	found.Pinned, found.PinError = bounded(ctx, e.App, "the pin of namespace "+namespace, e.limit, func(ctx context.Context) (bool, error) {
		return here.pinned(ctx, e.client, e.environment, namespace)
	})
	return found
}

func (e *examiner) namespace(ctx context.Context, name string) *doctor.Namespace {
	_, err := bounded(ctx, e.App, "the namespace "+name, e.limit, func(ctx context.Context) (struct{}, error) {
		_, err := e.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		return struct{}{}, err
	})
	switch {
	case err == nil:
		return &doctor.Namespace{Exists: true}
	case apierrors.IsForbidden(err):
		return &doctor.Namespace{Hidden: true}
	case !apierrors.IsNotFound(err):
		return &doctor.Namespace{Err: apiError("namespace "+name, "read", err)}
	}
	may := doctor.Access{Right: rbac.Right{Verb: "create", Resource: "namespaces"}}
	e.ask(ctx, &may)
	return &doctor.Namespace{MayCreate: may.Allowed, Err: may.Err}
}
