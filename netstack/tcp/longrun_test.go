package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// A bulk is a connection that sends more than a test can remember; its peer
// acknowledges everything.
type bulk struct {
	t    *testing.T
	c    tcp.Conn
	now  clock.Time
	buf  []byte
	data []byte
	ack  uint32 // absolute: what the peer has
	h    TCP
}

const bulkISS, bulkIRS = 5, 7

func newBulk(t *testing.T, cfg *tcp.Config) *bulk {
	b := &bulk{t: t, now: epoch, buf: make([]byte, 64<<10), data: make([]byte, 60*ethMSS), ack: bulkISS + 1}
	b.c.Init(newHarness(t).id, cfg, stream.NewPool(0))
	syn := TCP{Seq: bulkIRS, Flags: SYN, Window: 65535, Options: Options{MSS: ethMSS, HasWindowScale: true, WindowScale: 14}}
	b.c.Accept(b.now, bulkISS, ethMTU, &syn)
	_, ok := b.c.Send(b.now, b.buf)
	require.True(t, ok)
	b.in()
	require.Equal(t, tcp.StateEstablished, b.c.State())
	return b
}

// in acknowledges b.ack.
func (b *bulk) in() {
	b.now = b.now.Add(time.Microsecond)
	s := TCP{Seq: bulkIRS + 1, Ack: b.ack, Flags: ACK, Window: 65535}
	b.c.Receive(b.now, &s, nil)
}

// send returns the payload bytes of the next segment, zero if there is none.
func (b *bulk) send() int {
	w, ok := b.c.Send(b.now, b.buf)
	if !ok {
		return 0
	}
	payload, err := wire.ParseTCP(b.buf[:w.Len], &b.h)
	require.NoError(b.t, err)
	return len(payload)
}

// transfer moves about n bytes, in full segments only.
func (b *bulk) transfer(n uint64) {
	b.t.Helper()
	for end := b.c.Info().BytesAcked + n; b.c.Info().BytesAcked < end; {
		b.c.Out.Write(b.data[:min(len(b.data), b.c.Out.Room()/ethMSS*ethMSS)])
		progress := false
		for k := b.send(); k > 0; k = b.send() {
			b.ack = b.h.Seq + uint32(k)
			progress = true
		}
		require.True(b.t, progress, "after %d bytes", b.c.Info().BytesAcked)
		b.in()
	}
	require.Zero(b.t, b.c.Out.Len())
}

// Everything that a sender remembers as a sequence number grows old: after half
// of the number space, and after all of it, what happened at the start must
// not be taken for something that is to come.
func TestLongTransfer(t *testing.T) {
	const half = 1 << 31
	for name, after := range map[string]func(t *testing.T, b *bulk){
		// RFC 9293 MUST-60, 3.9.1.2: "MUST NOT buffer data indefinitely"
		"small write": func(t *testing.T, b *bulk) {
			b.c.Out.Write(b.data[:10])
			require.Equal(t, 10, b.send())
		},
		"fast retransmit": func(t *testing.T, b *bulk) {
			b.c.Out.Write(b.data[:8*ethMSS])
			una := b.ack
			for b.send() > 0 {
			}
			for range 3 {
				b.in()
			}
			require.Equal(t, ethMSS, b.send())
			require.Equal(t, una, b.h.Seq)
			b.ack = una + 4*ethMSS
			b.in()
			require.Equal(t, ethMSS, b.send(), "the next hole")
			require.Equal(t, b.ack, b.h.Seq)
		},
		"timeout": func(t *testing.T, b *bulk) {
			b.c.Out.Write(b.data[:8*ethMSS])
			una := b.ack
			for b.send() > 0 {
			}
			b.now = b.c.Deadline()
			require.Equal(t, 8*ethMSS, b.send(), "all of it, at once")
			require.Equal(t, una, b.h.Seq)
		},
		"close": func(t *testing.T, b *bulk) {
			b.c.CloseWrite(b.now)
			require.Zero(t, b.send())
			require.True(t, b.h.Flags.Has(FIN))
			b.ack++
			b.in()
			require.Equal(t, tcp.StateFinWait2, b.c.State())
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBulk(t, &tcp.Config{Congestion: func() congestion.Controller { return &fixed{window: 1 << 20} }})
			b.transfer(half + 1<<20)
			after(t, b)
		})
	}
}

// The receiver's numbers as well.
func TestLongReception(t *testing.T) {
	h := newHarness(t)
	var c tcp.Conn
	cfg := tcp.Config{RecvBuffer: 1 << 20}
	c.Init(h.id, &cfg, stream.NewPool(0))
	now := clock.Time(epoch)
	syn := TCP{Seq: 0, Flags: SYN, Window: 65535, Options: Options{MSS: ethMSS, HasWindowScale: true}}
	c.Accept(now, 5, ethMTU, &syn)
	buf, data := make([]byte, ethMTU), make([]byte, 40*ethMSS) // under the first window
	_, ok := c.Send(now, buf)
	require.True(t, ok)
	seq := uint32(1)
	in := func(n int) tcp.Events {
		now = now.Add(time.Microsecond)
		s := TCP{Seq: seq, Ack: 6, Flags: ACK, Window: 65535}
		_, d := c.Receive(now, &s, data[:n])
		require.Equal(t, wire.DropNone, d)
		seq += uint32(n)
		return c.TakeEvents()
	}
	in(0)
	for sent := uint64(0); sent < 1<<32+1<<20; sent += uint64(len(data)) {
		require.NotZero(t, in(len(data))&tcp.EventReadable)
		_, ok := c.Send(now, buf)
		require.True(t, ok, "an acknowledgment")
		for c.In.Read(data) > 0 {
		}
	}
	seq += 100
	in(10) // a gap
	seq -= 110
	in(100)
	require.Equal(t, 110, c.In.Len())
}
