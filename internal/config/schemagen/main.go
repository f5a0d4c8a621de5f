// Command schemagen writes the JSON Schema of sluice.yaml and its page of the documentation from the nouns and their comments; it must not know anything that they do not say.
package main

import (
	"errors"
	"fmt"
	"os"
)

// main is run by go generate in internal/config.
func main() {
	const nouns = "../../api/v1alpha1"
	err := errors.Join(
		write("schema.json", nouns, generate),
		write("../../docs/reference/configuration.md", nouns, reference),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1)
	}
}

func write(path, nouns string, content func(string) ([]byte, error)) error {
	data, err := content(nouns)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
