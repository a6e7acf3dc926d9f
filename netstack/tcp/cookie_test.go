package tcp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

// cookieTest is a listener that has nothing but cookies.
type cookieTest struct {
	k    *Cookies
	isn  *ISNSource
	id   ID
	cfg  Config
	pool *stream.Pool
	now  clock.Time
}

func newCookieTest() *cookieTest {
	isn := NewISNSource([16]byte{1})
	return &cookieTest{
		k: NewCookies([16]byte{2}, isn), isn: isn, pool: stream.NewPool(0), now: clock.Time(time.Hour),
		id: testID("192.0.2.1:80", "198.51.100.2:4321"),
	}
}

func (t *cookieTest) syn(o wire.TCPOptions) *wire.TCP {
	return &wire.TCP{
		SrcPort: t.id.Remote.Port(), DstPort: t.id.Local.Port(), Seq: 0xfffffff0, Flags: wire.SYN, Window: 1000, Options: o,
	}
}

// answer returns the SYN-ACK for a SYN.
func (t *cookieTest) answer(syn *wire.TCP) (out wire.TCP) {
	t.k.Answer(t.now, t.id, &t.cfg, t.pool, 1480, syn, &out)
	return out
}

// ack returns what the peer answers to that.
func (t *cookieTest) ack(synAck *wire.TCP) *wire.TCP {
	h := &wire.TCP{
		SrcPort: t.id.Remote.Port(), DstPort: t.id.Local.Port(), Seq: synAck.Ack, Ack: synAck.Seq + 1, Flags: wire.ACK, Window: 500,
	}
	if synAck.Options.HasTimestamps {
		h.Options = wire.TCPOptions{HasTimestamps: true, TSVal: 78, TSEcr: synAck.Options.TSVal}
	}
	return h
}

// accept returns the connection that comes of an ACK.
func (t *cookieTest) accept(tt *testing.T, ack *wire.TCP) *Conn {
	k, ok := t.k.Check(t.now, t.id, ack)
	require.True(tt, ok)
	c := new(Conn)
	c.Init(t.id, &t.cfg, t.pool)
	action, drop := c.AcceptCookie(t.now, &k, 1480, ack, nil)
	require.Equal(tt, ActionNone, action)
	require.Equal(tt, wire.DropNone, drop)
	require.Equal(tt, StateEstablished, c.state)
	return c
}

// agreed is what a handshake has agreed on.
func agreed(c *Conn) string {
	return fmt.Sprint(c.sackOn, c.ts.on, c.ts.scaling, c.ts.offset, c.snd.scale, c.rcv.scale, c.snd.mss, c.rcv.mss,
		c.rcv.synWindow, c.rcv.irs, c.rcv.nxt, c.rcv.adv, c.snd.wnd)
}

// The SYN-ACK with a cookie is the one that a connection would send but for its
// number, and so is the connection that comes of it.
func TestCookieKeeps(t *testing.T) {
	for _, v := range []struct {
		name string
		o    wire.TCPOptions
	}{
		{"nothing", wire.TCPOptions{}},
		{"MSS", wire.TCPOptions{MSS: 1460}},
		{"SACK", wire.TCPOptions{MSS: 1440, SACKPermitted: true}},
		{"scale", wire.TCPOptions{MSS: 1460, HasWindowScale: true, WindowScale: 7}},
		{"scale 0", wire.TCPOptions{MSS: 536, HasWindowScale: true}},
		{"stamps", wire.TCPOptions{MSS: 1460, HasTimestamps: true, TSVal: 77}},
		{"stamps and SACK", wire.TCPOptions{MSS: 1460, HasTimestamps: true, TSVal: 77, SACKPermitted: true}},
		{"all", wire.TCPOptions{MSS: 1460, HasTimestamps: true, TSVal: 77, SACKPermitted: true, HasWindowScale: true, WindowScale: 10}},
	} {
		for name, cfg := range map[string]Config{
			"": {}, " small buffer": {RecvBuffer: 8 << 10}, " few options": {NoTimestamps: true, NoSACK: true}, " no scale": {NoWindowScale: true},
		} {
			t.Run(v.name+name, func(t *testing.T) {
				h := newCookieTest()
				h.cfg = cfg
				syn := h.syn(v.o)
				usual := new(Conn)
				usual.Init(h.id, &h.cfg, h.pool)
				usual.SetTimestampOffset(h.isn.TimestampOffset(h.id))
				usual.Accept(h.now, h.isn.Next(h.now, h.id), 1480, syn)
				b := make([]byte, 1480)
				seg, ok := usual.Send(h.now, b)
				require.True(t, ok)
				var want wire.TCP
				_, err := wire.ParseTCP(b[:seg.Len], &want)
				require.NoError(t, err)

				got := h.answer(syn)
				c := h.accept(t, h.ack(&got))
				usual.Receive(h.now, h.ack(&want), nil)
				require.Equal(t, agreed(usual), agreed(c))
				if c.ts.on {
					require.LessOrEqual(t, want.Options.TSVal-got.Options.TSVal, uint32(stampMask))
					require.Equal(t, uint32(78), c.ts.recent)
				}
				want.Seq, want.Options.TSVal = got.Seq, got.Options.TSVal
				require.Equal(t, want, got)
			})
		}
	}
}

