package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"smolnet/conn"
	"smolnet/dialer"
	"smolnet/netstack"
)

// Bounds of the flags. Sequence numbers have 16 bits; a request must fit a
// packet of 1500 bytes.
const (
	maxCount = 1 << 16
	maxSize  = 1500 - 40 - 8
)

// A pinger sends count requests with size bytes of data, one an interval.
type pinger struct {
	count    int
	interval time.Duration
	size     int
}

// run pings addr, prints each answer, and sums up.
func (p *pinger) run(ctx context.Context, st *netstack.Stack, addr netip.Addr, out io.Writer) error {
	d := dialer.Dialer{Stack: st}
	c, err := d.DialPing(ctx, "ping", netip.Addr{}, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	fmt.Fprintf(out, "PING %v: %d data bytes\n", addr, p.size)
	sent, received := 0, 0
	for seq := range p.count {
		if ctx.Err() != nil {
			break
		}
		end := time.Now().Add(p.interval)
		if err := p.request(c, uint16(seq)); err != nil {
			fmt.Fprintf(out, "seq=%d: %v\n", seq, err)
		}
		sent++
		last := seq == p.count-1
		received += p.collect(ctx, c, end, sent-received, last, out)
	}
	fmt.Fprintf(out, "%d sent, %d received, %d %% lost\n", sent, received, 100*(sent-received)/max(sent, 1))
	if received == 0 && sent > 0 && ctx.Err() == nil {
		return fmt.Errorf("no answer from %v", addr)
	}
	return nil
}

// request sends one echo request. Its data starts with the time, so that the
// answer tells the round-trip time, if there is room for it.
func (p *pinger) request(c *conn.Ping, seq uint16) error {
	b := make([]byte, p.size)
	for i := range b {
		b[i] = byte(i)
	}
	if len(b) >= 8 {
		binary.BigEndian.PutUint64(b, uint64(time.Now().UnixNano()))
	}
	return c.WriteEcho(b, netip.Addr{}, seq)
}

// collect prints the answers that come until end, or, after the last request,
// until all that are due have come. It returns how many there were.
func (p *pinger) collect(ctx context.Context, c *conn.Ping, end time.Time, due int, last bool, out io.Writer) int {
	b := make([]byte, maxSize+1)
	received := 0
	if err := c.SetReadDeadline(end); err != nil || ctx.Err() != nil {
		return 0
	}
	for {
		n, from, seq, err := c.ReadEcho(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
			return received
		case err != nil: // an ICMP error about one of our requests
			fmt.Fprintf(out, "seq=%d: %v\n", seq, err)
			continue
		}
		received++
		fmt.Fprintf(out, "%d bytes from %v: seq=%d", n, from, seq)
		if n >= 8 {
			rtt := time.Duration(time.Now().UnixNano() - int64(binary.BigEndian.Uint64(b)))
			fmt.Fprintf(out, " time=%v", rtt.Round(time.Microsecond))
		}
		fmt.Fprintln(out)
		if last && received >= due {
			return received
		}
	}
}
