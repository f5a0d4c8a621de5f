package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/sluice-dev/sluice/local/internal/network"
	"github.com/sluice-dev/sluice/local/internal/process"
)

// choosePorts replaces each 0 by a port that is free now.
func choosePorts(settings Settings) (Settings, error) {
	for _, number := range []*int{&settings.HTTPPort, &settings.RegistryPort, &settings.MetricsPort, &settings.APIPort} {
		if *number != 0 {
			continue
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return settings, fmt.Errorf("choose a free port: %w", err)
		}
		// Held until all are chosen, so that no two are the same.
		defer func() { _ = listener.Close() }()
		*number = listener.Addr().(*net.TCPAddr).Port
	}
	return settings, nil
}

// portOwners says which daemon listens on the ports, in the order of Settings.ports.
func portOwners() []string { return []string{traefik, registry, traefik, apiserver} }

// checkMachine refuses what others have in use: ports, the network, kube-proxy's tables.
func (n *Node) checkMachine(ctx context.Context, fresh bool) error {
	var problems []error
	for i, port := range n.settings.ports() {
		_, err := n.table.Running(portOwners()[i])
		if err == nil {
			continue
		}
		if !errors.Is(err, process.ErrGone) {
			return err
		}
		wait := releaseTime
		if fresh {
			wait = 0
		}
		if err := port.free(ctx, wait); err != nil {
			problems = append(problems, err)
		}
	}
	if !fresh {
		return errors.Join(problems...)
	}
	found, overlaps, err := network.Overlapping(n.settings.Network)
	if err != nil {
		return err
	}
	if overlaps {
		problems = append(problems, fmt.Errorf("%w: network %s overlaps with this machine's %s; choose another with --network",
			ErrForeign, n.settings.Network, found))
	}
	tables, err := network.Tables(ctx)
	if err != nil {
		return err
	}
	for _, table := range tables {
		if table.Name == proxyTable {
			problems = append(problems, fmt.Errorf("%w: packet filter table %s %s: another Kubernetes node runs on this machine; "+
				"use it with --context, or take it down", ErrForeign, table.Family, table.Name))
		}
	}
	return errors.Join(problems...)
}

// releaseTime is how long the kernel may take to give back the port of a daemon of ours that was just killed.
const releaseTime = 3 * time.Second

// free is nil if the port can be listened on now, or within the given time.
func (p port) free(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p.number))
		if err == nil {
			return listener.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("%w: port %d of %s cannot be opened (%w); choose another with %s", ErrForeign, p.number, p.use, err, p.flag)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: port %d of %s; choose another with %s, or 0 for any free one", ErrForeign, p.number, p.use, p.flag)
		case <-time.After(pollInterval):
		}
	}
}

const proxyTable = "kube-proxy"
