package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"

	"smolnet/dialer"
	"smolnet/netstack"
)

// chunkSize is the most that the client reads at a time, bytes.
const chunkSize = 64 << 10

// talk connects to addr, prints what arrives, and sends each chunk back with
// its bytes in reverse order, until the server closes or ctx ends.
func talk(ctx context.Context, st *netstack.Stack, addr string, out io.Writer) error {
	d := dialer.Dialer{Stack: st}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	err = answerReversed(c, out)
	if ctx.Err() != nil {
		return nil // the user ended it
	}
	return err
}

func answerReversed(c net.Conn, out io.Writer) error {
	b := make([]byte, chunkSize)
	for {
		n, err := c.Read(b)
		if n > 0 {
			fmt.Fprintf(out, "received %q\n", b[:n])
			slices.Reverse(b[:n])
			if _, err := c.Write(b[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
