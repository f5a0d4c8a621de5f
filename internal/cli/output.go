package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// document is the head of everything that is printed with -o json or yaml.
type document struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

func head(kind string) document { return document{APIVersion: v1alpha1.APIVersion, Kind: kind} }

// emit prints a command's result on stdout: the document as JSON or YAML, else text.
func (inv *invocation) emit(doc any, text func(w io.Writer)) error {
	if inv.output.structured() {
		return inv.marshal(doc)
	}
	text(inv.Stdout)
	return nil
}

func (inv *invocation) marshal(doc any) error {
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fault.Wrap(fault.Internal, "write the result", err)
	}
	if inv.output == formatYAML {
		if data, err = yaml.JSONToYAML(data); err != nil {
			return fault.Wrap(fault.Internal, "write the result", err)
		}
	} else {
		data = append(data, '\n')
	}
	if _, err := inv.Stdout.Write(data); err != nil {
		return fault.Wrap(fault.Internal, "write the result", err)
	}
	return nil
}

// log prints a line for people on stderr.
func (inv *invocation) log(message string, args ...any) {
	fmt.Fprintf(inv.Stderr, message+"\n", args...)
}
