// Command trivydb writes a vulnerability database of the form that trivy reads, for tests; it must not be used for anything else.
//
//	trivydb FOLDER < vulnerabilities.json
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/aquasecurity/trivy-db/pkg/db"
	"github.com/aquasecurity/trivy-db/pkg/metadata"
	"github.com/aquasecurity/trivy-db/pkg/types"
)

// document is what the database will say.
type document struct {
	// Built is when the database says that it was made.
	Built           time.Time
	Vulnerabilities []vulnerability
}

// vulnerability is one of one package: of a language's ecosystem such as go-module, or of a distribution's release such as debian 12.
type vulnerability struct {
	ID, Severity, Description       string
	Ecosystem                       string
	Distribution, Release, Codename string
	Package, Affected, Fixed        string
}

func main() {
	if err := write(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "trivydb:", err)
		os.Exit(1)
	}
}

func write(args []string) error {
	if len(args) != 1 {
		return errors.New("name the folder to write to")
	}
	var doc document
	if err := json.NewDecoder(os.Stdin).Decode(&doc); err != nil {
		return err
	}
	dir := filepath.Join(args[0], "db")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := db.Init(dir); err != nil {
		return err
	}
	err := db.Config{}.BatchUpdate(func(tx *bolt.Tx) error {
		for _, v := range doc.Vulnerabilities {
			if err := add(tx, v); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	return metadata.NewClient(dir).Update(metadata.Metadata{
		Version: db.SchemaVersion, UpdatedAt: doc.Built, NextUpdate: doc.Built.Add(24 * time.Hour), DownloadedAt: doc.Built,
	})
}

func add(tx *bolt.Tx, v vulnerability) error {
	source := types.DataSource{ID: "ghsa", Name: "GitHub Security Advisory Go", URL: "https://example.dev/"}
	bucket, advisory := "go::"+source.Name, types.Advisory{VulnerableVersions: []string{v.Affected}}
	if v.Fixed != "" {
		advisory.PatchedVersions = []string{v.Fixed}
	}
	if v.Distribution != "" {
		source.ID, source.Name = types.SourceID(v.Distribution), v.Distribution
		bucket, advisory = v.Distribution+" "+v.Release, types.Advisory{FixedVersion: v.Fixed}
	}
	severity, err := types.NewSeverity(strings.ToUpper(v.Severity))
	if v.Severity != "" && err != nil {
		return err
	}
	c := db.Config{}
	return errors.Join(
		c.PutDataSource(tx, bucket, source),
		c.PutAdvisory(tx, []string{bucket, v.Package}, v.ID, advisory),
		c.PutVulnerability(tx, v.ID, types.Vulnerability{
			Title: v.Description, Severity: severity.String(), VendorSeverity: types.VendorSeverity{source.ID: severity},
		}),
	)
}
