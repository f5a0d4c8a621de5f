// Command relay hands TCP connections from one local address to another, so that pods reach an API server that listens
// on loopback only. It must not look into what it hands on.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	from := flag.String("listen", "", "address and port to listen on")
	to := flag.String("to", "", "address and port to hand connections to")
	flag.Parse()
	if err := serve(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

func serve(from, to string) error {
	listener, err := net.Listen("tcp", from)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", from, err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("accept on %s: %w", from, err)
		}
		go hand(client, to)
	}
}

func hand(client net.Conn, to string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", to)
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		return
	}
	defer func() { _ = server.Close() }()
	done := make(chan struct{}, 2)
	pump := func(into, outOf net.Conn) {
		_, _ = io.Copy(into, outOf)
		// Half-closing lets the other direction finish: a watch ends when its client does.
		if tcp, ok := into.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		done <- struct{}{}
	}
	go pump(server, client)
	go pump(client, server)
	<-done
	<-done
}
