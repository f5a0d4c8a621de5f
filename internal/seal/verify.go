package seal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/provenance"
	"github.com/sluice-dev/sluice/internal/sign"
)

// Checker checks releases by policy. It is safe for concurrent use.
type Checker struct {
	Registry Registry
	Verifier sign.Verifier
}

// Policy is what a release must prove, and who says so.
type Policy struct {
	// From names where the policy stands, for messages.
	From         string
	Verification v1alpha1.Verification
}

// Proof is what was proved of one thing: an image, the chart or the release itself.
type Proof struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	// Signer is the fingerprint of the key that signed, or the subject of the certificate.
	Signer string `json:"signer"`
	// Issuer is who vouches for the subject of a certificate; "" for a key.
	Issuer string `json:"issuer,omitempty"`
	// Builder, Source and Commit are what the provenance says, where a policy requires one.
	Builder string `json:"builder,omitempty"`
	Source  string `json:"source,omitempty"`
	Commit  string `json:"commit,omitempty"`
}

// By is who signed, for people.
func (p Proof) By() string { return sign.Identity{Name: p.Signer, Issuer: p.Issuer}.String() }

// Policies collects what is required in an environment: by the project's file where the command runs, if there is one that knows the
// environment, and by the release itself. All of them must hold, so that neither can make the other weaker.
func Policies(project *v1alpha1.Project, release *v1alpha1.Release, environment string) []Policy {
	var policies []Policy
	if project != nil {
		// An environment that the file does not know is judged by what the file says of all: the stricter reading.
		v := project.Verify
		if env, ok := project.Environments[environment]; ok {
			v = env.Verify
		}
		if v != nil {
			policies = append(policies, Policy{From: "sluice.yaml", Verification: *v})
		}
	}
	v := release.Environments[environment].Verify
	switch {
	case v == nil:
	case len(policies) == 1 && reflect.DeepEqual(policies[0].Verification, *v):
		policies[0].From += " and the release"
	default:
		policies = append(policies, Policy{From: "the release", Verification: *v})
	}
	return policies
}

