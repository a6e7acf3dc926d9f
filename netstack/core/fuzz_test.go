package core_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/packet"
	"smolnet/netstack/wire"
)

// FuzzReceive: whatever arrives, in whatever order, nothing panics, everything
// stays bounded, the core falls silent, and its memory comes back.
//
// The input is frames, each behind its length and a byte that says how to treat
// it: fix checksums, let time pass.
func FuzzReceive(f *testing.F) {
	seed := func(frames ...[]byte) {
		var in []byte
		for _, b := range frames {
			in = append(in, byte(len(b)>>8), byte(len(b)), 1)
			in = append(in, b...)
		}
		f.Add(in)
	}
	to := func(p []byte) []byte { return frameVia(hwA, p) }
	seed(to(echoRequest(x4, a4, "x")), to(echoRequest(x6, a6, "x")), to(udp4(x4, a4, 5, 53, "x")), to(udp4(x4, a4, 5, 6, "x")))
	seed(to(syn(x4, a4, 80)), to(tcpPacket(x4, a4, wire.TCP{SrcPort: 999, DstPort: 80, Seq: 2, Flags: wire.ACK}, "x")))
	seed(arpFrame(hwA, wire.ARP{Op: wire.ARPRequest, SenderHW: hwX, SenderIP: x4, TargetIP: a4}))
	seed(to(ndp(x6, a6, 255, solicitation(a6))), to(icmpPacket(x4, a4, 64, port4, udp4(a4, x4, 53, 5, "x"))))
	seed(to(chain(x6, a6, [][]byte{padding}, []wire.Protocol{wire.ProtoHopByHop}, wire.ProtoUDP, udpSegment(x6, a6, 5, 53, "x"))))
	f.Fuzz(func(t *testing.T, in []byte) {
		w, h := alone(t, func(c *core.Config, _ *core.InterfaceConfig) {
			c.Limits.Outbox, c.Limits.Neighbors, c.Limits.HalfOpen = 32, 16, 8
		})
		h.listen(w.now, core.ListenOptions{Local: port(80)})
		udp, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: port(53)})
		require.NoError(t, err)
		conn, err := h.c.OpenUDP(w.now, core.UDPOptions{Remote: netip.AddrPortFrom(x4, 5)})
		require.NoError(t, err)
		ping, err := h.c.OpenPing(w.now, core.PingOptions{Local: a4})
		require.NoError(t, err)
		c, err := h.c.DialTCP(w.now, core.DialOptions{Remote: netip.AddrPortFrom(x4, 80)})
		require.NoError(t, err)
		_ = conn.WriteTo([]byte("x"), packet.Meta{})
		_ = ping.WriteTo([]byte("x"), packet.Meta{Remote: netip.AddrPortFrom(x4, 5)})
		for len(in) >= 3 {
			n := min(int(binary.BigEndian.Uint16(in)), len(in)-3)
			how, frame := in[2], append([]byte(nil), in[3:3+n]...)
			in = in[3+n:]
			if how&1 != 0 {
				fixChecksums(frame)
			}
			h.eth.Receive(w.now, phyFrame(frame))
			if how&2 != 0 {
				w.run()
			}
			if how&4 != 0 {
				w.pass(time.Second)
			}
		}
		w.run()
		st := h.c.Stats()
		require.LessOrEqual(t, st.HalfOpen, 8)
		require.LessOrEqual(t, st.Neighbors, 16)
		c.Abort()
		udp.Close()
		conn.Close()
		ping.Close()
		h.c.Close(w.now)
		w.pass(time.Minute)
		require.Zero(t, h.c.Stats().Connections)
	})
}

// fixChecksums makes random changes get past the checksums.
func fixChecksums(frame []byte) {
	if len(frame) < 15 {
		return
	}
	b := frame[14:]
	var src, dst netip.Addr
	var proto wire.Protocol
	var upper []byte
	switch {
	case b[0]>>4 == 4 && len(b) >= 20 && int(b[0]&15)*4 >= 20 && int(b[0]&15)*4 <= len(b):
		n := int(b[0]&15) * 4
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], ^wire.Sum(b[:n], 0))
		h, payload, err := wire.ParseIPv4(b)
		if err != nil {
			return
		}
		src, dst, proto, upper = h.Src, h.Dst, h.Protocol, payload
	case b[0]>>4 == 6:
		h, payload, err := wire.ParseIPv6(b)
		if err != nil {
			return
		}
		c, payload, err := wire.WalkIPv6(&h, payload)
		if err != nil {
			return
		}
		src, dst, proto, upper = h.Src, h.Dst, c.Protocol, payload
	}
	switch {
	case proto == wire.ProtoICMPv4 && len(upper) >= 8 && src.Is4(), proto == wire.ProtoICMPv6 && len(upper) >= 8 && src.Is6():
		sumICMP(src, dst, upper)
	case proto == wire.ProtoTCP && len(upper) >= 20:
		wire.SetChecksum(src, dst, proto, upper, wire.TCPChecksumOffset)
	case proto == wire.ProtoUDP && len(upper) >= 8:
		if h, _, err := wire.ParseUDP(upper); err == nil {
			wire.SetChecksum(src, dst, proto, upper[:h.Len], wire.UDPChecksumOffset)
		}
	}
}
