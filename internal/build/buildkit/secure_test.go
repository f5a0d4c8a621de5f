package buildkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
)

// TestWhatAnAddressSaysOfTLS: what is wrong with it is known before anybody is asked, and only tcp:// says anything.
func TestWhatAnAddressSaysOfTLS(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "text.pem"), []byte("no certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	for address, says := range map[string]string{
		"tcp://b:1?tlscacert=none.pem":                          "none.pem: no such file",
		"tcp://b:1?tlscacert=text.pem":                          "text.pem holds no certificate in PEM",
		"tcp://b:1?tlscert=text.pem&tlskey=none.pem":            "none.pem: no such file",
		"tcp://b:1?tlscert=text.pem&tlskey=text.pem":            "are no certificate with its key",
		"tcp://b:1?tlskey=text.pem":                             "only one of tlscert and tlskey",
		"tcp://b:1?tlscacert=a&tlscacert=b":                     "tlscacert one value",
		"tcp://b:1?tlscacert=":                                  "tlscacert one value",
		"tcp://b:1?tlscacert=" + filepath.Join(dir, "text.pem"): "text.pem holds no certificate in PEM",
		"tcp://b:1?insecure=true":                               "insecure is nothing that an address",
		"tcp://b:1?%zz":                                         "cannot be read",
	} {
		_, config, err := secured("build", address, dir)
		if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), says) || config != nil {
			t.Errorf("%s: got %v of kind %v, want %q", address, err, fault.KindOf(err), says)
		}
	}
	for _, address := range []string{"tcp://b:1", "kube-pod://name?namespace=ci", "unix:///run/b.sock"} {
		if got, config, err := secured("build", address, dir); got != address || config != nil || err != nil {
			t.Errorf("%s became %s, %v, %v", address, got, config, err)
		}
	}
	for address, server := range map[string]string{"tcp://b:1?tlsservername=builder.example": "builder.example"} {
		got, config, err := secured("build", address, dir)
		if got != "tcp://b:1" || err != nil || config.ServerName != server || config.RootCAs != nil {
			t.Errorf("%s became %s, %+v, %v", address, got, config, err)
		}
	}
}
