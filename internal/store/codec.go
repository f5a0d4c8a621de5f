package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// MaxSize is the largest encoded record in bytes; Kubernetes takes 1 MiB of an object, its metadata included.
const MaxSize = 900 << 10

// Encode writes a record as JSON, trimmed so that it fits. A plan that alone is too large fails with fault.Usage.
func Encode(rollout v1alpha1.Rollout) ([]byte, error) {
	const op = "encode the rollout's record"
	if rollout.APIVersion != v1alpha1.APIVersion || rollout.Kind != v1alpha1.KindRollout {
		return nil, fault.New(fault.Internal, op, "it says apiVersion %q and kind %q, not %q and %q",
			rollout.APIVersion, rollout.Kind, v1alpha1.APIVersion, v1alpha1.KindRollout)
	}
	var size int
	for _, l := range limitLadder() {
		body, err := json.Marshal(l.apply(rollout))
		if err != nil {
			return nil, fault.Wrap(fault.Fatal, op, err)
		}
		if size = len(body); size <= l.total {
			return body, nil
		}
	}
	return nil, fault.New(fault.Usage, op, "%d bytes even without most of its evidence, and a record holds %d", size, MaxSize).
		WithHint("shorten the strategy's steps and the bodies of http gates in sluice.yaml: they are frozen into the record")
}

// Decode reads a record strictly: what it does not know was written by another version, and is refused rather than dropped.
func Decode(body []byte) (v1alpha1.Rollout, error) {
	const op = "decode the rollout's record"
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return v1alpha1.Rollout{}, fault.Wrap(fault.Fatal, op, place(body, err))
	}
	if head.APIVersion != v1alpha1.APIVersion {
		return v1alpha1.Rollout{}, fault.New(fault.Fatal, op, "unknown apiVersion %.60q, this sluice reads %s", head.APIVersion, v1alpha1.APIVersion).
			WithHint("use the version of sluice that wrote it")
	}
	if head.Kind != v1alpha1.KindRollout {
		return v1alpha1.Rollout{}, fault.New(fault.Fatal, op, "kind %.60q is not %s", head.Kind, v1alpha1.KindRollout)
	}
	var rollout v1alpha1.Rollout
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&rollout); err != nil {
		e := &fault.Error{Op: op, Kind: fault.Fatal, Err: place(body, err)}
		return v1alpha1.Rollout{}, e.WithHint("a field that is unknown here was written by a newer sluice: use that version")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v1alpha1.Rollout{}, fault.New(fault.Fatal, op, "something follows the record at byte %d", d.InputOffset())
	}
	return rollout, identified(op, rollout)
}

// identified refuses a record that does not say whose it is.
func identified(op string, r v1alpha1.Rollout) error {
	switch {
	case r.Service == "":
		return fault.New(fault.Fatal, op, "it names no service")
	case r.Environment == "":
		return fault.New(fault.Fatal, op, "it names no environment")
	case r.Number < 1:
		return fault.New(fault.Fatal, op, "its number is %d; the first rollout is 1", r.Number)
	case r.Phase == "":
		return fault.New(fault.Fatal, op, "it has no phase")
	}
	return nil
}

// place adds where in the record the decoder stopped.
func place(body []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	offset := int64(-1)
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	if offset < 0 || offset > int64(len(body)) {
		return err
	}
	line := 1 + bytes.Count(body[:offset], []byte("\n"))
	return fmt.Errorf("line %d, byte %d: %w", line, offset, err)
}
