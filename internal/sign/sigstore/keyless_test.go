package sigstore_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity/pipeline"
	"github.com/sluice-dev/sluice/internal/sign"
	"github.com/sluice-dev/sluice/internal/sign/signtest"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
	"github.com/sluice-dev/sluice/test/fakesigstore"
)

const workflow = "acme/shop/.github/workflows/release.yaml@refs/heads/main"

// quick is patience for services that fail on purpose. The others may take their time on a busy machine.
func quick() sigstore.Patience {
	return sigstore.Patience{Attempts: 2, Answer: 30 * time.Second, Pause: time.Millisecond}
}

// hanging is how long an answer is waited for that does not come; those that do must come by then as well.
const hanging = 1500 * time.Millisecond

// everyWitness is a trusted root that names all kinds of them.
func everyWitness() fakesigstore.Witnesses {
	return fakesigstore.Witnesses{Certificates: true, Rekor: true, Timestamps: true}
}

func start(t testing.TB, o fakesigstore.Options) *fakesigstore.Instance {
	t.Helper()
	i, err := fakesigstore.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

func trusted(t testing.TB, i *fakesigstore.Instance, w fakesigstore.Witnesses) *v1alpha1.TrustedRoot {
	t.Helper()
	text, err := i.TrustedRoot(w)
	if err != nil {
		t.Fatal(err)
	}
	return &v1alpha1.TrustedRoot{JSON: text}
}

func identityToken(t testing.TB, i *fakesigstore.Instance, claims fakesigstore.Claims) string {
	t.Helper()
	token, err := i.Token(claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// options sign with all services of an instance, as a workflow.
func options(t testing.TB, i *fakesigstore.Instance) sigstore.KeylessOptions {
	env := map[string]string{"SIGSTORE_ID_TOKEN": identityToken(t, i, fakesigstore.Claims{"sub": "repo:acme/shop", "job_workflow_ref": workflow})}
	return sigstore.KeylessOptions{
		Signing: v1alpha1.KeylessSigning{Fulcio: i.FulcioURL, Rekor: i.RekorURL, TimestampAuthority: i.TimestampURL, TrustedRoot: trusted(t, i, everyWitness())},
		Tokens:  tokens(env), Patience: quick(), Now: time.Now,
	}
}

func tokens(env map[string]string) sigstore.Tokens {
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	return sigstore.Tokens{LookupEnv: lookup, Audience: "sigstore", Pipeline: pipeline.New(pipeline.Options{LookupEnv: lookup}), Now: time.Now}
}

func keyless(t testing.TB, o sigstore.KeylessOptions) *sigstore.Keyless {
	t.Helper()
	k, err := sigstore.NewKeyless(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signed(t testing.TB, s sign.Signer) []byte {
	t.Helper()
	bundle, err := s.Sign(t.Context(), signtest.Statement(signtest.Digest(1)))
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

// TestContractOfKeyless signs with every combination of witnesses that an own instance can have.
func TestContractOfKeyless(t *testing.T) {
	i := start(t, fakesigstore.Options{})
	for name, w := range map[string]fakesigstore.Witnesses{
		"all of them":                        everyWitness(),
		"a transparency log":                 {Certificates: true, Rekor: true},
		"a timestamp authority":              {Certificates: true, Timestamps: true},
		"a timestamp authority and no other": {Timestamps: true},
	} {
		t.Run(name, func(t *testing.T) {
			count := 0
			signtest.Run(t, sigstore.Verifier{}, func(t *testing.T) sign.Signer {
				count++
				o := options(t, i)
				o.Tokens = tokens(map[string]string{"SIGSTORE_ID_TOKEN": identityToken(t, i, fakesigstore.Claims{"sub": "x", "job_workflow_ref": fmt.Sprint(workflow, count)})})
				o.Signing.TrustedRoot = trusted(t, i, w)
				if !w.Rekor {
					o.Signing.Rekor = ""
				}
				if !w.Timestamps {
					o.Signing.TimestampAuthority = ""
				}
				return keyless(t, o)
			})
		})
	}
}

// TestIdentities: where a token comes from, and who the certificate says that it is.
func TestIdentities(t *testing.T) {
	i := start(t, fakesigstore.Options{})
	github := map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": i.GitHubURL(workflow), "ACTIONS_ID_TOKEN_REQUEST_TOKEN": fakesigstore.JobToken}
	azure := map[string]string{"SYSTEM_OIDCREQUESTURI": i.AzureURL(), "SYSTEM_ACCESSTOKEN": fakesigstore.JobToken}
	person := map[string]string{"SIGSTORE_ID_TOKEN": identityToken(t, i, fakesigstore.Claims{"sub": "1", "email": "ann@acme.example", "email_verified": true})}
	both := maps.Clone(github)
	maps.Copy(both, person)
	for name, c := range map[string]struct {
		env   map[string]string
		named string
		want  string
	}{
		"GitHub Actions":           {github, "", "https://github.com/" + workflow},
		"Azure Pipelines":          {azure, "", "p://acme/shop/release"},
		"cosign's variable":        {person, "", "ann@acme.example"},
		"cosign's variable first":  {both, "", "ann@acme.example"},
		"a variable that is named": {map[string]string{"MINE": person["SIGSTORE_ID_TOKEN"], "SIGSTORE_ID_TOKEN": "nonsense"}, "MINE", "ann@acme.example"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, i)
			o.Tokens = tokens(c.env)
			o.Tokens.Env = c.named
			k := keyless(t, o)
			who, err := sigstore.Verifier{}.Identify(k.Public())
			if err != nil || who != (sign.Identity{Name: c.want, Issuer: i.IssuerURL}) {
				t.Errorf("it signs as %v, %v", who, err)
			}
			claimed, err := sigstore.Verifier{}.Claims(signed(t, k))
			if err != nil || claimed != who {
				t.Errorf("the bundle says %v, %v", claimed, err)
			}
		})
	}
}

func TestNoIdentity(t *testing.T) {
	i := start(t, fakesigstore.Options{})
	expired := identityToken(t, i, fakesigstore.Claims{"sub": "repo:acme/shop", "exp": time.Now().Add(-time.Hour).Unix()})
	for name, c := range map[string]struct {
		env        map[string]string
		named      string
		want, hint string
		kind       fault.Kind
	}{
		"nothing at all":                    {nil, "", "neither ACTIONS_ID_TOKEN_REQUEST_URL with ACTIONS_ID_TOKEN_REQUEST_TOKEN (GitHub Actions) nor SYSTEM_OIDCREQUESTURI", "signing.key", fault.Usage},
		"a workflow without the permission": {map[string]string{"GITHUB_ACTIONS": "true"}, "", "there is none", "id-token: write", fault.Usage},
		"a job without its token":           {map[string]string{"TF_BUILD": "True", "SYSTEM_OIDCREQUESTURI": i.AzureURL()}, "", "there is none", "SYSTEM_ACCESSTOKEN: $(System.AccessToken)", fault.Usage},
		"a named variable that is not set":  {map[string]string{"SIGSTORE_ID_TOKEN": expired}, "MINE", "MINE of signing.keyless.tokenEnv is not set", "pipeline", fault.Usage},
		"an expired token":                  {map[string]string{"SIGSTORE_ID_TOKEN": expired}, "", "by issuer " + i.IssuerURL + " for subject repo:acme/shop and audience sigstore, valid until ", "live for minutes", fault.Usage},
		"no token":                          {map[string]string{"SIGSTORE_ID_TOKEN": "very secret"}, "", "what SIGSTORE_ID_TOKEN holds is no token: it has 1 parts", "JWT", fault.Usage},
		"a token that is damaged":           {map[string]string{"SIGSTORE_ID_TOKEN": "very.secret!.x"}, "", "is not in base64url", "JWT", fault.Usage},
		"a job that is not taken for one":   {map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": i.GitHubURL(workflow), "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "very secret"}, "", "the token service of GitHub Actions at " + i.IssuerURL + " answered 401 Unauthorized", "", fault.Unreachable},
		"an address that is none":           {map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "nowhere", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"}, "", "GitHub Actions says by ACTIONS_ID_TOKEN_REQUEST_URL where it gives tokens, and that is no URL", "", fault.Usage},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, i)
			o.Tokens = tokens(c.env)
			o.Tokens.Env = c.named
			_, err := sigstore.NewKeyless(t.Context(), o)
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Errorf("it gave %v (%s)", err, fault.HintOf(err))
			}
			if err != nil && strings.Contains(err.Error()+fault.HintOf(err), "very secret") {
				t.Errorf("it repeats what must not be repeated: %v", err)
			}
		})
	}
}

// hang keeps a client waiting until it gives up, which a server notices once it has read all of the request.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// TestServicesThatFail: each service of the instance, in each way; what is tried again is bounded.
func TestServicesThatFail(t *testing.T) {
	refusing := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "because of "+r.Header.Get("Authorization"), status)
		})
	}
	never := http.HandlerFunc(hang)
	for name, c := range map[string]struct {
		service fakesigstore.Service
		handler http.Handler
		want    string
		asked   int64
	}{
		"Fulcio refuses":       {fakesigstore.Fulcio, refusing(403), "answered 403 Forbidden: because of Bearer … (presented was the token of SIGSTORE_ID_TOKEN, by issuer http", 1},
		"Fulcio is down":       {fakesigstore.Fulcio, refusing(503), "answered 503 Service Unavailable", 2},
		"Fulcio is overloaded": {fakesigstore.Fulcio, refusing(429), "answered 429 Too Many Requests", 2},
		"Fulcio hangs":         {fakesigstore.Fulcio, never, "does not answer: it was asked 2 times", 2},
		"Fulcio says nonsense": {fakesigstore.Fulcio, refusing(200), "get a certificate: ", 1},
		"Rekor refuses":        {fakesigstore.Rekor, refusing(400), "Rekor at http", 1},
		"Rekor is down":        {fakesigstore.Rekor, refusing(500), "answered 500 Internal Server Error", 2},
		"Rekor hangs":          {fakesigstore.Rekor, never, "Rekor at http", 2},
		"Rekor says nonsense":  {fakesigstore.Rekor, refusing(201), "sign: ", 1},
		"no time":              {fakesigstore.Timestamp, refusing(502), "the timestamp authority at http", 2},
		"the time hangs":       {fakesigstore.Timestamp, never, "the timestamp authority at http", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			i := start(t, fakesigstore.Options{Fault: func(s fakesigstore.Service, next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if s != c.service {
						next.ServeHTTP(w, r)
						return
					}
					asked.Add(1)
					c.handler.ServeHTTP(w, r)
				})
			}})
			o := options(t, i)
			if strings.HasSuffix(name, " hangs") {
				o.Patience.Answer = hanging
			}
			k, err := sigstore.NewKeyless(t.Context(), o)
			if err == nil {
				_, err = k.Sign(t.Context(), signtest.Statement(signtest.Digest(1)))
			}
			if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it gave %v (%s)", err, fault.HintOf(err))
			}
			if asked.Load() != c.asked {
				t.Errorf("it was asked %d times, want %d", asked.Load(), c.asked)
			}
			if raw, _ := o.Tokens.LookupEnv("SIGSTORE_ID_TOKEN"); strings.Contains(fmt.Sprint(err), raw) {
				t.Errorf("the token is repeated: %v", err)
			}
		})
	}
}

