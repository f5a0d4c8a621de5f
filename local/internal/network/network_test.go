package network

import (
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
)

func filter() Filter {
	return Filter{
		Table: "box", Node: netip.MustParseAddr("10.1.255.254"), Pods: netip.MustParsePrefix("10.1.0.0/18"),
		Network: netip.MustParsePrefix("10.1.0.0/16"),
	}
}

func TestRulesReplaceTheTableInOneTransaction(t *testing.T) {
	rules := filter().rules()
	// "delete" alone fails where there is no table, so it is declared first.
	if !strings.HasPrefix(rules, "table inet box\ndelete table inet box\ntable inet box {\n") {
		t.Errorf("rules begin with %.80q", rules)
	}
	for _, line := range []string{
		`ip daddr 10.1.255.254 iifname != "lo" ip saddr != { 10.1.255.254, 10.1.0.0/18 } drop`,
		`ip daddr 10.1.0.0/18 ip saddr != 10.1.0.0/18 ct state new drop`,
		`ip saddr 10.1.0.0/18 ip daddr != 10.1.0.0/16 masquerade`,
	} {
		if !strings.Contains(rules, "\t\t"+line+"\n") {
			t.Errorf("no rule %q", line)
		}
	}
}

func TestRulesAreUnderstood(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed")
	}
	command := exec.Command("nft", "--check", "-f", "-")
	command.Stdin = strings.NewReader(filter().rules())
	if out, err := command.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "Operation not permitted") {
			t.Skip("checking rules needs root")
		}
		t.Errorf("%v: %s", err, out)
	}
}

func TestDropsForwarded(t *testing.T) {
	const head = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy "
	for chain, want := range map[string]bool{
		head + "drop;\n": true, head + "accept;\n": false, head + "drop;\n\t\tip saddr 10.1.0.0/18 accept\n": false,
	} {
		if got := dropsForwarded(chain, filter().Pods); got != want {
			t.Errorf("%t for %q", got, chain)
		}
	}
}

func TestPrefix(t *testing.T) {
	for text, want := range map[string]bool{"10.1.0.0/16": true, "fd00::/8": false} {
		_, network, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := prefix(network)
		if ok != want || ok && got.String() != text {
			t.Errorf("%s: %s, %t", text, got, ok)
		}
	}
	if _, ok := prefix(nil); ok {
		t.Error("a route without a destination has a network")
	}
}

func TestReadLeavesOutWhatTheKernelDoesNotHave(t *testing.T) {
	settings, err := Read([]string{"kernel/ostype", "kernel/no_such_setting"})
	if err != nil || len(settings) != 1 || settings["kernel/ostype"] != "Linux" {
		t.Errorf("read %v, %v", settings, err)
	}
	// Nothing differs, so nothing is written: this one cannot be.
	if err := settings.Write(); err != nil {
		t.Errorf("write back what is there: %v", err)
	}
	if err := (Settings{"kernel/ostype": "Plan 9"}).Write(); err == nil {
		t.Error("a setting that cannot be written was written")
	}
}
