package tcp

import (
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

// A connection is small: there may be very many.
func TestConnSize(t *testing.T) {
	t.Logf("%d bytes", unsafe.Sizeof(Conn{}))
	require.LessOrEqual(t, unsafe.Sizeof(Conn{}), uintptr(1350))
}

// A couple is two connections and what is on the way between them.
type couple struct {
	a, b Conn
	now  clock.Time
	buf  [2048]byte
}

func newCouple(tb testing.TB) *couple {
	return newCoupleOf(tb, nil, stream.NewPool(0))
}

// newCoupleOf has a with cfg, and b with pool.
func newCoupleOf(tb testing.TB, cfg *Config, pool *stream.Pool) *couple {
	p := &couple{now: 1}
	one, two := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
	p.a.Init(ID{one, two}, cfg, stream.NewPool(0))
	p.b.Init(ID{two, one}, nil, pool)
	p.a.Connect(p.now, 1000, 1480)
	var syn wire.TCP
	seg, ok := p.a.Send(p.now, p.buf[:])
	require.True(tb, ok)
	_, err := wire.ParseTCP(p.buf[:seg.Len], &syn)
	require.NoError(tb, err)
	p.b.Accept(p.now, 2000, 1480, &syn)
	for p.pass(tb, &p.b, &p.a)+p.pass(tb, &p.a, &p.b) > 0 {
	}
	require.Equal(tb, StateEstablished, p.a.State())
	require.Equal(tb, StateEstablished, p.b.State())
	return p
}

// pass passes everything that from has to say to to.
func (p *couple) pass(tb testing.TB, from, to *Conn) int {
	n := 0
	for {
		seg, ok := from.Send(p.now, p.buf[:])
		if !ok {
			return n
		}
		var h wire.TCP
		payload, err := wire.ParseTCP(p.buf[:seg.Len], &h)
		if err != nil {
			tb.Fatal(err)
		}
		to.Receive(p.now, &h, payload)
		n++
	}
}

// One full segment from write to read, and its part of an acknowledgment.
func BenchmarkTransfer(b *testing.B) {
	p := newCouple(b)
	data := make([]byte, p.a.snd.mss)
	sink := make([]byte, len(data))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		p.a.Out.Write(data)
		p.now = p.now.Add(10 * time.Microsecond)
		p.pass(b, &p.a, &p.b)
		p.b.In.Read(sink)
		p.pass(b, &p.b, &p.a)
	}
}

// Building one full data segment, and taking the acknowledgment of it.
func BenchmarkSendData(b *testing.B) {
	p := newCouple(b)
	mss := p.a.snd.mss
	data := make([]byte, mss)
	ack := wire.TCP{SrcPort: 2, DstPort: 1, Seq: uint32(p.a.rcv.nxt), Ack: uint32(p.a.snd.una), Flags: wire.ACK, Window: 65535}
	ack.Options.HasTimestamps = true
	b.ReportAllocs()
	for b.Loop() {
		p.a.Out.Write(data)
		p.now = p.now.Add(10 * time.Microsecond)
		if _, ok := p.a.Send(p.now, p.buf[:]); !ok {
			b.Fatal("nothing sent")
		}
		ack.Ack += uint32(mss)
		ack.Options.TSVal, ack.Options.TSEcr = p.a.ts.recent, p.a.ts.now(p.now)
		p.a.Receive(p.now, &ack, nil)
	}
}

// Taking one full data segment in order, with the user's read of it.
func BenchmarkReceiveData(b *testing.B) {
	p := newCouple(b)
	mss := p.a.snd.mss
	data := make([]byte, mss)
	sink := make([]byte, mss)
	h := wire.TCP{SrcPort: 1, DstPort: 2, Seq: uint32(p.b.rcv.nxt), Ack: uint32(p.b.snd.una), Flags: wire.ACK, Window: 65535}
	h.Options.HasTimestamps = true
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.now = p.now.Add(10 * time.Microsecond)
		h.Options.TSVal, h.Options.TSEcr = p.b.ts.recent, p.b.ts.now(p.now)
		if _, drop := p.b.Receive(p.now, &h, data); drop != wire.DropNone {
			b.Fatal(drop)
		}
		h.Seq += uint32(mss)
		p.b.In.Read(sink)
		if i%2 == 1 {
			if _, ok := p.b.Send(p.now, p.buf[:]); !ok {
				b.Fatal("no ACK")
			}
		}
	}
}

// The same without the copies: a bare acknowledgment that is nothing new.
func BenchmarkReceiveAck(b *testing.B) {
	p := newCouple(b)
	h := wire.TCP{SrcPort: 1, DstPort: 2, Seq: uint32(p.b.rcv.nxt), Ack: uint32(p.b.snd.una), Flags: wire.ACK, Window: 65535}
	h.Options.HasTimestamps = true
	h.Options.TSVal = p.b.ts.recent
	for b.Loop() {
		p.b.Receive(p.now, &h, nil)
	}
}

// What is asked of a connection that has nothing to say.
func BenchmarkSendNothing(b *testing.B) {
	p := newCouple(b)
	for b.Loop() {
		p.a.Send(p.now, p.buf[:])
	}
}