// TestFulcioSaysNo: the answers of the service itself to tokens that it does not take.
func TestFulcioSaysNo(t *testing.T) {
	i, other := start(t, fakesigstore.Options{}), start(t, fakesigstore.Options{})
	for name, token := range map[string]string{
		"of another issuer":     identityToken(t, other, fakesigstore.Claims{"sub": "repo:acme/shop"}),
		"for somebody else":     identityToken(t, i, fakesigstore.Claims{"sub": "repo:acme/shop", "aud": "else"}),
		"whose signature is no": identityToken(t, other, fakesigstore.Claims{"sub": "repo:acme/shop", "iss": i.IssuerURL}),
	} {
		t.Run("a token "+name, func(t *testing.T) {
			o := options(t, i)
			o.Tokens = tokens(map[string]string{"SIGSTORE_ID_TOKEN": token})
			_, err := sigstore.NewKeyless(t.Context(), o)
			if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "401 Unauthorized") || !strings.Contains(err.Error(), "for subject repo:acme/shop") {
				t.Errorf("it gave %v", err)
			}
		})
	}
}

func TestInterruptedKeyless(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	i := start(t, fakesigstore.Options{Fault: func(s fakesigstore.Service, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s != fakesigstore.Fulcio {
				next.ServeHTTP(w, r)
				return
			}
			cancel()
			hang(w, r)
		})
	}})
	o := options(t, i)
	o.Patience.Answer = time.Minute
	if _, err := sigstore.NewKeyless(ctx, o); !fault.Is(err, fault.Interrupted) {
		t.Errorf("it gave %v", err)
	}
}

