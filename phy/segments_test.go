package phy_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/wire"
	"smolnet/phy"
)

// A super is what a super-frame is made of.
type super struct {
	medium  phy.Medium
	v6, udp bool
	options int // bytes in the IPv4 header
	flags   wire.TCPFlags
	stamps  bool
	size    int
	data    []byte
}

// addrs returns source and destination.
func (s super) addrs() (src, dst netip.Addr) {
	if s.v6 {
		return netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	}
	return netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
}

// frame makes the super-frame as a stack sends it: with the pseudo-header's sum
// where the checksum belongs.
func (s super) frame() ([]byte, phy.Offload) {
	src, dst := s.addrs()
	link := s.medium.HeaderLen()
	b := make([]byte, link+wire.IPv6Len+wire.IPv4MaxLen+wire.TCPMaxLen+len(s.data))
	up := link + wire.IPv4Len + s.options
	gso, proto, field := phy.GSOTCPv4, wire.ProtoTCP, uint16(wire.TCPChecksumOffset)
	if s.v6 {
		up, gso = link+wire.IPv6Len, phy.GSOTCPv6
	}
	var head int
	if s.udp {
		gso, proto, field = phy.GSOUDP, wire.ProtoUDP, wire.UDPChecksumOffset
		h := wire.UDP{SrcPort: 7, DstPort: 9, Len: uint16(wire.UDPLen + len(s.data))}
		h.Put(b[up:])
		head = wire.UDPLen
	} else {
		h := wire.TCP{SrcPort: 7, DstPort: 9, Seq: 0xffff_fe00, Ack: 5, Flags: s.flags, Window: 77}
		h.Options = wire.TCPOptions{HasTimestamps: s.stamps, TSVal: 3, TSEcr: 4}
		head = h.Put(b[up:])
	}
	n := up + head + copy(b[up+head:], s.data)
	binary.BigEndian.PutUint16(b[up+int(field):], wire.PseudoSum(src, dst, proto, n-up))
	if s.v6 {
		h := wire.IPv6{TrafficClass: 8, FlowLabel: 99, PayloadLen: uint16(n - up), NextHeader: proto, HopLimit: 64, Src: src, Dst: dst}
		h.Put(b[link:])
	} else {
		for i := range s.options {
			b[link+wire.IPv4Len+i] = 1
		}
		h := wire.IPv4{HeaderLen: uint8(up - link), TotalLen: uint16(n - link), ID: 0xffff, DontFrag: true, TTL: 64, Protocol: proto, Src: src, Dst: dst}
		h.Put(b[link:])
	}
	return b[:n], phy.Offload{
		NeedsChecksum: true, ChecksumStart: uint16(up), ChecksumOffset: field,
		GSOType: gso, HeaderLen: uint16(up + head), SegmentSize: uint16(s.size),
	}
}

// checkPieces cuts the super-frame and holds the pieces against what they have
// to be.
func (s super) checkPieces(t *testing.T, frame []byte, off phy.Offload) {
	t.Helper()
	var seg phy.Segments
	require.NoError(t, seg.Cut(s.medium, frame, off))
	before := bytes.Clone(frame)
	room := make([]byte, seg.MaxLen())
	link := s.medium.HeaderLen()
	var joined []byte
	count := 0
	for seg.More() {
		require.Zero(t, seg.Next(room[:seg.MaxLen()-1]), "too little room")
		n := seg.Next(room)
		require.Positive(t, n)
		require.Equal(t, frame[:link], room[:link])
		body := s.checkIP(t, room[link:n], count)
		at := len(joined)
		joined = append(joined, s.checkUpper(t, body, at, count)...)
		if len(joined) < len(s.data) {
			require.Equal(t, s.size, len(joined)-at)
		}
		count++
	}
	require.Zero(t, seg.Next(room))
	require.Equal(t, max((len(s.data)+s.size-1)/s.size, 1), count)
	require.True(t, bytes.Equal(s.data, joined), "the pieces joined")
	require.True(t, bytes.Equal(before, frame), "the super-frame is as it was")
}

