// Package keyvault reads an environment's variables from an Azure Key Vault; it must not choose the identity that reads, nor write anything.
package keyvault

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/variables"
)

// publicCloud is where a vault is that is only named. A vault of another cloud is given by its URL.
const publicCloud = ".vault.azure.net"

// answerTime bounds one attempt, with the token that it needs: the slowest credential, `az`, is given ten seconds by its library.
const answerTime = 20 * time.Second

// Options are what a Store needs besides the name of its vault.
type Options struct {
	// Credential is who reads.
	Credential azcore.TokenCredential
	Clock      variables.Clock
	// Transport sends requests. Default: Go's own client, which honours the proxy of the environment.
	Transport policy.Transporter
	// AnswerTime is how long one answer may take. Default: 20 s.
	AnswerTime time.Duration
}

// Store is one Key Vault.
type Store struct {
	name   string
	host   string
	o      Options
	client *azsecrets.Client
}

var (
	_ variables.Store  = (*Store)(nil)
	_ variables.Lister = (*Store)(nil)
)

// New returns the store of a vault, which is a name or an https URL such as https://prod.vault.azure.cn. It sends nothing.
func New(vault string, o Options) (*Store, error) {
	host, err := hostOf(vault)
	if err != nil {
		return nil, err
	}
	if o.AnswerTime == 0 {
		o.AnswerTime = answerTime
	}
	if o.Transport == nil {
		o.Transport = http.DefaultClient
	}
	name, _, _ := strings.Cut(host, ".")
	s := &Store{name: name, host: host, o: o}
	s.client, err = azsecrets.NewClient("https://"+host, identity.Mark(o.Credential), &azsecrets.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: whole{o.Transport},
		// Attempts are counted, and paused between, by what every store uses.
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{ApplicationID: "sluice"},
	}})
	if err != nil {
		return nil, fault.New(fault.Internal, "prepare to read "+s.String(), "%w", err)
	}
	return s, nil
}

func hostOf(vault string) (string, error) {
	wrong := func(why string) (string, error) {
		return "", fault.New(fault.Usage, "Key Vault "+vault, "%s", why).
			WithHint("give its name, such as prod-vault, or its URL, such as https://prod-vault.vault.azure.net: az keyvault list --query '[].properties.vaultUri'")
	}
	host := vault + publicCloud
	if strings.Contains(vault, "://") {
		u, err := url.Parse(vault)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
			return wrong("is not the URL of a vault")
		case u.Scheme != "https":
			return wrong("would be read without encryption")
		}
		host = u.Host
	}
	const label = `[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?`
	name, _, _ := strings.Cut(host, ".")
	if !regexp.MustCompile(`^[a-zA-Z]`+label+`(\.`+label+`)+(:\d+)?$`).MatchString(host) || len(name) < 3 || len(name) > 24 || strings.Contains(name, "--") {
		return wrong("is no name that a vault can have: 3 to 24 letters, digits and single hyphens, a letter first")
	}
	return strings.ToLower(host), nil
}

// String names the vault by its name, and by its host where that is not of the public cloud.
func (s *Store) String() string {
	if strings.HasSuffix(s.host, publicCloud) {
		return "Key Vault " + s.name
	}
	return "Key Vault " + s.host
}

// question is one request: a secret, its version, and which queries it answers.
type question struct {
	name, version string
	queries       []int
}

// Resolve reads each secret once. Key Vault has no request for several of them.
func (s *Store) Resolve(ctx context.Context, queries []variables.Query) ([]variables.Variable, error) {
	return s.each(ctx, queries, s.read)
}

// Versions lists the versions of each secret once.
func (s *Store) Versions(ctx context.Context, queries []variables.Query) ([]variables.Variable, error) {
	return s.each(ctx, queries, s.list)
}

func (s *Store) each(ctx context.Context, queries []variables.Query, ask func(ctx context.Context, name, version string) (variables.Variable, error)) ([]variables.Variable, error) {
	questions, errs := questionsOf(queries)
	answers := make([]variables.Variable, len(queries))
	failures := variables.Each(ctx, len(questions), func(ctx context.Context, i int) error {
		found, err := ask(ctx, questions[i].name, questions[i].version)
		for _, at := range questions[i].queries {
			answers[at] = found
			answers[at].Name = queries[at].Name
		}
		return err
	})
	for i, q := range questions {
		for _, at := range q.queries {
			errs[at] = failures[i]
		}
	}
	if err := variables.Failed(s, variables.Problems(queries, errs)); err != nil {
		return nil, err
	}
	return answers, nil
}

// questionsOf says what to ask, and of each query that cannot be asked why.
func questionsOf(queries []variables.Query) (questions []*question, errs []error) {
	errs = make([]error, len(queries))
	type key struct{ name, version string }
	known := map[key]*question{}
	owner := map[string]string{} // Key Vault takes db and DB for the same
	for i, q := range queries {
		name := SecretName(q.Name)
		folded := strings.ToLower(name)
		switch other, taken := owner[folded]; {
		case !regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`).MatchString(name):
			errs[i] = fault.New(fault.Usage, "", "Key Vault takes no such name: it has up to 127 letters, digits and hyphens (an underscore becomes a hyphen)").
				WithHint("give it a name of letters, digits and hyphens in the store with `name:`")
			continue
		case taken && other != q.Name:
			errs[i] = fault.New(fault.Usage, "", "in Key Vault it is the same secret as variable %s: %s", other, name).
				WithHint("give one of %s and %s another name in the store with `name:`", other, q.Name)
			continue
		}
		owner[folded] = q.Name
		k := key{folded, q.Version}
		if known[k] == nil {
			known[k] = &question{name: name, version: q.Version}
			questions = append(questions, known[k])
		}
		known[k].queries = append(known[k].queries, i)
	}
	return questions, errs
}

// SecretName is what a variable is called in a Key Vault, whose names have no underscores: DB_PASSWORD is the secret DB-PASSWORD.
func SecretName(variable string) string { return strings.ReplaceAll(variable, "_", "-") }

// Name is that of a vault which is a name or has an address of its own.
func Name(vault string) string {
	host, err := hostOf(vault)
	if err != nil {
		return vault
	}
	name, _, _ := strings.Cut(host, ".")
	return name
}

// URL is the address of a vault that is a name or has an address of its own.
func URL(vault string) string {
	host, err := hostOf(vault)
	if err != nil {
		return vault
	}
	return "https://" + host
}
