// Client connects over the stack, on a TAP or a TUN, to a TCP server of the
// host's side, prints what it receives, and sends it back reversed:
//
//	nc -l 1234 &
//	sudo go run ./examples/client -tap tap0 192.168.69.100:1234
package main

import (
	"context"
	"flag"
	"io"
	"net"

	"smolnet/internal/cli"
)

func main() { cli.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("client", flag.ContinueOnError)
	opts := cli.Flags(fs)
	if err := cli.Parse(fs, args, "ADDRESS:PORT"); err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(fs.Arg(0)); err != nil {
		return cli.Usagef("%v", err)
	}
	st, err := opts.Stack()
	if err != nil {
		return err
	}
	defer st.Close()
	return talk(ctx, st, fs.Arg(0), out)
}