// TestServicesThatDoNotBelongTogether: what nobody could verify is not returned.
func TestServicesThatDoNotBelongTogether(t *testing.T) {
	i, other := start(t, fakesigstore.Options{}), start(t, fakesigstore.Options{})
	bare := start(t, fakesigstore.Options{WithoutSCT: true})
	for name, c := range map[string]struct {
		of     *fakesigstore.Instance
		change func(o *sigstore.KeylessOptions)
		want   string
	}{
		"another Fulcio":              {i, func(o *sigstore.KeylessOptions) { o.Signing.TrustedRoot = trusted(t, other, everyWitness()) }, "issued a certificate by CN=sigstore-intermediate"},
		"another log":                 {i, func(o *sigstore.KeylessOptions) { o.Signing.Rekor = other.RekorURL }, "made a signature that nobody could verify"},
		"no log, and one is demanded": {i, func(o *sigstore.KeylessOptions) { o.Signing.Rekor = "" }, "no entry of a transparency log"},
		"no time, and no log counts": {i, func(o *sigstore.KeylessOptions) {
			o.Signing.TimestampAuthority, o.Signing.TrustedRoot = "", trusted(t, i, fakesigstore.Witnesses{Timestamps: true})
		}, "made a signature that nobody could verify"},
		"no certificate transparency": {bare, func(*sigstore.KeylessOptions) {}, "a certificate without a timestamp (SCT)"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, c.of)
			c.change(&o)
			k, err := sigstore.NewKeyless(t.Context(), o)
			if err == nil {
				_, err = k.Sign(t.Context(), signtest.Statement(signtest.Digest(1)))
			}
			if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), "same instance") {
				t.Errorf("it gave %v (%s)", err, fault.HintOf(err))
			}
		})
	}
}

