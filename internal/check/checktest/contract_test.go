package checktest_test

import (
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/check"
	"github.com/sluice-dev/sluice/internal/check/checktest"
)

func TestLayer(t *testing.T) {
	subject := func(environment string) check.Subject {
		return check.Subject{Release: &v1alpha1.Release{Service: "shop"}, Environment: environment}
	}
	layer := &checktest.Layer{Messages: map[string][]string{"prod": {"wrong"}}}
	checktest.Run(t, layer, subject("dev"), subject("prod"))
}
