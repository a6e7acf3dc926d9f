package tcp_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// A cookie is for one client and one server, fresh for an hour at most and good for
// two.
func TestFastCookies(t *testing.T) {
	k := tcp.NewFastKeys([16]byte{1})
	a, b, x := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	const made = clock.Time(10 * time.Hour)
	c := k.Make(made, b, a)
	o := Options{HasFastOpen: true, FastOpenLen: c.Len, FastOpenCookie: c.Bytes}
	check := func(k *tcp.FastKeys, server, client netip.Addr, after time.Duration) [2]bool {
		good, fresh := k.Check(made.Add(after), server, client, &o)
		return [2]bool{good, fresh}
	}
	require.Equal(t, [2]bool{true, true}, check(k, b, a, 0))
	require.Equal(t, [2]bool{true, true}, check(k, b, a, 59*time.Minute))
	require.Equal(t, [2]bool{true, false}, check(k, b, a, 90*time.Minute))
	require.Equal(t, [2]bool{}, check(k, b, a, 3*time.Hour))
	require.Equal(t, [2]bool{}, check(k, b, x, 0))
	require.Equal(t, [2]bool{}, check(k, a, b, 0))
	require.Equal(t, [2]bool{}, check(tcp.NewFastKeys([16]byte{2}), b, a, 0))
	for bit := range 64 {
		o.FastOpenCookie[bit/8] ^= 1 << (bit % 8)
		require.Equal(t, [2]bool{}, check(k, b, a, 0))
		o.FastOpenCookie[bit/8] ^= 1 << (bit % 8)
	}
	o.FastOpenLen = 16
	require.Equal(t, [2]bool{}, check(k, b, a, 0))
}

// fastConnect opens with a cookie and text.
func (h *harness) fastConnect(mss uint16, text string) {
	h.init()
	h.write(text)
	h.c.ConnectFast(h.now, tcp.Seq(h.iss), h.mtu, tcp.FastOpen{Cookie: tcp.FastCookie{Len: 8}, MSS: mss})
}

// fastSyn takes the SYN of that from the connection: laws that hold for others do
// not hold for it.
func (h *harness) fastSyn() (syn TCP, text string) {
	h.t.Helper()
	seg, ok := h.c.Send(h.now, h.buf)
	require.True(h.t, ok)
	payload, err := wire.ParseTCP(h.buf[:seg.Len], &syn)
	require.NoError(h.t, err)
	h.own = syn.Options
	return syn, string(payload)
}

// RFC 7413 4.1.3: the text is no longer than the MSS that is known, options counted,
// or the default, or the path.
func TestFastOpenTextFits(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, c := range []struct {
			mss  uint16
			mtu  int
			want int
		}{{0, ethMTU, 536}, {1400, ethMTU, 1400}, {1460, 1000, 980}, {9000, ethMTU, 1460}} {
			h := *h
			h.mtu = c.mtu
			h.fastConnect(c.mss, pattern(5000))
			syn, text := h.fastSyn()
			require.Equal(t, SYN, syn.Flags)
			require.True(t, syn.Options.HasFastOpen)
			require.Equal(t, c.want, len(text)+syn.HeaderLen()-20)
			require.Equal(t, pattern(5000)[:len(text)], text)
		}
	})
}

// The peer takes all, some or none of the text.
func TestFastOpenPartly(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, took := range []uint32{0, 1, 100, 300} {
			h := *h
			h.out, h.log = nil, nil
			h.fastConnect(1460, pattern(300))
			_, text := h.fastSyn()
			require.Len(t, text, 300)
			h.in(TCP{Flags: SYN | ACK, Ack: 1 + took, Options: Options{MSS: 1460}})
			h.wantState(tcp.StateEstablished)
			if took == 300 {
				h.want(TCP{Flags: ACK, Seq: 301, Ack: 1})
			} else {
				h.want(TCP{Flags: ACK | PSH, Seq: 1 + took, Ack: 1}, pattern(300)[took:])
			}
			r, ok := h.c.FastResult()
			require.True(t, ok)
			require.Equal(t, tcp.FastResult{FastOpen: tcp.FastOpen{MSS: 1460}, Sent: 300, Acked: int(took)}, r)
			_, ok = h.c.FastResult()
			require.False(t, ok)
			h.in(TCP{Flags: ACK, Seq: 1, Ack: 301})
			require.Zero(t, h.c.Out.Len())
		}
	})
}

// RFC 7413 4.1.3.1: repeated, the SYN is a usual one; what comes of the first one is
// good all the same.
func TestFastOpenRepeated(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.fastConnect(1460, "request")
		h.fastSyn()
		h.now = h.c.Deadline()
		syn, text := h.fastSyn()
		require.Empty(t, text)
		require.False(t, syn.Options.HasFastOpen)
		h.in(TCP{Flags: SYN | ACK, Ack: 8, Options: Options{MSS: 1460}})
		h.want(TCP{Flags: ACK, Seq: 8, Ack: 1})
		r, _ := h.c.FastResult()
		require.True(t, r.Lost)
		require.Equal(t, 7, r.Acked)
	})
}

// Both sides open at once: the text goes after the handshake.
func TestFastOpenSimultaneous(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.fastConnect(1460, "request")
		h.fastSyn()
		h.in(TCP{Flags: SYN, Options: Options{MSS: 1460}})
		h.wantState(tcp.StateSynReceived)
		h.want(TCP{Flags: SYN | ACK, Ack: 1})
		h.in(TCP{Flags: SYN | ACK, Ack: 1, Options: Options{MSS: 1460}})
		h.wantState(tcp.StateEstablished)
		h.want(TCP{Flags: ACK | PSH, Seq: 1, Ack: 1}, "request")
	})
}
