package cli

import (
	"bytes"
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
	return inv.write(data)
}

// write prints a JSON document on stdout in the wanted format. Its strings are masked one by one, and nothing else of it: what programs
// read must stay what they can read.
func (inv *invocation) write(data []byte) (err error) {
	data = inv.secrets.JSON(data)
	if inv.output == formatYAML {
		if data, err = yaml.JSONToYAML(data); err != nil {
			return fault.Wrap(fault.Internal, "write the result", err)
		}
	} else {
		data = append(bytes.TrimRight(data, "\n"), '\n')
	}
	if _, err := whole(inv.Stdout).Write(data); err != nil {
		return fault.Wrap(fault.Internal, "write the result", err)
	}
	return nil
}

// log prints a line for people on stderr.
func (inv *invocation) log(message string, args ...any) {
	fmt.Fprintf(inv.Stderr, message+"\n", args...)
}
