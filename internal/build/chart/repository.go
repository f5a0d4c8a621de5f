package chart

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"helm.sh/helm/v4/pkg/helmpath"
	repo "helm.sh/helm/v4/pkg/repo/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Bounds of what a repository may send. The largest public index has about 20 MiB; Helm takes charts of 100 MiB unpacked.
const (
	maxIndex   = 64 << 20
	maxArchive = 32 << 20
)

// requestTimeout bounds one request to a repository, with its attempts.
const requestTimeout = 2 * time.Minute

// attempts of a request that a repository fails or that does not arrive, and the pause before the second.
const (
	attempts = 3
	pause    = 300 * time.Millisecond
)

// Repositories fetches charts from http(s) chart repositories, of which an index.yaml lists the charts. The zero value logs in nowhere.
type Repositories struct {
	// Config is the file in which `helm repo add` keeps names, passwords and certificates. Default: none.
	Config string
	// Timeout of one request. Default: 2 minutes.
	Timeout time.Duration
}

// RepositoryConfig is where Helm keeps them.
func RepositoryConfig(lookupEnv func(string) (string, bool)) string {
	if path, ok := lookupEnv("HELM_REPOSITORY_CONFIG"); ok && path != "" {
		return path
	}
	return helmpath.ConfigPath("repositories.yaml")
}

// repository is one of them, with its index.
type repository struct {
	url    string
	client *http.Client
	entry  *repo.Entry
	index  repo.IndexFile
}

// open reads a repository's index. It fails with fault.Usage where that is no repository, and with fault.Unreachable where it does
// not answer or does not let in.
func (r Repositories) open(ctx context.Context, address string) (*repository, error) {
	entry, err := r.entry(address)
	if err != nil {
		return nil, err
	}
	opened := &repository{url: address, entry: entry}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = requestTimeout
	}
	if opened.client, err = clientOf(opened.entry, timeout); err != nil {
		return nil, err
	}
	where, err := repo.ResolveReferenceURL(address, "index.yaml")
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "", err)
	}
	data, err := opened.get(ctx, where, maxIndex)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.Usage, "", "%w, so this is no chart repository", err).WithHint("correct the repository in Chart.yaml: index.yaml lies directly below it")
	}
	if err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(data, &opened.index); err != nil {
		return nil, fault.New(fault.Usage, "", "%s is no index of a chart repository: %w", where, err).WithHint("see in a browser what answers there")
	}
	if opened.index.APIVersion == "" {
		return nil, fault.New(fault.Usage, "", "%s is no index of a chart repository: it has no apiVersion", where).WithHint("see in a browser what answers there")
	}
	return opened, nil
}

// checkAddress refuses what is no address of a repository, and credentials in it.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		// What cannot be read may hold a password too.
		return fault.New(fault.Usage, "", "its repository is no address such as https://charts.example.com")
	case u.User != nil:
		return fault.New(fault.Usage, "", "the address of the chart repository at %s holds credentials, which do not belong into a chart", u.Host).
			WithHint("take them out, and keep them with `helm repo add NAME URL --username …`")
	}
	return nil
}

// entry is what Helm keeps about a repository; an empty one where it keeps nothing.
func (r Repositories) entry(address string) (*repo.Entry, error) {
	if r.Config == "" {
		return &repo.Entry{}, nil
	}
	file, err := repo.LoadFile(r.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return &repo.Entry{}, nil
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "read what `helm repo add` keeps", "%w", err).WithHint("repair %s; HELM_REPOSITORY_CONFIG names another file", r.Config)
	}
	for _, known := range file.Repositories {
		if known != nil && strings.TrimSuffix(known.URL, "/") == strings.TrimSuffix(address, "/") {
			return known, nil
		}
	}
	return &repo.Entry{}, nil
}

// clientOf is a client for one repository. It is not redirected from https to http, and takes no credentials along to another host.
func clientOf(entry *repo.Entry, timeout time.Duration) (*http.Client, error) {
	const op = "read the certificates that `helm repo add` keeps"
	settings := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: entry.InsecureSkipTLSVerify} //nolint:gosec // the user told Helm so
	if entry.CertFile != "" || entry.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(entry.CertFile, entry.KeyFile)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, op, err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	if entry.CAFile != "" {
		authorities, err := os.ReadFile(entry.CAFile)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, op, err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(authorities) {
			return nil, fault.New(fault.Usage, op, "%s holds no certificate", entry.CAFile)
		}
	}
	base := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: settings, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext}
	return &http.Client{
		Timeout: timeout,
		Transport: transport.NewRetry(base, transport.WithRetryBackoff(remote.Backoff{Duration: pause, Factor: 2, Jitter: 0.2, Steps: attempts}),
			transport.WithRetryStatusCodes(http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
				http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout)),
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch first := via[0].URL; {
			case len(via) >= 10:
				return errors.New("it redirects in a circle")
			case first.Scheme == "https" && r.URL.Scheme != "https":
				return fmt.Errorf("it redirects to %s, which is not encrypted", r.URL.Redacted())
			case r.URL.Host != first.Host:
				r.Header.Del("Authorization")
			}
			return nil
		},
	}, nil
}

