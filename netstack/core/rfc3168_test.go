package core_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// asksECN has a host ask for ECN in what it dials.
func asksECN(c *core.Config, _ *core.InterfaceConfig) { c.TCP.ECN = tcp.ECNAsk }

// A sentTCP is what a test looks at of a packet with a segment.
type sentTCP struct {
	class, ttl uint8
	ecn        wire.ECN
	seg        wire.TCP
	n          int
}

// readTCP reads a packet with a TCP segment, whose checksums must be right.
func readTCP(t testing.TB, b []byte) (p sentTCP, ok bool) {
	t.Helper()
	var src, dst netip.Addr
	var segment []byte
	if h, payload, err := wire.ParseIPv4(b); err == nil { // which verifies its checksum
		if h.Protocol != wire.ProtoTCP {
			return p, false
		}
		p.class, p.ttl, src, dst, segment = h.TOS, h.TTL, h.Src, h.Dst, payload
	} else if h, payload, err := wire.ParseIPv6(b); err == nil {
		if h.NextHeader != wire.ProtoTCP {
			return p, false
		}
		p.class, p.ttl, src, dst, segment = h.TrafficClass, h.HopLimit, h.Src, h.Dst, payload
	} else {
		require.Fail(t, "no IP packet")
	}
	require.True(t, wire.VerifyChecksum(src, dst, wire.ProtoTCP, segment))
	payload, err := wire.ParseTCP(segment, &p.seg)
	require.NoError(t, err)
	p.ecn, p.class, p.n = wire.ECNOf(p.class), p.class&^wire.ECNMask, len(payload)
	return p, true
}

// mark is what a router does to a packet that may be marked: RFC 3168 5.
func mark(b []byte) {
	if b[0]>>4 == 6 {
		b[1] |= wire.ECNMask << 4
		return
	}
	b[1] |= wire.ECNMask
	b[10], b[11] = 0, 0
	sum := ^wire.Sum(b[:wire.IPv4Len], 0)
	b[10], b[11] = byte(sum>>8), byte(sum)
}

// RFC 3168 5: senders use ECT(0). RFC 3168 5 and 6.1.4: in the IP headers of both versions new data has ECT(0), and nothing
// else has; traffic class and hop limit are what they are without. A mark in the IP header
// gets to the connection: it is echoed, and answered.
func TestECN(t *testing.T) {
	for _, to := range []netip.Addr{b4, b6} {
		t.Run(to.String(), func(t *testing.T) {
			w, a, b := pair(t, bareIP, asksECN)
			var seen []sentTCP
			marks := 0
			watch := func(frame []byte) bool {
				p, ok := readTCP(t, frame)
				if !ok {
					return false
				}
				seen = append(seen, p)
				if p.ecn == wire.ECT0 && marks > 0 {
					marks--
					mark(frame)
				}
				return false
			}
			a.lose, b.lose = watch, watch
			c, s, _, _ := connected(t, w, a, b, to)
			require.True(t, c.Conn().Info().ECN)
			require.True(t, s.Conn().Info().ECN)
			const setup = wire.ECE | wire.CWR
			require.Equal(t, wire.SYN|setup, seen[0].seg.Flags)
			require.Equal(t, wire.SYN|wire.ACK|wire.ECE, seen[1].seg.Flags)

			class := uint8(0)
			write := func(n, marked int) {
				marks, seen = marked, seen[:0]
				_, err := c.Write(make([]byte, n))
				require.NoError(t, err)
				w.run()
				for _, p := range seen {
					want := wire.NotECT
					if p.n > 0 {
						want = wire.ECT0
						require.Equal(t, class, p.class)
					}
					require.Equal(t, want, p.ecn)
					require.EqualValues(t, 64, p.ttl)
				}
				readAll(s)
			}
			write(5000, 0)
			class = 0x2e << 2
			c.SetTrafficClass(class | 3)
			write(9000, 0)
			require.Zero(t, s.Conn().Info().MarksReceived)
			write(9000, 2)
			require.EqualValues(t, 2, s.Conn().Info().MarksReceived)
			i := c.Conn().Info()
			require.EqualValues(t, 1, i.MarkReductions)
			require.Positive(t, i.MarksEchoed)
			write(9000, 0)
			require.True(t, seen[0].seg.Flags.Has(wire.CWR))
			require.False(t, seen[1].seg.Flags.Has(wire.CWR))
			require.False(t, seen[len(seen)-1].seg.Flags.Has(wire.ECE))
			require.EqualValues(t, 1, c.Conn().Info().MarkReductions)
			require.Zero(t, c.Conn().Info().Retransmits)
		})
	}
}

// A listener without ECN answers a SYN that asks for it, also for RFC 9768's form of it,
// as one that does not: with neither a reset nor silence.
func TestECNSynWithoutECN(t *testing.T) {
	off := func(c *core.Config, _ *core.InterfaceConfig) { c.TCP.ECN = tcp.ECNOff }
	for _, flags := range []wire.TCPFlags{0, wire.ECE | wire.CWR, wire.AE | wire.ECE | wire.CWR} {
		w, a := alone(t, bareIP, off)
		a.listen(w.now, core.ListenOptions{Local: port(80)})
		b := make([]byte, wire.IPv4Len+wire.TCPLen)
		ip := wire.IPv4{TotalLen: uint16(len(b)), TTL: 64, Protocol: wire.ProtoTCP, Src: b4, Dst: a4}
		ip.Put(b)
		syn := wire.TCP{SrcPort: 999, DstPort: 80, Seq: 5, Flags: wire.SYN | flags, Window: 1000}
		syn.Put(b[wire.IPv4Len:])
		wire.SetChecksum(b4, a4, wire.ProtoTCP, b[wire.IPv4Len:], wire.TCPChecksumOffset)
		w.in(a, b)
		out := a.take()
		require.Len(t, out, 1)
		p, ok := readTCP(t, out[0])
		require.True(t, ok)
		require.Equal(t, wire.SYN|wire.ACK, p.seg.Flags)
		require.Equal(t, wire.NotECT, p.ecn)
	}
}