// TestOneCertificateForARun: a certificate is used until it nears its end, and then there is a new one for the same identity.
func TestOneCertificateForARun(t *testing.T) {
	var issued atomic.Int64
	i := start(t, fakesigstore.Options{Fault: func(s fakesigstore.Service, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s == fakesigstore.Fulcio {
				issued.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	}})
	o := options(t, i)
	env := map[string]string{"SIGSTORE_ID_TOKEN": identityToken(t, i, fakesigstore.Claims{"sub": "x", "job_workflow_ref": workflow, "exp": time.Now().Add(time.Hour).Unix()})}
	o.Tokens = tokens(env)
	var later atomic.Int64
	o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	k := keyless(t, o)
	first, second := signed(t, k), signed(t, k)
	if issued.Load() != 1 {
		t.Errorf("%d certificates were issued for one run", issued.Load())
	}
	later.Store(int64(9*time.Minute + 30*time.Second))
	third := signed(t, k)
	if issued.Load() != 2 {
		t.Errorf("%d certificates were issued, and the first one is at its end", issued.Load())
	}
	for n, bundle := range [][]byte{first, second, third} {
		if _, err := (sigstore.Verifier{}).Verify(t.Context(), bundle, signtest.Digest(1), []v1alpha1.Signer{k.Public()}); err != nil {
			t.Errorf("bundle %d: %v", n+1, err)
		}
	}
	later.Store(int64(30 * time.Minute))
	env["SIGSTORE_ID_TOKEN"] = identityToken(t, i, fakesigstore.Claims{"sub": "x", "job_workflow_ref": "mallory/x@y"})
	if _, err := k.Sign(t.Context(), signtest.Statement(signtest.Digest(1))); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "mallory") {
		t.Errorf("another identity gave %v", err)
	}
}
