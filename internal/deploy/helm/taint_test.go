package helm

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
)

func TestASecretThatHelmWouldKeepIsRefused(t *testing.T) {
	for _, c := range []struct {
		about, secret string
		values        map[string]any
		settings      map[string]string
		want          string
	}{
		{about: "in a values file", secret: "hunter2-hunter2", values: map[string]any{"host": "hunter2-hunter2"}, want: "the values file dev.yaml"},
		{about: "in the chart", secret: "helm.sh/hook: post-install", want: "the file templates/more.yaml of the chart"},
		{about: "in what another variable is", secret: "hunter2-hunter2", settings: map[string]string{"mode": "db://hunter2-hunter2@db"}, want: "the chart's values"},
		{about: "in an object", secret: `"name":"shop-green"`, want: "shop-green (shop/templates/"},
		{about: "in an object that does not stay in the slot", secret: `"kind":"Ingress"`, want: "Ingress shop-green (shop/templates/routes.yaml)"},
		{about: "nowhere", secret: "hunter2-hunter2"},
	} {
		t.Run(c.about, func(t *testing.T) {
			req := request(t, slotGreen, slotBlue, c.values)
			req.Settings = c.settings
			req.Tainted = func(text string) string {
				if strings.Contains(text, c.secret) {
					return "DB_PASSWORD"
				}
				return ""
			}
			_, err := offline(history{}).design(req)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), "variable DB_PASSWORD stands in ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it gives %v", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the secret is told: %v", err)
			}
		})
	}
}