// What a cookie cannot say exactly is less than the truth, and not far from it.
func TestCookieRounds(t *testing.T) {
	h := newCookieTest()
	for mss := 48; mss <= 65535; mss += 7 {
		got := h.answer(h.syn(wire.TCPOptions{MSS: uint16(mss)}))
		k, ok := h.k.Check(h.now, h.id, h.ack(&got))
		require.True(t, ok)
		require.LessOrEqual(t, int(k.syn.Options.MSS), mss)
		if mss >= 1220 && mss < 8940 {
			require.GreaterOrEqual(t, int(k.syn.Options.MSS), min(mss*85/100, 1460))
		}
	}
	for scale := uint8(0); scale <= 14; scale++ {
		for _, stamps := range []bool{false, true} {
			got := h.answer(h.syn(wire.TCPOptions{HasWindowScale: true, WindowScale: scale, HasTimestamps: stamps}))
			k, ok := h.k.Check(h.now, h.id, h.ack(&got))
			require.True(t, ok)
			require.True(t, k.syn.Options.HasWindowScale)
			require.LessOrEqual(t, k.syn.Options.WindowScale, scale)
			if stamps {
				require.Equal(t, scale, k.syn.Options.WindowScale)
			} else if scale <= 11 {
				require.LessOrEqual(t, scale-k.syn.Options.WindowScale, uint8(1))
			}
		}
	}
}

// ECN is agreed to where it can be remembered, and holds then.
func TestCookieECN(t *testing.T) {
	for _, stamps := range []bool{true, false} {
		h := newCookieTest()
		syn := h.syn(wire.TCPOptions{MSS: 1460, HasTimestamps: stamps})
		syn.Flags |= wire.ECE | wire.CWR
		got := h.answer(syn)
		require.Equal(t, stamps, got.Flags.Has(wire.ECE))
		require.False(t, got.Flags.Has(wire.CWR))
		require.Equal(t, stamps, h.accept(t, h.ack(&got)).ecn.on)
	}
}

// An ECN-setup SYN can be told from others by an echoed timestamp.
func TestCookieStamp(t *testing.T) {
	for val := uint32(0); val < 300; val++ {
		for bits := range uint32(stampMask + 1) {
			got := stamp(val, bits)
			require.Equal(t, bits, got&stampMask)
			require.Less(t, val-got, uint32(stampMask+1))
		}
	}
	h := newCookieTest()
	ts := timestamps{offset: h.k.isn.TimestampOffset(h.id)}
	o := wire.TCPOptions{TSEcr: stamp(ts.now(h.now), stampECN|stampSACK|3)}
	var k Cookie
	k.offset = ts.offset
	require.True(t, h.k.unstamp(h.now, &k, &o))
	require.Equal(t, wire.ECE|wire.CWR, k.syn.Flags)
	require.True(t, k.syn.Options.SACKPermitted)
	require.Equal(t, uint8(3), k.syn.Options.WindowScale)
	require.False(t, h.k.unstamp(h.now.Add(CookieLife+time.Second), &k, &o))
	require.False(t, h.k.unstamp(h.now.Add(-time.Second), &k, &o))
}

// A cookie is good for one slot at least and two at most, wherever it began.
func TestCookieLife(t *testing.T) {
	for _, o := range []wire.TCPOptions{{}, {HasTimestamps: true}} {
		for at := range 64 {
			h := newCookieTest()
			h.now = h.now.Add(time.Duration(at) * time.Second)
			got := h.answer(h.syn(o))
			ack := h.ack(&got)
			sent := h.now
			for age := time.Duration(0); age < 10*time.Minute; age += time.Second {
				h.now = sent.Add(age)
				_, ok := h.k.Check(h.now, h.id, ack)
				switch {
				case age < CookieLife/2:
					require.True(t, ok, "%v", age)
				case age > CookieLife:
					require.False(t, ok, "%v", age)
				}
			}
		}
	}
}

// Every bit of the acknowledgment's numbers, of the name and of the key matters.
func TestCookieForgery(t *testing.T) {
	h := newCookieTest()
	for _, o := range []wire.TCPOptions{{MSS: 1460, SACKPermitted: true}, fullSyn} {
		got := h.answer(h.syn(o))
		for bit := range 32 {
			ack := h.ack(&got)
			ack.Ack = (ack.Ack - 1 ^ 1<<bit) + 1
			_, ok := h.k.Check(h.now, h.id, ack)
			require.False(t, ok, "ack, bit %d", bit)
			ack = h.ack(&got)
			ack.Seq = (ack.Seq - 1 ^ 1<<bit) + 1
			_, ok = h.k.Check(h.now, h.id, ack)
			require.False(t, ok, "seq, bit %d", bit)
		}
		ack := h.ack(&got)
		_, ok := h.k.Check(h.now, testID("192.0.2.1:80", "198.51.100.2:4322"), ack)
		require.False(t, ok)
		_, ok = NewCookies([16]byte{3}, h.isn).Check(h.now, h.id, ack)
		require.False(t, ok)
		_, ok = h.k.Check(h.now, h.id, ack)
		require.True(t, ok, "or all of this shows nothing")
	}
}

var fullSyn = wire.TCPOptions{MSS: 1460, HasTimestamps: true, TSVal: 77, SACKPermitted: true, HasWindowScale: true, WindowScale: 7}

func BenchmarkCookie(b *testing.B) {
	h := newCookieTest()
	syn := h.syn(fullSyn)
	got := h.answer(syn)
	ack := h.ack(&got)
	b.Run("answer", func(b *testing.B) {
		for b.Loop() {
			h.k.Answer(h.now, h.id, &h.cfg, h.pool, 1480, syn, &got)
		}
	})
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			h.k.Check(h.now, h.id, ack)
		}
	})
}
