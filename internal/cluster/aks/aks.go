// Package aks finds clusters of Azure Kubernetes Service through Azure Resource Manager; it must not choose who signs in, nor write a kubeconfig.
package aks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/cluster"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	// serverScope is the application by which every AKS cluster that uses Entra ID is named when a token for it is asked for.
	serverScope = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
	// reachTime is how long an API server may take for its first answer before it counts as not reachable.
	reachTime = 5 * time.Second
	// answerTime bounds one attempt at Azure Resource Manager, with the token that it needs.
	answerTime = 30 * time.Second
	// interval is the rest between two looks at a cluster through the run-command API: looking itself takes several times as long.
	interval = 5 * time.Second
)

// Options are what a Finder needs besides the name of its cluster.
type Options struct {
	// Credential is who signs in, to Azure Resource Manager and to the cluster. It is asked for every request to the cluster, so that it keeps
	// a token, replaces it early enough for a request that is under way, and makes it known as a secret.
	Credential azcore.TokenCredential
	// Cloud says where Azure Resource Manager is. Default: the public cloud.
	Cloud cloud.Configuration
	Clock variables.Clock
	// Transport sends requests to Azure Resource Manager. Default: Go's own client, which honours the proxy of the environment.
	Transport policy.Transporter
	// ReachTime is how long the API server may take for its first answer. Default 5 s.
	ReachTime time.Duration
}

// Finder finds one cluster.
type Finder struct {
	spec v1alpha1.AKS
	arm  *manager
	o    Options
}

var _ cluster.Finder = (*Finder)(nil)

// New returns the finder of a cluster. It sends nothing.
func New(spec v1alpha1.AKS, o Options) (*Finder, error) {
	if o.ReachTime == 0 {
		o.ReachTime = reachTime
	}
	if o.Clock == nil {
		o.Clock = variables.SystemClock{}
	}
	arm, err := newManager(spec, o)
	if err != nil {
		return nil, err
	}
	return &Finder{spec: spec, arm: arm, o: o}, nil
}

// managed is what Azure says of a cluster, as far as it matters here.
type managed struct {
	ID         string `json:"id"`
	Properties struct {
		ProvisioningState string `json:"provisioningState"`
		PowerState        struct {
			Code string `json:"code"`
		} `json:"powerState"`
		FQDN        string    `json:"fqdn"`
		PrivateFQDN string    `json:"privateFQDN"`
		AAD         *struct{} `json:"aadProfile"`
		API         struct {
			Private    bool     `json:"enablePrivateCluster"`
			Ranges     []string `json:"authorizedIPRanges"`
			NoCommands bool     `json:"disableRunCommand"`
		} `json:"apiServerAccessProfile"`
	} `json:"properties"`
}

// Find implements cluster.Finder. It asks Azure which cluster that is and how a user gets in, and whether its API server can be reached from here.
func (f *Finder) Find(ctx context.Context) (*cluster.Access, error) {
	m, err := f.look(ctx)
	if err != nil {
		return nil, err
	}
	if m.Properties.PowerState.Code == "Stopped" {
		return nil, f.fault(&cluster.Stopped{Name: f.spec.Name, State: "Stopped"}).
			WithHint("start it: az aks start --subscription %s --resource-group %s --name %s", f.spec.Subscription, f.spec.ResourceGroup, f.spec.Name)
	}
	access, err := f.credentials(ctx, m)
	if err != nil {
		return nil, err
	}
	if f.spec.RunCommand == v1alpha1.RunCommandAlways {
		return f.carried(access, m, "cluster.aks.runCommand is always")
	}
	if !m.Properties.API.Private && len(m.Properties.API.Ranges) == 0 {
		return access, nil // whoever connects says where that fails
	}
	err = f.reach(ctx, access)
	switch {
	case err == nil:
		return access, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, fault.Wrap(fault.Interrupted, f.op(), ctx.Err())
	case ctx.Err() != nil:
		// There was no time to find out whether there is a way.
		return nil, f.fault(fmt.Errorf("the API server %s does not answer: it took too long: %w", access.Server, ctx.Err())).
			WithHint("check the network and the proxy between here and the cluster, then run the command again")
	case !m.Properties.API.Private:
		return nil, f.fault(&cluster.Restricted{Server: access.Server, Ranges: m.Properties.API.Ranges, Err: err}).
			WithHint("run within these addresses, or let this one in: az aks update --subscription %s --resource-group %s --name %s --api-server-authorized-ip-ranges RANGES; "+
				"cluster.aks.runCommand: always goes another way", f.spec.Subscription, f.spec.ResourceGroup, f.spec.Name)
	case f.spec.RunCommand == v1alpha1.RunCommandNever:
		return nil, f.private(access, err, "or allow the slow way, cluster.aks.runCommand: fallback")
	case m.Properties.API.NoCommands:
		return nil, f.private(access, err, "the run-command API, which would be another way, is disabled in this cluster")
	}
	return f.carried(access, m, (&cluster.Private{Server: access.Server, Err: err}).Error())
}

