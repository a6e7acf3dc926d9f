// Httpclient fetches a URL with net/http over the stack, on a TAP or a TUN,
// and prints the body:
//
//	sudo go run ./examples/httpclient -tap tap0 http://192.168.69.100:8000/
package main

import (
	"context"
	"flag"
	"io"
	"net/url"

	"smolnet/internal/cli"
)

func main() { cli.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("httpclient", flag.ContinueOnError)
	opts := cli.Flags(fs)
	if err := cli.Parse(fs, args, "URL"); err != nil {
		return err
	}
	u, err := url.Parse(fs.Arg(0))
	if err != nil {
		return cli.Usagef("%v", err)
	}
	if u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return cli.Usagef("%q is not an http or https URL", fs.Arg(0))
	}
	st, err := opts.Stack()
	if err != nil {
		return err
	}
	defer st.Close()
	return fetch(ctx, st, u.String(), out)
}
