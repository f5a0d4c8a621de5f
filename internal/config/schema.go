package config

import _ "embed"

//go:generate go run ./schemagen

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of sluice.yaml.
func Schema() []byte { return append([]byte(nil), schema...) }
