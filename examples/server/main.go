// Server offers small TCP and UDP services over the stack, on a TAP or a TUN:
//
//	sudo go run ./examples/server -tap tap0
//	nc 192.168.69.1 6969          # TCP: a greeting
//	nc 192.168.69.1 6970          # TCP: what you type, reversed
//	nc 192.168.69.1 6971          # TCP: a sink, which drops silent clients
//	nc 192.168.69.1 6972          # TCP: digits without end
//	nc -u 192.168.69.1 6969       # UDP: datagrams, reversed
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"smolnet/internal/cli"
)

func main() { cli.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	opts := cli.Flags(fs)
	if err := cli.Parse(fs, args); err != nil {
		return err
	}
	st, err := opts.Stack()
	if err != nil {
		return err
	}
	defer st.Close()
	o, err := open(st)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "serving at %v: UDP 6969, TCP 6969 to 6972\n", cli.StackAddr4.Addr())
	return o.serve(ctx)
}
