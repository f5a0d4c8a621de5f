// Package sbom is the port to makers of software bills of materials; it must not know where images come from or where the documents go.
package sbom

import (
	"context"
	"time"
)

// Request asks for the bills of one image.
type Request struct {
	// Layout is a folder in OCI image layout that holds the image or index as its only entry; "" where the image is only in a registry.
	Layout string
	// Reference of the image by digest, as it is, or will be, in the registry.
	Reference string
	// Base is the image it was built on as far as the builder was told, "" where nobody said.
	Base string
	// Time goes into the document: that of the commit, so that the same image gives the same bytes.
	Time time.Time
}

// Document describes an image of one platform.
type Document struct {
	// Digest of the image's manifest, sha256:…
	Digest string
	// Platform as os/architecture, "" where the image does not say.
	Platform  string
	MediaType string
	Data      []byte
	// Components is how many it lists.
	Components int
}

// Maker makes bills of materials. The same image gives the same bytes. A document says which kinds of packages were looked for.
// It fails with fault.Usage where the image is none, and with fault.Unreachable where it has to be fetched and cannot be.
type Maker interface {
	Make(ctx context.Context, req Request) ([]Document, error)
}
