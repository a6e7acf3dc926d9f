package core_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// superLink is a link that segments, of the largest frames there are.
func superLink(_ *core.Config, l *core.InterfaceConfig) {
	l.Capabilities.TxChecksum, l.Capabilities.RxChecksum = true, true
	l.Capabilities.MaxSuperFrame = 65535
}

// cutLink is one that segments on the wire, where the peer gets single frames
// and verifies their checksums.
func cutLink(_ *core.Config, l *core.InterfaceConfig) {
	l.Capabilities.TxChecksum = true
	l.Capabilities.MaxSuperFrame = 65535
}

// A transfer over a link with super-frames: they are as large as the windows
// allow, and right whether they arrive whole or cut.
func TestSuperFrames(t *testing.T) {
	for name, tt := range map[string]struct {
		link option
		more []option
		v6   bool
		cut  bool
	}{
		"whole IPv4":        {link: superLink},
		"whole IPv6":        {link: superLink, v6: true},
		"whole, no link":    {link: superLink, more: []option{bareIP}},
		"cut IPv4":          {link: cutLink, cut: true},
		"cut IPv6":          {link: cutLink, v6: true, cut: true},
		"cut IPv6, no link": {link: cutLink, more: []option{bareIP}, v6: true, cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t, append(tt.more, tt.link)...)
			to := b4
			if tt.v6 {
				to = b6
			}
			c, s, _, _ := connected(t, w, a, b, to)
			largest := 0
			data := []byte(strings.Repeat("0123456789abcdef-", 250_000))
			var got []byte
			buf, piece, sink := make([]byte, 14+65535), make([]byte, 2000), make([]byte, 1<<20)
			exchange := func(h *host) {
				for {
					n, off := h.eth.Send(w.now, buf)
					if n == 0 {
						return
					}
					largest = max(largest, n)
					if !tt.cut || off.GSOType == phy.GSONone {
						h.peer.eth.Receive(w.now, phy.Frame{Data: buf[:n], Offload: off})
						continue
					}
					link := mediumOf(h)
					var seg phy.Segments
					require.NoError(t, seg.Cut(link, buf[:n], off))
					require.LessOrEqual(t, seg.MaxLen(), link.HeaderLen()+testMTU)
					for n := seg.Next(piece); n > 0; n = seg.Next(piece) {
						h.peer.eth.Receive(w.now, phy.Frame{Data: piece[:n]})
					}
				}
			}
			for written := 0; len(got) < len(data); {
				n, _ := c.Write(data[written:])
				written += n
				w.now = w.now.Add(1e6)
				a.c.BeginTurn(w.now)
				b.c.BeginTurn(w.now)
				exchange(a)
				exchange(b)
				a.c.EndTurn(w.now)
				b.c.EndTurn(w.now)
				m, _ := s.Read(sink)
				got = append(got, sink[:m]...)
				require.Less(t, w.now.Sub(epoch).Seconds(), 10.0, "%d of %d bytes", len(got), len(data))
			}
			require.True(t, bytes.Equal(data, got))
			require.Greater(t, largest, 60_000)
			require.LessOrEqual(t, largest, 14+65535)
			require.Zero(t, a.drops(wire.DropBadChecksum)+b.drops(wire.DropBadChecksum))
			require.EqualValues(t, len(data), c.Conn().Info().BytesSent, "nothing was lost")
		})
	}
}

// A super-frame whose checksum nobody vouches for is verified like any other:
// all 65535 bytes of it.
func TestSuperFrameChecksum(t *testing.T) {
	w, a, b := pair(t)
	c, s, _, _ := connected(t, w, a, b, b4)
	head := wire.TCP{
		SrcPort: c.LocalAddr().Port(), DstPort: 80, Flags: wire.ACK | wire.PSH, Window: 5000,
		Seq: 0, Ack: 0,
	}
	// What the client would send next tells the numbers.
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	a.lose = func(f []byte) bool {
		if _, err := wire.ParseTCP(f[14+20:], &head); err != nil {
			t.Fatal(err)
		}
		return true
	}
	w.run()
	a.lose = func([]byte) bool { return true }
	head.Checksum = 0
	data := strings.Repeat("y", 65535-20-head.HeaderLen())
	packet := tcpPacket(a4, b4, head, data)
	require.Len(t, packet, 65535)
	frame := frameVia(hwB, packet)
	offload := phy.Offload{GSOType: phy.GSOTCPv4, SegmentSize: 1448}

	bad := append([]byte(nil), frame...)
	bad[len(bad)-1] ^= 1
	b.inbox = append(b.inbox, phy.Frame{Data: bad, Offload: offload})
	w.run()
	require.Equal(t, 1, b.drops(wire.DropBadChecksum))
	require.False(t, s.Readable())

	b.inbox = append(b.inbox, phy.Frame{Data: frame, Offload: offload})
	w.run()
	require.Equal(t, 1, b.drops(wire.DropBadChecksum))
	got, _ := readAll(s)
	require.True(t, data == got)

	w.run() // the window opens

	// Where the link below has verified it, or left it out, nobody looks.
	first := head.Seq
	for _, off := range []phy.Offload{{ChecksumValid: true}, {NeedsChecksum: true, ChecksumStart: 34, ChecksumOffset: 16}} {
		before := s.Conn().Info().BytesReceived
		head.Seq = first + uint32(before)
		frame = frameVia(hwB, tcpPacket(a4, b4, head, data[:20_000]))
		binary.BigEndian.PutUint16(frame[14+20+wire.TCPChecksumOffset:], 0xbad)
		off.GSOType, off.SegmentSize = phy.GSOTCPv4, 1448
		b.inbox = append(b.inbox, phy.Frame{Data: frame, Offload: off})
		w.run()
		require.Equal(t, 1, b.drops(wire.DropBadChecksum))
		require.Greater(t, s.Conn().Info().BytesReceived, before)
		_, _ = readAll(s)
		w.run()
	}
}

// Without a device that segments, and towards a peer that takes less than the
// link would, every segment is one.
func TestNoSuperFrames(t *testing.T) {
	for name, opts := range map[string][]option{
		"no offload": nil,
		"checksums":  {intactLink},
		"no checksums": {func(_ *core.Config, l *core.InterfaceConfig) {
			l.Capabilities.MaxSuperFrame = 65535 // which comes with TxChecksum, or does not count
		}},
	} {
		w, a, b := pair(t, append(opts, func(cfg *core.Config, _ *core.InterfaceConfig) { cfg.TCP.MaxMSS = 500 })...)
		c, _, _, _ := connected(t, w, a, b, b4)
		_, err := c.Write(make([]byte, 5000))
		require.NoError(t, err)
		a.c.BeginTurn(w.now)
		buf := make([]byte, 14+65535)
		for {
			n, off := a.eth.Send(w.now, buf)
			if n == 0 {
				break
			}
			require.LessOrEqual(t, n, 14+20+20+500, name)
			require.Equal(t, phy.GSONone, off.GSOType)
		}
		a.c.EndTurn(w.now)
		require.Equal(t, uint64(10), c.Conn().Info().SegmentsSent-2, "%s: the initial window", name)
		require.Equal(t, tcp.StateEstablished, c.Conn().State())
	}
}

// mediumOf returns the medium of the host's link.
func mediumOf(h *host) phy.Medium {
	if h.eth.HardwareAddr() == (wire.HardwareAddr{}) {
		return phy.MediumIP
	}
	return phy.MediumEthernet
}
