package config_test

import (
	"testing"

	"github.com/sluice-dev/sluice/internal/config"
)

func TestLocate(t *testing.T) {
	const file = "# values\nreplicas: 2\nlog:\n  level: warn\nhosts: [a,\n  {name: b}]\n\"a/b\": 1\n"
	for _, c := range []struct {
		path         []string
		line, column int
	}{
		{[]string{"replicas"}, 2, 1},
		{[]string{"log", "level"}, 4, 3},
		{[]string{"log", "format"}, 3, 1},
		{[]string{"hosts", "1", "name"}, 6, 4},
		{[]string{"hosts", "0"}, 5, 9},
		{[]string{"hosts", "7"}, 5, 1},
		{[]string{"a/b", "c"}, 7, 1},
		{[]string{"nothing"}, 2, 1},
	} {
		if line, column := config.Locate([]byte(file), c.path); line != c.line || column != c.column {
			t.Errorf("%v is at %d:%d, want %d:%d", c.path, line, column, c.line, c.column)
		}
	}
	for _, broken := range []string{"", "a: [", "\xff"} {
		if line, column := config.Locate([]byte(broken), []string{"a"}); line != 0 || column != 0 {
			t.Errorf("%q: something is at %d:%d", broken, line, column)
		}
	}
}