// get reads what lies at an address, with the repository's credentials where it is the same host.
func (r *repository) get(ctx context.Context, address string, most int64) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "", err)
	}
	request.Header.Set("User-Agent", "sluice")
	if own, err := url.Parse(r.url); r.entry.Username != "" && err == nil &&
		(r.entry.PassCredentialsAll || own.Scheme == request.URL.Scheme && own.Host == request.URL.Host) {
		request.SetBasicAuth(r.entry.Username, r.entry.Password)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, unanswered(ctx, address, err)
	}
	defer response.Body.Close()
	switch code := response.StatusCode; {
	case code == http.StatusOK:
	case code == http.StatusNotFound, code == http.StatusGone:
		return nil, fault.New(fault.NotFound, "", "there is no %s", address)
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return nil, fault.New(fault.Unreachable, "", "%s refuses the credentials: %s", address, response.Status).
			WithHint("keep them with `helm repo add NAME %s --username …`; HELM_REPOSITORY_CONFIG names the file", r.url)
	default:
		return nil, fault.New(fault.Unreachable, "", "%s answers %s", address, response.Status).WithHint("see whether the chart repository works, and try again")
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return nil, unanswered(ctx, address, err)
	}
	if int64(len(data)) > most {
		return nil, fault.New(fault.Fatal, "", "%s has more than %d MiB, which is not read", address, most>>20)
	}
	return data, nil
}

// unanswered is the error of a request that was not answered to the end.
func unanswered(ctx context.Context, address string, err error) error {
	if ctx.Err() != nil {
		return fault.Wrap(fault.Interrupted, "", ctx.Err())
	}
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		return fault.New(fault.Unreachable, "", "%s does not answer in time", address).WithHint("see whether the chart repository works, and try again")
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		// The address is named already.
		err = failed.Err
	}
	return fault.New(fault.Unreachable, "", "%s: %w", address, err).WithHint("see that the repository in Chart.yaml is right and can be reached from here")
}

// version finds one version of a chart in the index.
func (r *repository) version(name, version string) (*repo.ChartVersion, error) {
	var known []string
	for _, found := range r.index.Entries[name] {
		if found == nil || found.Metadata == nil {
			continue
		}
		if found.Version == version {
			return found, nil
		}
		known = append(known, found.Version)
	}
	const cure = "take another version with `helm dependency update`"
	if len(known) == 0 {
		return nil, fault.New(fault.Usage, "", "the index of %s has no chart %s", r.url, name).WithHint("correct its name or repository in Chart.yaml")
	}
	return nil, fault.New(fault.Usage, "", "%s has no version %s of it; the nearest %s", r.url, version, strings.Join(nearest(known, version), " and ")).WithHint(cure)
}

// nearest are the versions next to one that is not among them: "below is 1.2.3", "above is 1.3.0".
func nearest(known []string, version string) []string {
	wanted, err := semver.NewVersion(version)
	if err != nil {
		return []string{"are " + strings.Join(known[:min(3, len(known))], ", ")}
	}
	var below, above *semver.Version
	for _, text := range known {
		v, err := semver.NewVersion(text)
		switch {
		case err != nil:
		case v.LessThan(wanted) && (below == nil || v.GreaterThan(below)):
			below = v
		case !v.LessThan(wanted) && (above == nil || v.LessThan(above)):
			above = v
		}
	}
	var out []string
	if below != nil {
		out = append(out, "below is "+below.Original())
	}
	if above != nil {
		out = append(out, "above is "+above.Original())
	}
	return out
}

// archive fetches one version of a chart, whose bytes must be those that the index speaks of. oci fetches what the index says to lie in
// an OCI registry.
func (r *repository) archive(ctx context.Context, name, version string, oci func(context.Context, string) ([]byte, error)) ([]byte, error) {
	found, err := r.version(name, version)
	if err != nil {
		return nil, err
	}
	digest := strings.TrimPrefix(found.Digest, "sha256:")
	switch {
	case len(found.URLs) == 0:
		return nil, fault.New(fault.Fatal, "", "the index of %s does not say where version %s lies", r.url, version)
	case digest == "":
		return nil, fault.New(fault.Fatal, "", "the index of %s has no digest of version %s, so nothing says whether an archive is the right one", r.url, version).
			WithHint("put the chart into the folder charts with `helm dependency build`, or let `helm repo index` write the index")
	}
	address, err := repo.ResolveReferenceURL(r.url, found.URLs[0])
	if err != nil {
		return nil, fault.Wrap(fault.Fatal, "", err)
	}
	var data []byte
	switch scheme, rest, _ := strings.Cut(address, "://"); {
	case slices.Contains([]string{"http", "https"}, scheme):
		data, err = r.get(ctx, address, maxArchive)
	case scheme == "oci" && oci != nil:
		data, err = oci(ctx, rest)
	default:
		return nil, fault.New(fault.Fatal, "", "the index of %s says that version %s lies at %s, which nothing here can fetch", r.url, version, address)
	}
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.Usage, "", "%w, though the index of %s names it", err, r.url).WithHint("tell who keeps the repository, or take another version with `helm dependency update`")
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); !strings.EqualFold(hex.EncodeToString(sum[:]), digest) {
		return nil, fault.New(fault.Fatal, "", "%s has the digest sha256:%x, the index of %s says sha256:%s", address, sum, r.url, digest).
			WithHint("do not use it before you know who changed it; tell who keeps the repository")
	}
	return data, nil
}
