// Command schemagen writes the JSON Schema of sluice.yaml from the nouns and their comments; it must not know anything that they do not say.
package main

import (
	"fmt"
	"os"
)

func main() {
	schema, err := generate("../../api/v1alpha1")
	if err == nil {
		err = os.WriteFile("schema.json", schema, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1)
	}
}
