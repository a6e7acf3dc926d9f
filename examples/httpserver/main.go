// Httpserver serves a page with net/http over the stack. The page shows live
// facts of the very connection that fetched it.
//
// Without a device it needs no rights and no set-up. Two stacks are joined in
// memory; every connection that a browser makes to -addr is carried through
// the dialer of one, across the link, to net/http on the other:
//
//	go run ./examples/httpserver
//
// With a TAP or a TUN the server is a host of its own that the machine can
// reach:
//
//	sudo go run ./examples/httpserver -tap tap0
//	curl http://192.168.69.1/
//	curl -g 'http://[fdaa::1]/'
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"smolnet/dialer"
	"smolnet/internal/cli"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/phy"
)

func main() { cli.Main(run) }

// shutdownTime is how long requests in progress may take to finish after the
// program was told to end.
const shutdownTime = 3 * time.Second

// linkMTU is the MTU of the link between the two stacks, bytes.
const linkMTU = 1500

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("httpserver", flag.ContinueOnError)
	opts := cli.Flags(fs)
	addr := fs.String("addr", "127.0.0.1:8080", "without a device: the host's `address` to listen at; port 0 takes a free one")
	if err := cli.Parse(fs, args); err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(*addr); err != nil {
		return cli.Usagef("-addr: %v", err)
	}
	if opts.HasDevice() {
		return onDevice(ctx, opts, out)
	}
	return inMemory(ctx, opts, *addr, out)
}

// onDevice serves at the stack's own addresses.
func onDevice(ctx context.Context, opts *cli.Options, out io.Writer) error {
	st, err := opts.Stack()
	if err != nil {
		return err
	}
	defer st.Close()
	l, err := listener.Listen(st, "tcp", ":80")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "serving at http://%v/ and http://[%v]/\n", cli.StackAddr4.Addr(), cli.StackAddr6.Addr())
	return serveUntil(ctx, l, st)
}

// inMemory serves on one stack and carries the host's connections to it
// through another.
func inMemory(ctx context.Context, opts *cli.Options, addr string, out io.Writer) error {
	host, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer host.Close()
	server, client, err := joined(opts)
	if err != nil {
		return err
	}
	defer server.Close()
	defer client.Close()
	l, err := listener.Listen(server, "tcp", ":80")
	if err != nil {
		return err
	}
	d := dialer.Dialer{Stack: client}
	target := netip.AddrPortFrom(cli.StackAddr4.Addr(), 80).String()
	br := bridge{dial: func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", target) }}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bridged := make(chan error, 1)
	go func() {
		bridged <- br.serve(ctx, host)
		cancel()
	}()
	fmt.Fprintf(out, "serving at http://%v/\n", host.Addr())
	err = serveUntil(ctx, l, server)
	host.Close()
	return errors.Join(err, <-bridged)
}

// joined returns two stacks on one link in memory. The link is as bad as opts
// ask, and is captured from the server's side.
func joined(opts *cli.Options) (server, client *netstack.Stack, err error) {
	a, b, err := phy.Pipe(phy.PipeConfig{Medium: phy.MediumEthernet, MTU: linkMTU})
	if err != nil {
		return nil, nil, err
	}
	dev, err := opts.Wrap(a)
	if err != nil {
		return nil, nil, errors.Join(err, a.Close(), b.Close())
	}
	server, err = netstack.New(netstack.Config{Device: dev, Addrs: []netip.Prefix{cli.StackAddr4, cli.StackAddr6}, TCP: opts.TCP()})
	if err != nil {
		return nil, nil, errors.Join(err, dev.Close(), b.Close())
	}
	client, err = netstack.New(netstack.Config{Device: b, Addrs: []netip.Prefix{cli.HostAddr4, cli.HostAddr6}, TCP: opts.TCP()})
	if err != nil {
		return nil, nil, errors.Join(err, server.Close(), b.Close())
	}
	return server, client, nil
}

// serveUntil serves the site at l until ctx ends, then lets requests in
// progress finish for a moment.
func serveUntil(ctx context.Context, l net.Listener, st *netstack.Stack) error {
	srv := newSite().server()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return err // the stack failed
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		srv.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return st.Shutdown(grace)
}
