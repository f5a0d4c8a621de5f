package cluster

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func defaults() Settings {
	return Settings{
		Name: DefaultName, State: DefaultState, Network: netip.MustParsePrefix(DefaultNetwork),
		HTTPPort: DefaultHTTPPort, RegistryPort: DefaultRegistryPort, MetricsPort: DefaultMetricsPort, APIPort: DefaultAPIPort,
	}
}

func TestValidate(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Settings)
		want   []string
	}{
		"defaults":          {change: func(*Settings) {}},
		"any free ports":    {change: func(s *Settings) { s.HTTPPort, s.RegistryPort = 0, 0 }},
		"name":              {change: func(s *Settings) { s.Name = "Big" }, want: []string{`--name "Big"`}},
		"name too long":     {change: func(s *Settings) { s.Name = strings.Repeat("a", 41) }, want: []string{"--name"}},
		"small network":     {change: func(s *Settings) { s.Network = netip.MustParsePrefix("10.1.0.0/24") }, want: []string{"--network 10.1.0.0/24"}},
		"crooked network":   {change: func(s *Settings) { s.Network = netip.MustParsePrefix("10.1.2.0/16") }, want: []string{"--network 10.1.2.0/16"}},
		"IPv6":              {change: func(s *Settings) { s.Network = netip.MustParsePrefix("fd00::/16") }, want: []string{"--network fd00::/16"}},
		"relative state":    {change: func(s *Settings) { s.State = "x/y/z" }, want: []string{`--state "x/y/z"`}},
		"root as state":     {change: func(s *Settings) { s.State = "/" }, want: []string{`--state "/"`}},
		"state for sockets": {change: func(s *Settings) { s.State = "/" + strings.Repeat("a", 36) }, want: []string{"--state"}},
		"port out of range": {change: func(s *Settings) { s.APIPort = 70000 }, want: []string{"--api-port 70000"}},
		"unknown part":      {change: func(s *Settings) { s.With = []string{"docker"} }, want: []string{"--with docker", "buildkit"}},
		"same port twice":   {change: func(s *Settings) { s.MetricsPort = 8080 }, want: []string{"--metrics-port 8080: --http-port"}},
		"all problems at once": {
			change: func(s *Settings) { s.Name, s.State, s.HTTPPort = "", "x", -1 }, want: []string{"--name", "--state", "--http-port"},
		},
	} {
		settings := defaults()
		test.change(&settings)
		err := settings.Validate()
		if (err == nil) != (len(test.want) == 0) || err != nil && !errors.Is(err, ErrSettings) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, words := range test.want {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v, want %q in it", name, err, words)
			}
		}
	}
}

func TestPartsOfTheNetworkAreApartAndInside(t *testing.T) {
	s := defaults()
	if s.pods().Overlaps(s.services()) || s.pods().Contains(s.nodeAddress()) || s.services().Contains(s.nodeAddress()) {
		t.Errorf("pods %s, services %s and node %s overlap", s.pods(), s.services(), s.nodeAddress())
	}
	for _, part := range []netip.Prefix{s.pods(), s.services()} {
		if !s.Network.Contains(part.Addr()) || part.Masked() != part {
			t.Errorf("%s is not a part of %s", part, s.Network)
		}
	}
	for _, address := range []netip.Addr{s.apiService(), s.dnsService()} {
		if !s.services().Contains(address) {
			t.Errorf("%s is not in %s", address, s.services())
		}
	}
}

func TestChoosePortsReplacesZeroOnly(t *testing.T) {
	chosen, err := choosePorts(Settings{HTTPPort: 8080})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range chosen.ports() {
		if port.number == 0 || seen[port.number] {
			t.Errorf("ports are %+v, want all chosen and different", chosen.ports())
		}
		seen[port.number] = true
	}
	if chosen.HTTPPort != 8080 {
		t.Errorf("a chosen port was replaced by %d", chosen.HTTPPort)
	}
}

func TestBusyPortIsNamedWithItsFlag(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	busy := port{flag: "--http-port", use: "the entry point", number: listener.Addr().(*net.TCPAddr).Port}
	err = busy.free(context.Background(), 0)
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "--http-port") {
		t.Errorf("error %v, want ErrForeign with the flag", err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := busy.free(context.Background(), 0); err != nil {
		t.Errorf("a free port: %v", err)
	}
}

func TestAgreesLooksAtGivenFlagsOnly(t *testing.T) {
	existing := defaults()
	wanted := defaults()
	wanted.HTTPPort, wanted.Name = 9999, "other"
	for name, test := range map[string]struct {
		given map[string]bool
		want  []string
	}{
		"none":          {},
		"one":           {given: map[string]bool{"http-port": true}, want: []string{"--http-port 9999", "has 8080"}},
		"both":          {given: map[string]bool{"http-port": true, "name": true}, want: []string{"--http-port", "--name other"}},
		"one that fits": {given: map[string]bool{"registry-port": true}},
	} {
		err := Up{Settings: wanted, Given: test.given}.agrees(existing)
		if (err == nil) != (len(test.want) == 0) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, words := range test.want {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v, want %q in it", name, err, words)
			}
		}
	}
}