// Verify checks a release with its images and its chart. Without a policy there is nothing to check, and no registry is asked.
//
// It fails with fault.Refused where something does not hold, naming everything that does not; and with another kind where it could
// not be found out.
func (c *Checker) Verify(ctx context.Context, release *v1alpha1.Release, ref v1alpha1.ReleaseRef, policies ...Policy) ([]Proof, error) {
	if len(policies) == 0 {
		return nil, nil
	}
	op := "verify release " + release.Version + " of " + release.Service
	subjects := []Proof{{Name: "release", Subject: ref.Ref}, {Name: "chart", Subject: release.Chart}}
	for _, name := range slices.Sorted(maps.Keys(release.Images)) {
		subjects = append(subjects, Proof{Name: "image " + name, Subject: release.Images[name]})
	}
	errs := make([]error, len(subjects))
	var wg sync.WaitGroup
	for i := range subjects {
		wg.Go(func() {
			errs[i] = c.subject(ctx, &subjects[i], release, policies)
		})
	}
	wg.Wait()
	for _, err := range errs {
		// What could not be found out comes first: "refused" would claim to know.
		if err != nil && !fault.Is(err, fault.Refused) {
			return nil, fault.Wrap(fault.KindOf(err), op, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fault.New(fault.Refused, op, "%w", err).
			WithHint("nothing was changed; `sluice build` signs where sluice.yaml has signing:, and `cosign sign --key KEY %s` signs what exists", ref.Ref)
	}
	return subjects, nil
}

// subject checks one thing by every policy.
func (c *Checker) subject(ctx context.Context, p *Proof, release *v1alpha1.Release, policies []Policy) error {
	there, err := read(ctx, c.Registry, p.Subject)
	if err != nil {
		return fault.Wrap(fault.KindOf(err), p.Name, err)
	}
	var failed []error
	for _, policy := range policies {
		err := c.judge(ctx, p, there, release, policy.Verification)
		if err != nil && !fault.Is(err, fault.Refused) {
			return fault.Wrap(fault.KindOf(err), "policy of "+policy.From, err)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w (required by %s)", p.Name, p.Subject, err, policy.From))
		}
	}
	if len(failed) > 0 {
		return fault.Wrap(fault.Refused, "", errors.Join(failed...))
	}
	return nil
}

// judge checks one thing by one policy.
func (c *Checker) judge(ctx context.Context, p *Proof, there beside, release *v1alpha1.Release, policy v1alpha1.Verification) error {
	signed, why := false, []string{}
	var statements []provenance.Statement
	// unknown is why a signature could not be judged. Where another one holds it does not matter, so that nobody can stop a good
	// release by what they put beside it.
	var unknown error
	for _, b := range there.bundles {
		v, err := c.Verifier.Verify(ctx, b.data, digestOf(p.Subject), policy.Signers)
		switch {
		case fault.Is(err, fault.Unreachable):
			unknown = err
			continue
		case fault.Is(err, fault.Refused):
			why = append(why, err.Error())
			continue
		case err != nil:
			return err
		}
		st, err := provenance.Parse(v.Statement)
		if err != nil || !st.About(digestOf(p.Subject)) {
			why = append(why, b.ref+": what it signs cannot be used")
			continue
		}
		// Whatever the statement says of the digest, whoever signed it vouches for nothing else than that it says so: only a bare
		// signature says that the thing itself is approved.
		if st.PredicateType == provenance.SignatureType {
			signed, p.Signer, p.Issuer = true, v.By.Name, v.By.Issuer
		}
		statements = append(statements, st)
	}
	why = append(why, there.damaged...)
	var err error
	switch {
	case !signed:
		err = unsigned(there, why)
	case policy.Provenance != nil:
		err = checkProvenance(p, statements, release, *policy.Provenance)
	}
	if err != nil && unknown != nil {
		return unknown
	}
	return err
}

func unsigned(there beside, why []string) error {
	switch {
	case len(there.bundles)+len(there.damaged) == 0:
		return fault.New(fault.Refused, "", "nobody signed it")
	case len(why) == 0:
		return fault.New(fault.Refused, "", "its statements are signed, but not the thing itself")
	default:
		return fault.New(fault.Refused, "", "none of its %d signatures is by a trusted signer: %s", len(there.bundles)+len(there.damaged), strings.Join(unique(why), "; "))
	}
}

// checkProvenance looks for one statement that says what must be said.
func checkProvenance(p *Proof, statements []provenance.Statement, release *v1alpha1.Release, policy v1alpha1.ProvenancePolicy) error {
	why := []string{}
	for _, st := range statements {
		if st.PredicateType != provenance.PredicateType {
			continue
		}
		predicate, err := st.Provenance()
		if err == nil {
			var source provenance.Source
			if source, err = fits(p.Name, predicate, release, policy); err == nil {
				p.Builder, p.Source, p.Commit = predicate.Run.Builder.ID, source.Repository, source.Commit
				return nil
			}
		}
		why = append(why, err.Error())
	}
	if len(why) == 0 {
		return fault.New(fault.Refused, "", "no provenance is signed by a trusted signer")
	}
	return fault.New(fault.Refused, "", "its provenance does not fit: %s", strings.Join(unique(why), "; "))
}

// fits says whether provenance is that of the release, by a builder and from a source that may.
//
// An image may come from an earlier commit, because what did not change is not built again; that it is the right one the release says
// by its digest. Release and chart are made anew each time, of the release's own commit.
func fits(name string, p provenance.Predicate, release *v1alpha1.Release, policy v1alpha1.ProvenancePolicy) (provenance.Source, error) {
	if len(policy.Builders) > 0 && !slices.Contains(policy.Builders, p.Run.Builder.ID) {
		return provenance.Source{}, fmt.Errorf("it was built by %s, not by %s", p.Run.Builder.ID, strings.Join(policy.Builders, " or "))
	}
	if service := p.Definition.Parameters.Service; p.Definition.BuildType == provenance.BuildType && service != release.Service {
		return provenance.Source{}, fmt.Errorf("it was built for service %q", service)
	}
	wanted := make([]string, len(policy.Sources))
	for i, s := range policy.Sources {
		wanted[i] = provenance.Repository(s)
	}
	err := errors.New("it names no commit")
	for _, source := range p.Sources() {
		switch {
		case source.Dirty:
			err = errors.New("it was built from changes that were not committed")
		case len(wanted) > 0 && !slices.Contains(wanted, source.Repository):
			err = fmt.Errorf("it was built from %s, not from %s", cmp.Or(source.Repository, "a repository that it does not name"), strings.Join(policy.Sources, " or "))
		case !strings.HasPrefix(name, "image ") && source.Commit != release.Source.Commit:
			err = fmt.Errorf("it was built from commit %s, and the release says %s", source.Commit, cmp.Or(release.Source.Commit, "none"))
		default:
			return source, nil
		}
	}
	return provenance.Source{}, err
}

// unique leaves out reasons that were given before.
func unique(why []string) []string {
	slices.Sort(why)
	return slices.Compact(why)
}
