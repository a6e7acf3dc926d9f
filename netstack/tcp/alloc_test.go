//go:build !race

package tcp_test

import (
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// No allocation for a segment sent or received in a transfer that is under way:
// in order, with acknowledgments, window updates and timers.
func TestBulkAllocs(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  tcp.Config
		room int
	}{
		"timestamps":    {tcp.Config{}, ethMTU},
		"no options":    {tcp.Config{NoTimestamps: true, NoWindowScale: true}, ethMTU},
		"super-frames":  {tcp.Config{}, 64 << 10},
		"ack at once":   {tcp.Config{DelayedAck: -1}, ethMTU},
		"small windows": {tcp.Config{RecvBuffer: 8192, SendBuffer: 8192}, ethMTU},
	} {
		t.Run(name, func(t *testing.T) {
			p := newWirePair(t, &c.cfg, c.room)
			data := make([]byte, 32<<10)
			moved := 0
			turn := func() {
				p.now = p.now.Add(time.Millisecond)
				for range 8 {
					moved += p.a.Out.Write(data)
					p.settle()
					for n := p.b.In.Read(data); n > 0; n = p.b.In.Read(data) {
						p.settle()
					}
				}
				p.b.Out.Write(data[:10])
				p.settle()
				p.a.In.Read(data)
			}
			defer debug.SetGCPercent(debug.SetGCPercent(-1)) // else the page pool is emptied
			for range 50 {
				turn()
			}
			moved, p.segs = 0, 0
			require.Zero(t, testing.AllocsPerRun(50, turn))
			require.Greater(t, moved, 1<<20, "data did move")
			require.Greater(t, p.segs, 100)
		})
	}
}

// Nor for loss: gaps on one side, duplicates, recovery and timeouts on the other.
func TestLossAllocs(t *testing.T) {
	cfg := tcp.Config{RecvBuffer: 256 << 10, SendBuffer: 256 << 10}
	p := newWirePair(t, &cfg, ethMTU)
	data := make([]byte, 32<<10)
	n := 0
	lossy := func(from, to *tcp.Conn) (any bool) {
		for {
			w, ok := from.Send(p.now, p.buf)
			if !ok {
				return any
			}
			any = true
			payload, err := wire.ParseTCP(p.buf[:w.Len], &p.h)
			if err != nil {
				panic(err)
			}
			if n++; n%13 != 0 {
				to.Receive(p.now, &p.h, payload)
			}
		}
	}
	turn := func() {
		p.a.Out.Write(data)
		for range 20 {
			lossy(&p.a, &p.b)
			lossy(&p.b, &p.a)
			p.b.In.Read(data)
			p.now = p.now.Add(50 * time.Millisecond)
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for range 200 {
		turn()
	}
	before := p.b.Info().BytesReceived
	require.Zero(t, testing.AllocsPerRun(100, turn))
	require.Greater(t, p.b.Info().BytesReceived-before, uint64(200_000))
	require.NotZero(t, p.a.Info().Retransmits)
}

// Nor for SACK: with a ring of records of its own, through recoveries of many holes,
// lost retransmissions, probes and undone reductions.
func TestRecoveryAllocs(t *testing.T) {
	for name, lossEvery := range map[string]int{"1 in 23": 23, "1 in 7": 7} {
		t.Run(name, func(t *testing.T) {
			cfg := tcp.Config{RecvBuffer: 1 << 20, SendBuffer: 1 << 20, NoDelay: true}
			p := newWirePair(t, &cfg, ethMTU)
			data := make([]byte, 32<<10)
			n := 0
			pass := func(from, to *tcp.Conn, lossy bool) (any bool) {
				for {
					w, ok := from.Send(p.now, p.buf)
					if !ok {
						return any
					}
					any = true
					payload, err := wire.ParseTCP(p.buf[:w.Len], &p.h)
					if err != nil {
						panic(err)
					}
					if n++; !lossy || n%lossEvery != 0 {
						to.Receive(p.now, &p.h, payload)
						if lossy { // acknowledged at once, one by one
							if w, ok := to.Send(p.now, p.buf); ok {
								var h TCP
								if _, err := wire.ParseTCP(p.buf[:w.Len], &h); err != nil {
									panic(err)
								}
								from.Receive(p.now, &h, nil)
							}
						}
					}
					p.now = p.now.Add(100 * time.Microsecond)
				}
			}
			turn := func() {
				p.a.Out.Write(data)
				for range 10 {
					pass(&p.a, &p.b, true)
					pass(&p.b, &p.a, false)
					for p.b.In.Read(data) > 0 {
					}
					p.now = p.now.Add(20 * time.Millisecond)
				}
			}
			defer debug.SetGCPercent(debug.SetGCPercent(-1))
			for range 300 {
				turn()
			}
			before := p.a.Info()
			require.Zero(t, testing.AllocsPerRun(100, turn))
			after := p.a.Info()
			require.Greater(t, after.FastRecoveries, before.FastRecoveries+50)
			require.Greater(t, after.BytesAcked, before.BytesAcked+1<<20)
			require.True(t, after.SelectiveAck)
		})
	}
}

// BenchmarkBulk is the cost of a byte through two connections.
func BenchmarkBulk(b *testing.B) {
	for name, room := range map[string]int{"1460": ethMTU, "64K": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			cfg := tcp.Config{}
			p := newWirePair(b, &cfg, room)
			data := make([]byte, 64<<10)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				p.now = p.now.Add(time.Microsecond)
				for sent := 0; sent < len(data); {
					sent += p.a.Out.Write(data[sent:])
					p.settle()
					for p.b.In.Read(data) > 0 {
						p.settle()
					}
				}
			}
		})
	}
}