// checkIP returns the payload of piece number i.
func (s super) checkIP(t *testing.T, b []byte, i int) []byte {
	t.Helper()
	src, dst := s.addrs()
	if s.v6 {
		h, body, err := wire.ParseIPv6(b)
		require.NoError(t, err)
		require.Equal(t, wire.IPv6{
			TrafficClass: 8, FlowLabel: 99, PayloadLen: uint16(len(b) - wire.IPv6Len),
			NextHeader: h.NextHeader, HopLimit: 64, Src: src, Dst: dst,
		}, h)
		return body
	}
	h, body, err := wire.ParseIPv4(b) // its checksum, too
	require.NoError(t, err)
	require.Equal(t, wire.IPv4{
		HeaderLen: uint8(wire.IPv4Len + s.options), TotalLen: uint16(len(b)), ID: uint16(0xffff + i), DontFrag: true,
		TTL: 64, Protocol: h.Protocol, Checksum: h.Checksum, Src: src, Dst: dst,
	}, h)
	return body
}

// checkUpper returns the data of piece number i, which begins at the given place.
func (s super) checkUpper(t *testing.T, b []byte, at, i int) []byte {
	t.Helper()
	src, dst := s.addrs()
	if s.udp {
		require.True(t, wire.VerifyChecksum(src, dst, wire.ProtoUDP, b))
		h, data, err := wire.ParseUDP(b)
		require.NoError(t, err)
		require.Equal(t, wire.UDP{SrcPort: 7, DstPort: 9, Len: uint16(len(b)), Checksum: h.Checksum}, h)
		require.NotZero(t, h.Checksum)
		return data
	}
	require.True(t, wire.VerifyChecksum(src, dst, wire.ProtoTCP, b))
	var h wire.TCP
	data, err := wire.ParseTCP(b, &h)
	require.NoError(t, err)
	flags := s.flags
	if i > 0 {
		flags &^= wire.CWR
	}
	if at+len(data) < len(s.data) {
		flags &^= wire.FIN | wire.PSH
	}
	require.Equal(t, wire.TCP{
		SrcPort: 7, DstPort: 9, Seq: 0xffff_fe00 + uint32(at), Ack: 5, Flags: flags, Window: 77, Checksum: h.Checksum,
		Options: wire.TCPOptions{HasTimestamps: s.stamps, TSVal: h.Options.TSVal, TSEcr: h.Options.TSEcr},
	}, h)
	return data
}

func TestSegments(t *testing.T) {
	data := make([]byte, 65_000)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	for _, s := range []super{
		{data: data, size: 1460, flags: wire.ACK | wire.PSH},
		{data: data, size: 1448, flags: wire.ACK | wire.PSH | wire.FIN | wire.CWR | wire.ECE, stamps: true},
		{data: data[:2000], size: 1, flags: wire.ACK | wire.CWR},
		{data: data[:2920], size: 1460, flags: wire.ACK | wire.FIN, medium: phy.MediumIP},
		{data: data[:2921], size: 1460, flags: wire.ACK | wire.PSH, options: 8},
		{data: data[:100], size: 1460, flags: wire.ACK | wire.PSH | wire.CWR},
		{data: nil, size: 1460, flags: wire.ACK},
		{data: data, size: 1440, flags: wire.ACK | wire.PSH, v6: true},
		{data: data[:5000], size: 999, flags: wire.ACK | wire.FIN, v6: true, medium: phy.MediumIP, stamps: true},
		{data: data, size: 1472, udp: true},
		{data: data[:1473], size: 1472, udp: true, medium: phy.MediumIP},
		{data: data, size: 1452, udp: true, v6: true},
		{data: nil, size: 10, udp: true, v6: true, medium: phy.MediumIP},
	} {
		frame, off := s.frame()
		s.checkPieces(t, frame, off)
		s.checkPieces(t, append(frame, 0, 0, 0), off) // link padding

		// The same as received, with its checksum.
		up := int(off.ChecksumStart)
		src, dst := s.addrs()
		proto := wire.ProtoTCP
		if s.udp {
			proto = wire.ProtoUDP
		}
		wire.SetChecksum(src, dst, proto, frame[up:], int(off.ChecksumOffset))
		off = phy.Offload{GSOType: off.GSOType, SegmentSize: off.SegmentSize}
		s.checkPieces(t, frame, off)
		frame[len(frame)-1] ^= 1
		var seg phy.Segments
		require.ErrorIs(t, seg.Cut(s.medium, frame, off), wire.DropBadChecksum, "is not made good by cutting")
		require.False(t, seg.More())
		off.ChecksumValid = true
		require.NoError(t, seg.Cut(s.medium, frame, off))
	}
}

