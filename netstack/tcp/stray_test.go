package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

// What was put beyond a gap and could not be noted, for want of memory, does not
// keep its page when the connection rests.
func TestStraysAreForgotten(t *testing.T) {
	const limit = 1 << 20
	pool := stream.NewPool(limit)
	var c Conn
	c.Init(ID{}, nil, pool)
	c.Accept(1, 1000, 1480, &wire.TCP{Seq: 5, Flags: wire.SYN, Window: 65535, Options: wire.TCPOptions{MSS: 1460}})
	var buf [2048]byte
	now := c.lastReceived.Add(time.Second)
	c.Send(now, buf[:])
	in := func(seq uint32, n int) wire.Drop {
		_, d := c.Receive(now, &wire.TCP{Seq: seq, Ack: 1001, Flags: wire.ACK, Window: 65535}, make([]byte, n))
		return d
	}
	for i := range uint32(minSpans) {
		require.Equal(t, wire.DropNone, in(7+20*i, 10))
	}
	rest := int64(limit - limit/4) // the windows shrink
	require.True(t, pool.Reserve(rest))
	require.Equal(t, wire.DropNoMemory, in(7+20*minSpans, 10))
	pool.Unreserve(rest)
	require.Equal(t, wire.DropNone, in(6, 20*minSpans)) // fills all gaps
	require.True(t, c.rcv.gaps.empty())
	c.In.Read(buf[:])
	for range 10 {
		now = now.Add(time.Minute)
		for sent := true; sent; {
			_, sent = c.Send(now, buf[:])
		}
	}
	require.Zero(t, pool.InUse())
}
