package buildkit

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	// Each teaches the client a scheme of addresses: docker-container://, podman-container:// and kube-pod://.
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer"
	_ "github.com/moby/buildkit/client/connhelper/kubepod"
	_ "github.com/moby/buildkit/client/connhelper/podmancontainer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/sluice-dev/sluice/internal/fault"
)

// answerTime bounds the first question to a BuildKit.
const answerTime = 20 * time.Second

// endpoint is where a BuildKit is said to be.
type endpoint struct {
	address string
	// said is who says so, for messages.
	said string
	// docker says that it is the one inside Docker, which is reached through Docker's API.
	docker bool
	// tls is how TLS is spoken, nil where it is not.
	tls *tls.Config
	// tentative is an endpoint that nobody named: where it does not answer, the next one is asked.
	tentative bool
}

func (e endpoint) String() string {
	if e.docker {
		return fmt.Sprintf("Docker's BuildKit at %s (%s)", e.address, e.said)
	}
	return fmt.Sprintf("BuildKit at %s (%s)", e.address, e.said)
}

const cure = "give its address with --buildkit, $BUILDKIT_HOST or buildkit: in sluice.yaml; or start one with `sluice local up --with buildkit`"

// connect finds the BuildKit and makes sure that it answers.
func (b *Builder) connect(ctx context.Context, op string) (*client.Client, endpoint, error) {
	endpoints, err := b.endpoints(ctx, op)
	if err != nil {
		return nil, endpoint{}, err
	}
	var last error
	for _, e := range endpoints {
		c, err := e.open(ctx)
		if err == nil {
			return c, e, nil
		}
		if ctx.Err() != nil {
			return nil, e, fault.Wrap(fault.Interrupted, op, ctx.Err())
		}
		last = e.unreachable(op, e.refusal(ctx, err))
		if !e.tentative {
			return nil, e, last
		}
	}
	if last == nil {
		last = fault.New(fault.Unreachable, op, "there is no BuildKit, which builds Dockerfiles: none is named, and neither Docker nor the local cluster has one").
			WithHint("%s", cure)
	}
	return nil, endpoint{}, last
}

// endpoints are the places to ask, the first that is named being the only one.
func (b *Builder) endpoints(ctx context.Context, op string) ([]endpoint, error) {
	env := func(name string) string {
		if value, ok := b.o.LookupEnv(name); ok {
			return value
		}
		return ""
	}
	for _, named := range []struct{ address, said, dir string }{
		{b.o.Address, "as named for this build", b.o.Dir}, {env("BUILDKIT_HOST"), "$BUILDKIT_HOST", ""},
	} {
		switch {
		case named.address == "":
		case named.address == "docker" || strings.HasPrefix(named.address, "docker://"):
			host := strings.TrimPrefix(strings.TrimPrefix(named.address, "docker"), "://")
			if host != "" && !strings.Contains(host, "://") {
				host = "tcp://" + host
			}
			e, err := b.docker(op, host, env)
			return []endpoint{e}, err
		default:
			if err := checkScheme(op, named.address); err != nil {
				return nil, err
			}
			address, secure, err := secured(op, named.address, named.dir)
			return []endpoint{{address: address, said: named.said, tls: secure}}, err
		}
	}
	if env("DOCKER_HOST") != "" {
		e, err := b.docker(op, "", env)
		return []endpoint{e}, err
	}
	var found []endpoint
	if _, err := os.Stat(b.o.DockerSocket); err == nil {
		found = append(found, endpoint{address: "unix://" + b.o.DockerSocket, said: "its usual socket", docker: true, tentative: true})
	}
	if b.o.Local != nil {
		if address := b.o.Local(ctx); address != "" {
			found = append(found, endpoint{address: address, said: "the local cluster's", tentative: true})
		}
	}
	return found, nil
}

// docker is the BuildKit inside the Docker at a host.
func (b *Builder) docker(op, host string, env func(string) string) (endpoint, error) {
	said := "as named for this build"
	if host == "" {
		host, said = env("DOCKER_HOST"), "$DOCKER_HOST"
	}
	if host == "" {
		host, said = "unix://"+b.o.DockerSocket, "its usual socket"
	}
	e := endpoint{address: host, said: said, docker: true}
	network, _, _ := strings.Cut(host, "://")
	switch {
	case network != "unix" && network != "tcp":
		return e, fault.New(fault.Usage, op, "Docker at %s cannot be reached from here: only unix:// and tcp:// can", host).WithHint("%s", cure)
	case network == "tcp" && env("DOCKER_TLS_VERIFY") != "":
		who, err := dockers(host, env)
		if err != nil {
			return e, fault.Wrap(fault.Usage, op, err)
		}
		e.tls, err = who.config(op + ": $DOCKER_TLS_VERIFY is set")
		return e, err
	}
	return e, nil
}

// unreachable is the error for a BuildKit that was not reached.
func (e endpoint) unreachable(op string, err error) error {
	if secure := e.tlsCure(err); secure != "" {
		return fault.New(fault.Unreachable, op, "%s cannot be talked to: %s", e, cause(err)).WithHint("%s", secure)
	}
	return fault.New(fault.Unreachable, op, "%s does not answer: %s", e, cause(err)).WithHint("start it, or %s", cure)
}

func checkScheme(op, address string) error {
	scheme, rest, ok := strings.Cut(address, "://")
	switch scheme {
	case "unix", "tcp", "docker-container", "podman-container", "kube-pod":
		if ok && rest != "" {
			return nil
		}
	}
	return fault.New(fault.Usage, op, "%q is no address of a BuildKit", address).
		WithHint("write it as unix:///path/to/socket, tcp://host:port, docker-container://name, podman-container://name, kube-pod://name, or docker for Docker's own")
}

// open connects and asks what workers there are.
func (e endpoint) open(ctx context.Context) (*client.Client, error) {
	address, options := e.address, []client.ClientOpt(nil)
	switch {
	case e.docker:
		address, options = "", dockerAPI{e.address, e.tls}.options()
	case e.tls != nil:
		options = []client.ClientOpt{
			client.WithGRPCDialOption(grpc.WithTransportCredentials(credentials.NewTLS(e.tls))),
			client.WithGRPCDialOption(grpc.WithAuthority(e.tls.ServerName)),
		}
	}
	c, err := client.New(ctx, address, options...)
	if err != nil {
		return nil, err
	}
	asked, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if _, err := c.ListWorkers(asked); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// cause is the first line of an error, without what gRPC puts around it.
func cause(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if _, quoted, ok := strings.Cut(line, "desc = "); ok {
		if text, err := strconv.Unquote(quoted); err == nil {
			line = text
		}
	}
	return strings.TrimPrefix(strings.TrimPrefix(line, "transport: "), "Error while dialing: ")
}
