package keyvault

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// read asks for one secret, and judges what the vault itself gives out: it does not keep back what has expired.
func (s *Store) read(ctx context.Context, name, version string) (variables.Variable, error) {
	if version != "" && !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(version) {
		return variables.Variable{}, s.gone(name, version)
	}
	got, err := s.ask(ctx, name, version)
	if fault.Is(err, fault.NotFound) && version != "" {
		// The vault says the same of a secret that does not exist and of a version. What the current one answers tells them apart.
		if _, current := s.ask(ctx, name, ""); current == nil || errors.Is(current, variables.ErrDisabled) {
			return variables.Variable{}, s.gone(name, version)
		} else if !fault.Is(current, fault.NotFound) {
			return variables.Variable{}, current
		}
	}
	if err != nil {
		return variables.Variable{}, err
	}
	if got.Value == nil || got.ID == nil || got.ID.Version() == "" {
		return variables.Variable{}, s.stranger()
	}
	v := variables.Variable{Name: name, Version: got.ID.Version(), Value: variables.NewValue(*got.Value)}
	if got.Attributes == nil {
		return v, nil
	}
	if got.Attributes.Expires != nil {
		v.Expires = *got.Attributes.Expires
	}
	return v, s.usable(name, v.Version, got.Attributes)
}

func (s *Store) usable(name, version string, a *azsecrets.SecretAttributes) error {
	now := s.o.Clock.Now()
	set := "az keyvault secret set-attributes --vault-name " + s.name + " --name " + name + " --version " + version
	switch {
	case a.Enabled != nil && !*a.Enabled:
		return s.disabled(name, version)
	case a.Expires != nil && !now.Before(*a.Expires):
		return fault.New(fault.Refused, "", "secret %s, version %s, %w on %s", name, version, variables.ErrExpired, a.Expires.UTC().Format(time.RFC3339)).
			WithHint("renew it: az keyvault secret set --vault-name %s --name %s --expires YYYY-MM-DDTHH:MM:SSZ --file FILE", s.name, name)
	case a.NotBefore != nil && now.Before(*a.NotBefore):
		return fault.New(fault.Refused, "", "secret %s, version %s, is not valid before %s", name, version, a.NotBefore.UTC().Format(time.RFC3339)).
			WithHint("wait until then, or let it begin sooner: %s --not-before YYYY-MM-DDTHH:MM:SSZ", set)
	}
	return nil
}

func (s *Store) disabled(name, version string) error {
	which, option := "secret "+name, ""
	if version != "" {
		which, option = which+", version "+version+",", " --version "+version
	}
	return fault.New(fault.Refused, "", "%s %w", which, variables.ErrDisabled).
		WithHint("enable it: az keyvault secret set-attributes --vault-name %s --name %s%s --enabled true", s.name, name, option)
}

func (s *Store) gone(name, version string) error {
	return fault.New(fault.Refused, "", "version %s of secret %s %w", version, name, variables.ErrGone).
		WithHint("take a version of this list: az keyvault secret list-versions --vault-name %s --name %s", s.name, name)
}

// ask sends the request, again where that may help.
func (s *Store) ask(ctx context.Context, name, version string) (azsecrets.GetSecretResponse, error) {
	var got azsecrets.GetSecretResponse
	err := variables.Patiently(ctx, s.o.Clock, func(ctx context.Context) error {
		inner, cancel := context.WithTimeout(ctx, s.o.AnswerTime)
		defer cancel()
		answer, err := s.client.GetSecret(inner, name, version, nil)
		got = answer
		return s.failure(err, toRead(), name, version)
	})
	return got, err
}
