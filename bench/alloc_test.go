// Package bench has tests of what benchmarks can state exactly: how much the
// steady state allocates, through the interfaces that programs use. The
// comparisons are in its folders; see README.md.
package bench

import (
	"context"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/ipv4"

	"smolnet/bench/env"
)

// allocRuns is how often each step is repeated.
const allocRuns = 500

// allocs returns how many allocations a step makes on average, in all goroutines
// together. Garbage is not collected meanwhile: that empties pools, which then
// would have to be filled again.
func allocs(t *testing.T, step func()) float64 {
	t.Helper()
	if raceEnabled {
		t.Skip("with the race detector sync.Pool forgets on purpose")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for range allocRuns { // buffers, rings and windows grow to their size
		step()
	}
	return testing.AllocsPerRun(allocRuns, step)
}

// links are those that the steady state is tested on.
var links = []env.Link{
	{MTU: 1500, Checksums: true},
	{MTU: 65535, Checksums: true},
	{MTU: 1500, SuperFrames: true},
	{Loopback: true},
}

// onLinks runs a test on a fresh pair of each link.
func onLinks(t *testing.T, test func(t *testing.T, p *env.Pair)) {
	for _, l := range links {
		t.Run(l.String(), func(t *testing.T) {
			p, err := env.Make(env.Smolnet, env.Config{Link: l})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, p.Close()) })
			test(t, p)
		})
	}
}