func (f *Finder) op() string { return "AKS cluster " + f.spec.Name }

func (f *Finder) fault(err error) *fault.Error {
	return &fault.Error{Op: f.op(), Kind: fault.Unreachable, Err: err}
}

func (f *Finder) private(access *cluster.Access, err error, more string) error {
	return f.fault(&cluster.Private{Server: access.Server, Err: err}).
		WithHint("run where its private endpoint can be reached and its name is known, for example on a self-hosted agent in its network; %s", more)
}

// look reads the cluster, and makes sure that it is the one that was asked for.
func (f *Finder) look(ctx context.Context) (*managed, error) {
	var m managed
	if err := f.arm.read(ctx, "", &m); err != nil {
		return nil, err
	}
	if !strings.EqualFold(m.ID, f.spec.ID()) {
		return nil, f.fault(fmt.Errorf("Azure Resource Manager answered with %q, and not with %s", m.ID, f.spec.ID())).
			WithHint("a proxy may answer in its place; nothing was sent to a cluster")
	}
	return &m, nil
}

// credentials are those of a user: never an administrator's, and never a program that would have to be run.
func (f *Finder) credentials(ctx context.Context, m *managed) (*cluster.Access, error) {
	config, err := f.arm.userConfig(ctx)
	if err != nil {
		return nil, err
	}
	if !config.leadsTo(m) {
		return nil, f.fault(fmt.Errorf("its kubeconfig leads to %s, and the cluster is %s", config.server, strings.Join(m.hosts(), " or "))).
			WithHint("a proxy may answer in Azure's place; nothing was sent to a cluster")
	}
	access := &cluster.Access{Name: f.spec.ID(), Server: config.server, CA: config.ca}
	switch {
	case m.Properties.AAD != nil:
		access.Token = tokens{f.o.Credential, f.noToken}.token
	case len(config.certificate) > 0 && len(config.key) > 0:
		access.Certificate, access.Key = config.certificate, config.key
	case config.token != "":
		access.Token = func(context.Context) (string, time.Time, error) { return config.token, time.Time{}, nil }
	default:
		return nil, f.fault(errors.New("its kubeconfig holds no credentials, and it does not use Entra ID")).
			WithHint("let it use Entra ID: az aks update --subscription %s --resource-group %s --name %s --enable-aad", f.spec.Subscription, f.spec.ResourceGroup, f.spec.Name)
	}
	return access, nil
}

func (m *managed) hosts() []string {
	var hosts []string
	for _, host := range []string{m.Properties.FQDN, m.Properties.PrivateFQDN} {
		if host != "" {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

func (f *Finder) noToken(err error) error {
	return (&identity.NoToken{Err: err}).For(f.op(), "the cluster", "sign in as somebody of the cluster's directory, for example with az login, or give the run a federated or managed identity")
}

// reach asks the API server for anything at all, without credentials: every answer means that there is a way.
func (f *Finder) reach(ctx context.Context, access *cluster.Access) error {
	ctx, cancel := context.WithTimeout(ctx, f.o.ReachTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, access.Server+"/livez", nil)
	if err != nil {
		return err
	}
	trusted := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(access.CA) > 0 {
		trusted.RootCAs = x509.NewCertPool()
		trusted.RootCAs.AppendCertsFromPEM(access.CA)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: trusted, DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err == nil {
		return response.Body.Close()
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", f.o.ReachTime)
	}
	return err
}

// carried is the way through the run-command API.
func (f *Finder) carried(access *cluster.Access, m *managed, why string) (*cluster.Access, error) {
	if m.Properties.API.NoCommands {
		return nil, f.fault(errors.New("the run-command API is disabled in this cluster, and cluster.aks.runCommand is always")).
			WithHint("reach the API server by its network and leave out runCommand, or enable it: apiServerAccessProfile.disableRunCommand of the cluster")
	}
	token := access.Token
	if m.Properties.AAD == nil {
		token = nil // Azure signs in by itself
	}
	access.Transport = newCarrier(f.arm, token, f.o.Clock)
	access.Token, access.Certificate, access.Key = nil, nil, nil
	access.Interval = interval
	access.Notices = []string{
		why + ": requests go through the run-command API of AKS. That is slow, each takes seconds and starts a pod in the namespace aks-command; " +
			"changes are looked for and not watched, and what is written, Secrets too, passes through Azure Resource Manager",
	}
	return access, nil
}
