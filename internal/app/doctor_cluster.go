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

// diagnoseCluster goes the way to the cluster as far as it leads.
func (a *App) diagnoseCluster(ctx context.Context, req DiagnoseRequest, environment string, env v1alpha1.Environment) doctor.Cluster {
	spec := a.override(env.Cluster)
	c := doctor.Cluster{Way: describeCluster(spec), Kubectl: a.kubectl(spec)}
	config, err := bounded(ctx, a, "the settings of "+c.Way, checkTimeout, func(ctx context.Context) (*rest.Config, error) {
		return a.restConfig(ctx, environment, spec)
	})
	if err != nil {
		c.Settings = err
		return c
	}
	a.keepCredentials(config)
	config.QPS, config.Burst, config.UserAgent, config.WarningHandler = qps, burst, "sluice", rest.NoWarnings{}
	c.Server, c.Origin, c.Credential = config.Host, a.origin(ctx, spec), credentialOf(config)
	if c.Network = a.probe(ctx, config); c.Network != nil && !arrived(c.Network) {
		return c
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		c.Settings = fault.New(fault.Usage, "connect to the cluster of environment "+environment, "%w", err)
		return c
	}
	if c.Answer = a.answer(ctx, config); c.Answer.Trouble != "" {
		return c
	}
	if c.Login = a.login(ctx, client, c.Server); c.Login.Trouble != "" && c.Login.Trouble != doctor.NotAsked {
		return c
	}
	c.Identity = a.identify(ctx, client, config.Host, environment, env.Namespace, spec)
	c.Namespace = a.namespace(ctx, client, env.Namespace)
	c.Access, c.Notes = a.access(ctx, client, req, environment, env)
	return c
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
	case config.WrapTransport != nil && config.Transport == nil:
		return nil
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
func (a *App) answer(ctx context.Context, config *rest.Config) *doctor.Answer {
	asked := config
	if config.Transport == nil {
		asked = rest.AnonymousClientConfig(config)
	}
	raw, err := bounded(ctx, a, "an answer of "+config.Host, stepTimeout, func(ctx context.Context) ([]byte, error) {
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
		found.Trouble, found.Says = troubleOf(err), said(err)
	case json.Unmarshal(raw, &version) != nil || version.GitVersion == "":
		found.Trouble, found.Says = doctor.Other, "asked for its version, it says something else"
	}
	found.Version = version.GitVersion
	return found
}

// login asks the cluster for whom it takes this run, which no right is needed for.
func (a *App) login(ctx context.Context, client kubernetes.Interface, server string) *doctor.Login {
	review, err := bounded(ctx, a, "a login at "+server, checkTimeout, func(ctx context.Context) (*authenticationv1.SelfSubjectReview, error) {
		return client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
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
		found.Trouble = troubleOf(err)
	}
	return found
}

// said is what an error says without the request that it came of.
func said(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Message != "" {
		return status.Status().Message
	}
	return err.Error()
}

// identify finds out which cluster this is, as a deployment does before it writes.
func (a *App) identify(ctx context.Context, client kubernetes.Interface, host, environment, namespace string, spec v1alpha1.Cluster) *doctor.Identity {
	here := identity{server: normalURL(host)}
	uid, err := bounded(ctx, a, "which cluster this is", stepTimeout, func(ctx context.Context) (string, error) { return reach(ctx, client) })
	if err == nil {
		here.uid = uid
	}
	found := &doctor.Identity{Name: here.name(), Readable: here.uid != "", Named: spec.Identity, Mismatch: here.verify(environment, spec)}
	found.Pinned, found.PinError = bounded(ctx, a, "the pin of namespace "+namespace, stepTimeout, func(ctx context.Context) (bool, error) {
		return here.pinned(ctx, client, environment, namespace)
	})
	return found
}

func (a *App) namespace(ctx context.Context, client kubernetes.Interface, name string) *doctor.Namespace {
	_, err := bounded(ctx, a, "the namespace "+name, stepTimeout, func(ctx context.Context) (struct{}, error) {
		_, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
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
	a.ask(ctx, client, &may)
	return &doctor.Namespace{MayCreate: may.Allowed, Err: may.Err}
}
