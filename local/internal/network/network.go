// Package network gives the node its address, its packet filter and its kernel settings, and takes them away again. It
// must not touch interfaces, tables or routes of others.
package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
)

const (
	loopback   = "lo"
	defaultMTU = 1500
)

// AddAddress puts the node's address on the loopback interface, which every kernel has: the node is then reachable under
// an address that is not 127.0.0.1, from pods and from the machine. An address that is there is no error.
func AddAddress(address netip.Addr) error {
	link, parsed, err := onLoopback(address)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set the loopback interface up: %w", err)
	}
	if err := netlink.AddrReplace(link, parsed); err != nil {
		return fmt.Errorf("add the node's address %s: %w", address, err)
	}
	return nil
}

// RemoveAddress takes the node's address away. An address that is not there is no error.
func RemoveAddress(address netip.Addr) error {
	link, parsed, err := onLoopback(address)
	if err != nil {
		return err
	}
	if err := netlink.AddrDel(link, parsed); err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
		return fmt.Errorf("remove the node's address %s: %w", address, err)
	}
	return nil
}

func onLoopback(address netip.Addr) (netlink.Link, *netlink.Addr, error) {
	link, err := netlink.LinkByName(loopback)
	if err != nil {
		return nil, nil, fmt.Errorf("find the loopback interface: %w", err)
	}
	parsed, err := netlink.ParseAddr(netip.PrefixFrom(address, address.BitLen()).String())
	if err != nil {
		return nil, nil, fmt.Errorf("node's address: %w", err)
	}
	return link, parsed, nil
}

// AddRoute makes the machine's own packets to Services leave from the node's address. Their destination is rewritten on
// the way, but only where there is a route to begin with, and a machine without a network has none.
func AddRoute(services netip.Prefix, from netip.Addr) error {
	route, err := routeToServices(services, from)
	if err != nil {
		return err
	}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("add the route to Services %s: %w", services, err)
	}
	return nil
}

// RemoveRoute takes that route away. A route that is not there is no error.
func RemoveRoute(services netip.Prefix, from netip.Addr) error {
	route, err := routeToServices(services, from)
	if err != nil {
		return err
	}
	if err := netlink.RouteDel(route); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("remove the route to Services %s: %w", services, err)
	}
	return nil
}

func routeToServices(services netip.Prefix, from netip.Addr) (*netlink.Route, error) {
	link, err := netlink.LinkByName(loopback)
	if err != nil {
		return nil, fmt.Errorf("find the loopback interface: %w", err)
	}
	_, destination, err := net.ParseCIDR(services.String())
	if err != nil {
		return nil, fmt.Errorf("network of Services: %w", err)
	}
	return &netlink.Route{
		LinkIndex: link.Attrs().Index, Dst: destination, Src: net.IP(from.AsSlice()), Scope: netlink.SCOPE_LINK,
	}, nil
}

// MTU returns the packet size that pods may use: that of the interface of the default route, or Ethernet's.
func MTU() (int, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return 0, fmt.Errorf("list the routes: %w", err)
	}
	for _, route := range routes {
		if route.Dst != nil && !route.Dst.IP.IsUnspecified() || route.LinkIndex == 0 {
			continue
		}
		link, err := netlink.LinkByIndex(route.LinkIndex)
		if err != nil {
			return 0, fmt.Errorf("find the interface of the default route: %w", err)
		}
		return min(link.Attrs().MTU, defaultMTU), nil
	}
	return defaultMTU, nil
}

// Overlapping returns the first network of this machine's routes that shares addresses with the wanted one.
func Overlapping(wanted netip.Prefix) (found netip.Prefix, overlaps bool, err error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return netip.Prefix{}, false, fmt.Errorf("list the routes: %w", err)
	}
	for _, route := range routes {
		if network, ok := prefix(route.Dst); ok && network.Bits() > 0 && network.Overlaps(wanted) {
			return network, true, nil
		}
	}
	return netip.Prefix{}, false, nil
}

func prefix(network *net.IPNet) (netip.Prefix, bool) {
	if network == nil {
		return netip.Prefix{}, false
	}
	address, ok := netip.AddrFromSlice(network.IP.To4())
	bits, _ := network.Mask.Size()
	return netip.PrefixFrom(address, bits), ok
}

// Filter is what the node's packet filter needs to know.
type Filter struct {
	// Table is the name of its table.
	Table string
	Node  netip.Addr
	Pods  netip.Prefix
	// Network holds nodes, pods and services.
	Network netip.Prefix
}

// rules lets nobody but this machine and its pods reach the node and the pods, and hides pods' addresses from the world.
func (f Filter) rules() string {
	return fmt.Sprintf(`table inet %[1]s
delete table inet %[1]s
table inet %[1]s {
	chain input {
		type filter hook input priority filter - 5; policy accept;
		ip daddr %[2]s iifname != "lo" ip saddr != { %[2]s, %[3]s } drop
	}
	chain forward {
		type filter hook forward priority filter - 5; policy accept;
		ip daddr %[3]s ip saddr != %[3]s ct state new drop
	}
	chain postrouting {
		type nat hook postrouting priority srcnat - 5; policy accept;
		ip saddr %[3]s ip daddr != %[4]s masquerade
	}
}
`, f.Table, f.Node, f.Pods, f.Network)
}

// Install puts the packet filter's table into the kernel in one transaction, replacing an older one.
func (f Filter) Install(ctx context.Context) error {
	_, err := nft(ctx, f.rules(), "-f", "-")
	return err
}

// Table is one nftables table.
type Table struct{ Family, Name string }

// Tables lists the tables that there are.
func Tables(ctx context.Context) ([]Table, error) {
	out, err := nft(ctx, "", "list", "tables")
	if err != nil {
		return nil, err
	}
	var tables []Table
	for _, line := range strings.Split(out, "\n") {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "table" {
			tables = append(tables, Table{Family: fields[1], Name: fields[2]})
		}
	}
	return tables, nil
}

// DropsForwarded says whether the machine's own firewall drops packets between pods: its chain for forwarded packets
// drops by default, as Docker sets it, and does not name the pods' network.
func DropsForwarded(ctx context.Context, pods netip.Prefix) bool {
	// No such chain, or no such table: nothing drops.
	chain, err := nft(ctx, "", "list", "chain", "ip", "filter", "FORWARD")
	return err == nil && dropsForwarded(chain, pods)
}

func dropsForwarded(chain string, pods netip.Prefix) bool {
	return strings.Contains(chain, "policy drop;") && !strings.Contains(chain, pods.String())
}

// Delete removes a table with everything in it.
func (t Table) Delete(ctx context.Context) error {
	_, err := nft(ctx, "", "delete", "table", t.Family, t.Name)
	return err
}

func nft(ctx context.Context, input string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "nft", args...)
	command.Stdin = strings.NewReader(input)
	out, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("nft %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