// What cannot be cut is refused, and a Segments that refused has no frames.
func TestSegmentsRefused(t *testing.T) {
	tcp4 := super{data: make([]byte, 3000), size: 1000, flags: wire.ACK, medium: phy.MediumIP}
	tcp6 := tcp4
	tcp6.v6 = true
	udp4 := tcp4
	udp4.udp = true
	for name, tt := range map[string]struct {
		of   super
		edit func(b []byte, off *phy.Offload) []byte
	}{
		"nothing":               {tcp4, func([]byte, *phy.Offload) []byte { return nil }},
		"no segment size":       {tcp4, func(b []byte, off *phy.Offload) []byte { off.SegmentSize = 0; return b }},
		"no super-frame":        {tcp4, func(b []byte, off *phy.Offload) []byte { off.GSOType = phy.GSONone; return b }},
		"TCP over IPv6":         {tcp4, func(b []byte, off *phy.Offload) []byte { off.GSOType = phy.GSOTCPv6; return b }},
		"TCP over IPv4":         {tcp6, func(b []byte, off *phy.Offload) []byte { off.GSOType = phy.GSOTCPv4; return b }},
		"UDP":                   {tcp4, func(b []byte, off *phy.Offload) []byte { off.GSOType = phy.GSOUDP; return b }},
		"TCP":                   {udp4, func(b []byte, off *phy.Offload) []byte { off.GSOType = phy.GSOTCPv4; return b }},
		"SYN":                   {super{data: tcp4.data, size: 1000, flags: wire.SYN, medium: phy.MediumIP}, nil},
		"RST":                   {super{data: tcp4.data, size: 1000, flags: wire.RST, medium: phy.MediumIP}, nil},
		"cut off":               {tcp4, func(b []byte, _ *phy.Offload) []byte { return b[:2000] }},
		"IPv6 header cut off":   {tcp6, func(b []byte, _ *phy.Offload) []byte { return b[:39] }},
		"version":               {tcp4, func(b []byte, _ *phy.Offload) []byte { b[0] = 0x55; return b }},
		"IPv4 header":           {tcp4, func(b []byte, _ *phy.Offload) []byte { b[8]++; return b }},
		"TCP header too short":  {tcp4, func(b []byte, _ *phy.Offload) []byte { b[32] = 4 << 4; return b }},
		"TCP header too long":   {super{size: 1000, flags: wire.ACK, medium: phy.MediumIP}, func(b []byte, _ *phy.Offload) []byte { b[32] = 15 << 4; return b }},
		"UDP length":            {udp4, func(b []byte, _ *phy.Offload) []byte { b[25]--; return b }},
		"extension header":      {tcp6, func(b []byte, _ *phy.Offload) []byte { b[6] = byte(wire.ProtoDestOpts); return b }},
		"IPv6 payload too long": {tcp6, func(b []byte, _ *phy.Offload) []byte { b[5]++; return b }},
	} {
		b, off := tt.of.frame()
		if tt.edit != nil {
			b = tt.edit(b, &off)
		}
		var seg phy.Segments
		good, goodOff := tcp4.frame()
		require.NoError(t, seg.Cut(tcp4.medium, good, goodOff))
		require.Error(t, seg.Cut(tt.of.medium, b, off), name)
		require.False(t, seg.More(), name)
		require.Zero(t, seg.Next(make([]byte, 2000)), name)
	}
}

func TestSegmentsAllocs(t *testing.T) {
	s := super{data: make([]byte, 60_000), size: 1448, flags: wire.ACK, stamps: true}
	frame, off := s.frame()
	room := make([]byte, 1600)
	var seg phy.Segments
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if seg.Cut(s.medium, frame, off) != nil {
			t.Fatal("not cut")
		}
		for seg.Next(room) > 0 {
		}
	}))
}

