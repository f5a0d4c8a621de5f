// Command grypedb writes a vulnerability database of the form that grype reads, for tests; it must not be used for anything else.
//
//	grypedb FOLDER < vulnerabilities.json
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/afero"
	"gorm.io/gorm"

	v6 "github.com/anchore/grype/grype/db/v6"
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
		fmt.Fprintln(os.Stderr, "grypedb:", err)
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
	dir := filepath.Join(args[0], strconv.Itoa(v6.ModelVersion))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	db, err := v6.NewWriter(v6.Config{DBDirPath: dir})
	if err != nil {
		return err
	}
	if err := add(db, doc); err != nil {
		return errors.Join(err, db.Close())
	}
	if err := db.Close(); err != nil {
		return err
	}
	_, err = v6.WriteImportMetadata(afero.NewOsFs(), dir, "test")
	return err
}

func add(db v6.ReadWriter, doc document) error {
	for _, v := range doc.Vulnerabilities {
		severities := []v6.Severity{{Scheme: v6.SeveritySchemeCHMLN, Value: v.Severity, Rank: 1}}
		if v.Severity == "" {
			severities = nil
		}
		provider := "github"
		if v.Distribution != "" {
			provider = v.Distribution
		}
		handle := &v6.VulnerabilityHandle{
			Name: v.ID, Status: v6.VulnerabilityActive, Provider: &v6.Provider{ID: provider, Version: "1", DateCaptured: &doc.Built},
			BlobValue: &v6.VulnerabilityBlob{ID: v.ID, Description: v.Description, Severities: severities},
		}
		if err := db.AddVulnerabilities(handle); err != nil {
			return err
		}
		if err := db.AddAffectedPackages(affected(handle, v)); err != nil {
			return err
		}
	}
	// The writer dates a database by its own clock.
	held, ok := db.(interface{ GetDB() *gorm.DB })
	if !ok {
		return errors.New("the writer does not hand out its database")
	}
	return held.GetDB().Model(&v6.DBMetadata{}).Where("true").Update("build_timestamp", doc.Built).Error
}

func affected(handle *v6.VulnerabilityHandle, v vulnerability) *v6.AffectedPackageHandle {
	fix := &v6.Fix{State: v6.NotFixedStatus}
	if v.Fixed != "" {
		fix = &v6.Fix{State: v6.FixedStatus, Version: v.Fixed}
	}
	form := "go"
	a := &v6.AffectedPackageHandle{Vulnerability: handle, VulnerabilityID: handle.ID, Package: &v6.Package{Name: v.Package, Ecosystem: v.Ecosystem}}
	if v.Distribution != "" {
		form = "deb"
		a.OperatingSystem = &v6.OperatingSystem{Name: v.Distribution, ReleaseID: v.Distribution, MajorVersion: v.Release, Codename: v.Codename}
		a.Package.Ecosystem = "deb"
	}
	a.BlobValue = &v6.PackageBlob{Ranges: []v6.Range{{Version: v6.Version{Type: form, Constraint: v.Affected}, Fix: fix}}}
	return a
}
