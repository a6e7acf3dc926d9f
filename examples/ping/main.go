// Ping sends ICMP echo requests over the stack, on a TAP or a TUN, and prints
// the answers:
//
//	sudo go run ./examples/ping -tap tap0 192.168.69.100
//	sudo go run ./examples/ping -tap tap0 -count 2 fdaa::100
//
// Its status is 1 if nothing answered.
package main

import (
	"context"
	"flag"
	"io"
	"net/netip"
	"time"

	"smolnet/internal/cli"
)

func main() { cli.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("ping", flag.ContinueOnError)
	opts := cli.Flags(fs)
	var p pinger
	fs.IntVar(&p.count, "count", 4, "echo requests to send")
	fs.DurationVar(&p.interval, "interval", time.Second, "time between requests, and to wait for the last answer")
	fs.IntVar(&p.size, "size", 56, "bytes of data in a request")
	if err := cli.Parse(fs, args, "ADDRESS"); err != nil {
		return err
	}
	addr, err := netip.ParseAddr(fs.Arg(0))
	if err != nil {
		return cli.Usagef("%v", err)
	}
	switch {
	case p.count < 1 || p.count > maxCount:
		return cli.Usagef("-count must be from 1 to %d", maxCount)
	case p.interval <= 0:
		return cli.Usagef("-interval must be more than 0")
	case p.size < 0 || p.size > maxSize:
		return cli.Usagef("-size must be from 0 to %d", maxSize)
	}
	st, err := opts.Stack()
	if err != nil {
		return err
	}
	defer st.Close()
	return p.run(ctx, st, addr, out)
}