// FuzzSegments: well-formed super-frames come out whole; of others at least
// nothing breaks, and the pieces end.
func FuzzSegments(f *testing.F) {
	f.Add([]byte("hello, hello, hello"), uint16(5), uint16(0x18), uint8(0), []byte{1, 2, 3})
	f.Add(make([]byte, 3000), uint16(1448), uint16(0x90), uint8(7), []byte{20, 9})
	f.Fuzz(func(t *testing.T, data []byte, size, flags uint16, kind uint8, damage []byte) {
		s := super{
			data: data[:min(len(data), 60_000)], size: max(int(size), 1), medium: phy.Medium(kind & 1), v6: kind&2 != 0, udp: kind&4 != 0,
			stamps: kind&8 != 0, options: int(kind>>4) % 11 * 4, flags: wire.TCPFlags(flags) &^ (wire.SYN | wire.RST) & 0xff,
		}
		if s.v6 {
			s.options = 0
		}
		frame, off := s.frame()
		s.checkPieces(t, frame, off)
		for i := 0; i+1 < len(damage); i += 2 {
			frame[int(damage[i])%min(len(frame), 80)] ^= damage[i+1]
		}
		var seg phy.Segments
		if seg.Cut(s.medium, frame, off) != nil {
			return
		}
		room := make([]byte, seg.MaxLen())
		n := 0
		for seg.Next(room) > 0 {
			n++
		}
		require.LessOrEqual(t, n, len(frame))
	})
}

// A fault injector loses and spoils the frames that are on the wire, also of a
// sender that leaves the cutting to the link.
func TestFaultCutsSuperFrames(t *testing.T) {
	a, b := pipe(t, phy.PipeConfig{Medium: phy.MediumIP, MTU: 1500, TxChecksum: true, RxChecksum: true, MaxSuperFrame: 65535})
	fault := phy.NewFault(a, phy.FaultConfig{DropChance: 30, Seed: 5})
	data := make([]byte, 60_000)
	for i := range data {
		data[i] = byte(i / 1000)
	}
	s := super{data: data, size: 1000, flags: wire.ACK | wire.PSH, medium: phy.MediumIP}
	frame, off := s.frame()
	src, dst := s.addrs()
	arrived := 0
	for round := range 20 {
		room, err := b.TxBuffer()
		require.NoError(t, err)
		require.NoError(t, b.Commit(copy(room, frame), off))
		require.NoError(t, b.Flush())
		for {
			require.NoError(t, fault.Wait(0))
			f, err := fault.Receive()
			if err != nil {
				require.ErrorIs(t, err, phy.ErrWouldBlock)
				break
			}
			require.Equal(t, phy.Offload{}, f.Offload)
			_, body, err := wire.ParseIPv4(f.Data)
			require.NoError(t, err)
			require.True(t, wire.VerifyChecksum(src, dst, wire.ProtoTCP, body))
			var h wire.TCP
			got, err := wire.ParseTCP(body, &h)
			require.NoError(t, err)
			at := int(h.Seq - 0xffff_fe00)
			require.Equal(t, data[at:at+1000], got, "round %d", round)
			arrived++
		}
	}
	near(t, uint64(arrived), 20*60, 70)
	require.EqualValues(t, 20*60, fault.Stats().Rx.Passed+fault.Stats().Rx.Dropped)
	require.EqualValues(t, arrived, fault.Stats().Rx.Passed)
}

// A fault injector does not sleep, nor tell of anything but its end, with pieces
// left.
func TestFaultHoldsPieces(t *testing.T) {
	a, b := pipe(t, phy.PipeConfig{Medium: phy.MediumIP, TxChecksum: true, MaxSuperFrame: 65535})
	fault := phy.NewFault(a, phy.FaultConfig{})
	frame, off := super{data: make([]byte, 3000), size: 1000, flags: wire.ACK, medium: phy.MediumIP}.frame()
	room, err := b.TxBuffer()
	require.NoError(t, err)
	require.NoError(t, b.Commit(copy(room, frame), off))
	require.NoError(t, b.Flush())
	_, err = fault.Receive()
	require.NoError(t, err)
	require.NoError(t, fault.Wait(-1))
	f, err := fault.Receive()
	require.NoError(t, err)
	require.Len(t, f.Data, 1040)
	require.NoError(t, fault.Close())
	_, err = fault.Receive()
	require.ErrorIs(t, err, phy.ErrClosed)
	require.ErrorIs(t, fault.Wait(-1), phy.ErrClosed)
}
