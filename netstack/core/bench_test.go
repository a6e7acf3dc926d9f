package core_test

import (
	"testing"
	"time"

	"smolnet/netstack/core"
	"smolnet/phy"
)

// intactLink is a link that needs no checksums, as between two stacks in one
// process.
func intactLink(_ *core.Config, l *core.InterfaceConfig) {
	l.Capabilities.TxChecksum, l.Capabilities.RxChecksum = true, true
}

// A flow is one bulk transfer, driven with as little else as can be.
type flow struct {
	w    *world
	a, b *host
	c, s *core.TCP
	buf  []byte
	data []byte
	sink []byte
}

func newFlow(t testing.TB, opts ...option) *flow {
	f := &flow{buf: make([]byte, 14+testMTU), data: make([]byte, 64<<10), sink: make([]byte, 64<<10)}
	f.w, f.a, f.b = pair(t, opts...)
	f.c, f.s, _, _ = connected(t, f.w, f.a, f.b, b4)
	return f
}

// exchange moves every frame that h has to its peer, and returns how many.
func (f *flow) exchange(h *host) (frames int) {
	for {
		n, off := h.eth.Send(f.w.now, f.buf)
		if n == 0 {
			return frames
		}
		frames++
		h.peer.eth.Receive(f.w.now, phy.Frame{Data: f.buf[:n], Offload: off})
	}
}

// step writes, moves frames both ways, and reads: one turn of both ends.
func (f *flow) step() (frames int) {
	f.w.now = f.w.now.Add(100 * time.Microsecond)
	_, _ = f.c.Write(f.data)
	f.a.c.BeginTurn(f.w.now)
	f.b.c.BeginTurn(f.w.now)
	frames = f.exchange(f.a) + f.exchange(f.b)
	for {
		n, err := f.s.Read(f.sink)
		if n == 0 || err != nil {
			break
		}
	}
	f.a.c.EndTurn(f.w.now)
	f.b.c.EndTurn(f.w.now)
	return frames
}

// BenchmarkBulk is one full-sized segment from stream to stream: out of one
// core, into another, its share of acknowledgments included.
func BenchmarkBulk(b *testing.B) {
	for _, m := range []struct {
		name string
		opts []option
	}{{"ethernet", nil}, {"ip", []option{bareIP}}, {"intact", []option{intactLink}}} {
		b.Run(m.name, func(b *testing.B) {
			f := newFlow(b, m.opts...)
			for range 300 {
				f.step()
			}
			b.SetBytes(1448)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				n += f.step()
			}
		})
	}
}

// BenchmarkReceiveDropped is a datagram for nobody: what a flood of them costs
// each.
func BenchmarkReceiveDropped(b *testing.B) {
	w, h := alone(b)
	frame := frameTo(h, udp4(x4, a4, 9, 9, "x"))
	frame[len(frame)-1] ^= 0xff // the checksum is wrong: no answer
	b.ReportAllocs()
	for range b.N {
		h.eth.Receive(w.now, phy.Frame{Data: frame})
	}
}
