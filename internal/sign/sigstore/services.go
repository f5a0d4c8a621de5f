package sigstore

import (
	"context"
	"errors"
	"net/url"
	"strings"

	httptransport "github.com/go-openapi/runtime/client"
	"github.com/go-openapi/strfmt"
	rekor "github.com/sigstore/rekor/pkg/generated/client"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstoresign "github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/sluice-dev/sluice/internal/fault"
)

// services are who is asked to sign keylessly: one Fulcio, and those who witness when its certificates were used.
type services struct {
	fulcio     string
	rekors     []root.Service
	timestamps []root.Service
}

// services of the own instance that is named, or of the public good one.
func (o KeylessOptions) services(ctx context.Context) (services, error) {
	if s := o.Signing; s.Fulcio != "" {
		found := services{fulcio: strings.TrimSuffix(s.Fulcio, "/")}
		if s.Rekor != "" {
			found.rekors = []root.Service{{URL: strings.TrimSuffix(s.Rekor, "/"), MajorAPIVersion: 1}}
		}
		if s.TimestampAuthority != "" {
			found.timestamps = []root.Service{{URL: s.TimestampAuthority, MajorAPIVersion: 1}}
		}
		return found, nil
	}
	config, err := o.PublicGood.services(ctx)
	if err != nil {
		return services{}, err
	}
	found, err := selected(config, o)
	if err != nil {
		return services{}, fault.New(fault.Unreachable, "choose services of sigstore's public good instance", "%w", err).
			WithHint("a newer version of sluice may know what is offered now")
	}
	return found, nil
}

// selected are the services that a signing configuration wants to be used now, of those whose protocol is known.
func selected(config *root.SigningConfig, o KeylessOptions) (services, error) {
	now := o.Now()
	fulcio, err := root.SelectService(config.FulcioCertificateAuthorityURLs(), sigstoresign.FulcioAPIVersions, now)
	if err != nil {
		return services{}, err
	}
	found := services{fulcio: strings.TrimSuffix(fulcio.URL, "/")}
	if all := config.RekorLogURLs(); len(all) > 0 {
		if found.rekors, err = root.SelectServices(all, config.RekorLogURLsConfig(), sigstoresign.RekorAPIVersions, now); err != nil {
			return services{}, err
		}
	}
	if all := config.TimestampAuthorityURLs(); len(all) > 0 {
		found.timestamps, err = root.SelectServices(all, config.TimestampAuthorityURLsConfig(), sigstoresign.TimestampAuthorityAPIVersions, now)
	}
	return found, err
}

// logs are the clients of the transparency logs.
func (s services) logs(ctx context.Context, p Patience) []sigstoresign.Transparency {
	var all []sigstoresign.Transparency
	for _, service := range s.rekors {
		o := &sigstoresign.RekorOptions{BaseURL: service.URL, Timeout: -1, Version: service.MajorAPIVersion}
		if u, err := url.Parse(service.URL); err == nil && service.MajorAPIVersion == 1 {
			transport := httptransport.NewWithClient(u.Host, u.Path, []string{u.Scheme}, p.client(ctx, "Rekor", ""))
			o.Client = rekor.New(transport, strfmt.Default).Entries
		}
		all = append(all, sigstoresign.NewRekor(o))
	}
	return all
}

// authorities are the clients of the timestamp authorities.
func (s services) authorities(ctx context.Context, p Patience) []*sigstoresign.TimestampAuthority {
	var all []*sigstoresign.TimestampAuthority
	for _, service := range s.timestamps {
		client := p.client(ctx, "the timestamp authority", "")
		all = append(all, sigstoresign.NewTimestampAuthority(&sigstoresign.TimestampAuthorityOptions{URL: service.URL, Timeout: -1, Transport: client.Transport}))
	}
	return all
}

// failed classifies an error of the libraries: what a service said is already classified below what they say of it.
func failed(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fault.Wrap(fault.Interrupted, op, ctx.Err())
	}
	err = unwrapURL(err)
	var known *fault.Error
	if errors.As(err, &known) {
		return fault.Wrap(known.Kind, op, known)
	}
	return fault.Wrap(fault.Unreachable, op, err)
}

// unwrapURL leaves out the address that net/http puts before an error: what is below names the service.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