// connected returns both ends of a connection.
func connected(t *testing.T, p *env.Pair) (client, server net.Conn) {
	l, err := p.Server.Listen("tcp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
	require.NoError(t, err)
	defer l.Close()
	client, err = p.Client.Dial(context.Background(), "tcp4", l.Addr().String())
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	return client, server
}

// transfer writes b to one end and reads it from the other.
func transfer(t *testing.T, from io.Writer, to io.Reader, b []byte) {
	if _, err := from.Write(b); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(to, b); err != nil {
		t.Error(err)
	}
}

// TestSegmentAllocates nothing: one full segment from a Write to a Read.
func TestSegmentAllocates(t *testing.T) {
	onLinks(t, func(t *testing.T, p *env.Pair) {
		c, s := connected(t, p)
		b := make([]byte, 1448)
		require.Zero(t, allocs(t, func() { transfer(t, c, s, b) }))
	})
}

// TestBulkAllocates nothing: 64 KiB, which are pages of streams and many
// segments.
func TestBulkAllocates(t *testing.T) {
	onLinks(t, func(t *testing.T, p *env.Pair) {
		c, s := connected(t, p)
		b := make([]byte, 64<<10)
		require.Zero(t, allocs(t, func() { transfer(t, c, s, b) }))
	})
}

// TestRoundTripAllocates nothing: a byte there and back, the other end waiting
// in a Read.
func TestRoundTripAllocates(t *testing.T) {
	onLinks(t, func(t *testing.T, p *env.Pair) {
		c, s := connected(t, p)
		go func() {
			b := make([]byte, 1)
			for {
				if _, err := io.ReadFull(s, b); err != nil {
					return
				}
				if _, err := s.Write(b); err != nil {
					return
				}
			}
		}()
		b := make([]byte, 1)
		require.Zero(t, allocs(t, func() { transfer(t, c, c, b) }))
	})
}

// TestReadyReadAllocates nothing: a Read of what is there.
func TestReadyReadAllocates(t *testing.T) {
	onLinks(t, func(t *testing.T, p *env.Pair) {
		c, s := connected(t, p)
		const warmUps = 2 * allocRuns
		data := make([]byte, 2*warmUps)
		_, err := c.Write(data)
		require.NoError(t, err)
		b := make([]byte, 1)
		require.Zero(t, allocs(t, func() {
			if _, err := s.Read(b); err != nil {
				t.Error(err)
			}
		}))
	})
}

// TestConnectAllocates what a connection is, at both ends, and little beside: no
// channels, no resolver, no Dialer.
func TestConnectAllocates(t *testing.T) {
	const (
		ends      = 2 * 2 // the core's and the user's
		addresses = 2     // what the literal says, with the port and without
		closed    = 2     // TIME-WAIT, perhaps at both ends
		rarely    = 1     // a table that grows, a timer of the loop
	)
	onLinks(t, func(t *testing.T, p *env.Pair) {
		l, err := p.Server.Listen("tcp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
		require.NoError(t, err)
		addr, ctx, b := l.Addr().String(), context.Background(), make([]byte, 1)
		n := allocs(t, func() {
			c, err := p.Client.Dial(ctx, "tcp4", addr)
			if err != nil {
				t.Error(err)
				return
			}
			s, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			transfer(t, c, s, b)
			_, _ = c.Close(), s.Close()
		})
		require.LessOrEqual(t, n, float64(ends+addresses+closed+rarely))
	})
}

// addrPortReader is package net's way to receive without allocations.
type addrPortReader interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
}

// sockets returns two datagram sockets.
func sockets(t *testing.T, p *env.Pair) (client, server net.PacketConn) {
	server, err := p.Server.ListenPacket("udp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
	require.NoError(t, err)
	client, err = p.Client.ListenPacket("udp4", netip.AddrPortFrom(p.Client.Addr(), 0).String())
	require.NoError(t, err)
	return client, server
}

// TestDatagramAllocates nothing, if it is read with ReadFromUDPAddrPort.
func TestDatagramAllocates(t *testing.T) {
	onLinks(t, func(t *testing.T, p *env.Pair) {
		c, s := sockets(t, p)
		to, b := s.LocalAddr(), make([]byte, 1200)
		require.Zero(t, allocs(t, func() {
			if _, err := c.WriteTo(b, to); err != nil {
				t.Error(err)
			}
			if _, _, err := s.(addrPortReader).ReadFromUDPAddrPort(b); err != nil {
				t.Error(err)
			}
		}))
	})
}

// TestReadFromAllocates the net.Addr that it returns and nothing else.
func TestReadFromAllocates(t *testing.T) {
	const addr = 1
	onLinks(t, func(t *testing.T, p *env.Pair) {
		c, s := sockets(t, p)
		to, b := s.LocalAddr(), make([]byte, 1200)
		require.LessOrEqual(t, allocs(t, func() {
			if _, err := c.WriteTo(b, to); err != nil {
				t.Error(err)
			}
			if _, _, err := s.ReadFrom(b); err != nil {
				t.Error(err)
			}
		}), float64(addr))
	})
}

// TestBatchAllocates nothing: messages keep the addresses that they had.
func TestBatchAllocates(t *testing.T) {
	const batch = 8
	onLinks(t, func(t *testing.T, p *env.Pair) {
		c, s := sockets(t, p)
		out, in := make([]ipv4.Message, batch), make([]ipv4.Message, batch)
		for i := range batch {
			out[i] = ipv4.Message{Buffers: [][]byte{make([]byte, 1200)}, Addr: s.LocalAddr()}
			in[i] = ipv4.Message{Buffers: [][]byte{make([]byte, 1200)}}
		}
		type batcher interface {
			ReadBatch(ms []ipv4.Message, flags int) (int, error)
			WriteBatch(ms []ipv4.Message, flags int) (int, error)
		}
		require.Zero(t, allocs(t, func() {
			if n, err := c.(batcher).WriteBatch(out, 0); err != nil || n != batch {
				t.Errorf("wrote %d: %v", n, err)
			}
			for got := 0; got < batch; {
				n, err := s.(batcher).ReadBatch(in, 0)
				if err != nil {
					t.Error(err)
					return
				}
				got += n
			}
		}))
	})
}

// TestAllocationsAreSeen proves that the tests above can fail: in steps of which
// another goroutine allocates, and in those that allocate themselves.
func TestAllocationsAreSeen(t *testing.T) {
	var sink []byte
	require.Equal(t, 1.0, allocs(t, func() { sink = make([]byte, 100) }))
	there, back := make(chan int), make(chan []byte)
	defer close(there)
	go func() {
		for n := range there {
			back <- make([]byte, n)
		}
	}()
	require.Equal(t, 1.0, allocs(t, func() {
		there <- 100
		sink = <-back
	}))
	require.Len(t, sink, 100)
}
