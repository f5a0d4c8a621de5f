package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionDocument is the result of `sluice version`.
type versionDocument struct {
	document
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Time    string `json:"time,omitempty"`
	Dirty   bool   `json:"dirty,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func newVersion(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of sluice", GroupID: groupServe, Args: noArgs,
		Long: describe(`Print the version of sluice, the commit it was built from and the Go it was built with.`, 0, 2),
		Example: `  sluice version
  sluice version -o json`,
		RunE: inv.enter(func(*cobra.Command, []string) error {
			doc := buildVersion()
			return inv.emit(doc, func(w io.Writer) {
				fmt.Fprintf(w, "sluice %s %s/%s %s\n", doc.Version, doc.OS, doc.Arch, doc.Go)
				if doc.Commit != "" {
					fmt.Fprintf(w, "commit %s %s%s\n", doc.Commit, doc.Time, map[bool]string{true: " with local changes"}[doc.Dirty])
				}
			})
		}),
	}
}

// buildVersion reads what the Go toolchain stamped into the binary.
func buildVersion() versionDocument {
	doc := versionDocument{document: head("Version"), Version: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return doc
	}
	if info.Main.Version != "" {
		doc.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			doc.Commit = s.Value
		case "vcs.time":
			doc.Time = s.Value
		case "vcs.modified":
			doc.Dirty = s.Value == "true"
		}
	}
	return doc
}
