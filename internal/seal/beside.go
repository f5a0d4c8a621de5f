package seal

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/provenance"
	"github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/sign"
)

// maxBeside is how many signatures and statements of one subject are looked at.
const maxBeside = 200

// blob is one signature or statement, and where it is.
type blob struct {
	ref  string
	data []byte
}

// beside is what lies beside a subject.
type beside struct {
	bundles, statements []blob
	// damaged says what is there and cannot be read.
	damaged []string
}

// read fetches the signatures and statements of a subject. What cannot be read is no reason to stop: anybody who may push can put
// nonsense there, and must not be able to make a good signature unusable by that. What the registry does not answer is.
func read(ctx context.Context, reg Registry, subject string) (beside, error) {
	var b beside
	list, err := reg.Referrers(ctx, subject, "")
	if err != nil {
		return b, err
	}
	for _, r := range list {
		if r.Type != sign.BundleType && r.Type != provenance.MediaType {
			continue
		}
		if len(b.bundles)+len(b.statements)+len(b.damaged) == maxBeside {
			return b, fault.New(fault.Refused, "", "more than %d signatures and statements lie beside %s", maxBeside, subject).
				WithHint("remove from the registry what does not belong there")
		}
		found := blob{ref: r.Ref}
		artifact, _, err := reg.Pull(ctx, r.Ref)
		switch {
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.Fatal):
			b.damaged = append(b.damaged, fmt.Sprintf("%s: %v", r.Ref, err))
			continue
		case err != nil:
			return b, err
		}
		if found.data, err = only(artifact); err != nil {
			b.damaged = append(b.damaged, fmt.Sprintf("%s: %v", r.Ref, err))
			continue
		}
		if r.Type == sign.BundleType {
			b.bundles = append(b.bundles, found)
		} else {
			b.statements = append(b.statements, found)
		}
	}
	return b, nil
}

// only is the one layer of an artifact.
func only(a registry.Artifact) ([]byte, error) {
	if len(a.Layers) != 1 {
		return nil, fmt.Errorf("it has %d layers, not one", len(a.Layers))
	}
	return a.Layers[0].Data, nil
}

// digestOf is the digest at the end of a reference by digest.
func digestOf(ref string) string {
	_, digest, _ := strings.Cut(ref, "@")
	return digest
}

func sha256Of(data []byte) map[string]string {
	return map[string]string{"sha256": fmt.Sprintf("%x", sha256.Sum256(data))}
}
