package phy

import (
	"encoding/binary"
	"net/netip"

	"smolnet/netstack/wire"
)

// Segments cuts a super-frame into the frames that go on a wire, one after the
// other, each complete with its checksums. The zero Segments has no frames. It
// allocates nothing.
//
//	err := s.Cut(phy.MediumEthernet, f.Data, f.Offload)
//	for n := s.Next(b); n > 0; n = s.Next(b) {
//		send(b[:n])
//	}
//
// As with TCP segmentation offload the pieces of a TCP segment have sequence
// numbers that go on, FIN and PSH are on the last one only and CWR on the first
// only (RFC 3168 6.1.2: one answer to one mark). UDP pieces are datagrams of
// their own. IPv4 identifications count up.
type Segments struct {
	head     []byte // link, IP and transport header of the super-frame
	payload  []byte // what is left of it
	src, dst netip.Addr
	proto    wire.Protocol
	ip, up   int // where IP and transport header begin in head
	size     int // payload bytes of a piece
	done     int // payload bytes that are cut off already
	count    uint16
	more     bool
}

// Places in the headers that a piece has values of its own in.
const (
	ipv4TotalLenAt = 2
	ipv4IDAt       = 4
	ipv4SumAt      = 10
	ipv6LenAt      = 4
	tcpSeqAt       = 4
	tcpFlagsAt     = 13
	udpLenAt       = 4

	tcpLastOnly  = byte(wire.FIN | wire.PSH)
	tcpFirstOnly = byte(wire.CWR)
)

// Cut begins with a new frame, which must stay as it is until the last piece was
// made. A checksum that somebody had to verify is verified, as every piece gets a
// new one that is right. The error is [ErrOffload] for a frame that off does not
// fit, and a [wire.Drop] for one whose headers or checksum are wrong; there are
// no pieces then.
func (s *Segments) Cut(m Medium, frame []byte, off Offload) error {
	*s = Segments{}
	next := Segments{ip: m.HeaderLen(), size: int(off.SegmentSize)}
	if next.ip >= len(frame) || next.size == 0 {
		return ErrOffload
	}
	body, err := next.parseIP(frame[next.ip:])
	if err != nil {
		return err
	}
	n, err := next.parseUpper(body, &off)
	if err != nil {
		return err
	}
	next.head, next.payload, next.more = frame[:next.up+n], body[n:], true
	*s = next
	return nil
}

// parseIP takes apart an IP packet without extension headers, and returns what
// follows its header.
func (s *Segments) parseIP(b []byte) (body []byte, err error) {
	if b[0]>>4 == 4 {
		h, body, err := wire.ParseIPv4(b)
		if err == nil && h.IsFragment() {
			err = ErrOffload
		}
		s.src, s.dst, s.proto, s.up = h.Src, h.Dst, h.Protocol, s.ip+int(h.HeaderLen)
		return body, err
	}
	h, body, err := wire.ParseIPv6(b)
	s.src, s.dst, s.proto, s.up = h.Src, h.Dst, h.NextHeader, s.ip+wire.IPv6Len
	return body, err
}

// parseUpper returns the length of the transport header at the start of b.
func (s *Segments) parseUpper(b []byte, off *Offload) (n int, err error) {
	sum := true
	switch want := off.GSOType; {
	case s.proto == wire.ProtoTCP && (want == GSOTCPv4 && s.src.Is4() || want == GSOTCPv6 && s.src.Is6()):
		if len(b) < wire.TCPLen {
			return 0, wire.DropTruncated
		}
		n = int(b[tcpFlagsAt-1] >> 4 * 4)
		if n < wire.TCPLen || n > len(b) {
			return 0, wire.DropBadLength
		}
		if b[tcpFlagsAt]&byte(wire.SYN|wire.RST) != 0 {
			return 0, ErrOffload
		}
	case s.proto == wire.ProtoUDP && want == GSOUDP:
		h, _, err := wire.ParseUDP(b)
		if err != nil {
			return 0, err
		}
		if int(h.Len) != len(b) {
			return 0, wire.DropBadLength
		}
		n = wire.UDPLen
		sum = h.Checksum != 0
	default:
		return 0, ErrOffload
	}
	if sum && !off.NeedsChecksum && !off.ChecksumValid && !wire.VerifyChecksum(s.src, s.dst, s.proto, b) {
		return 0, wire.DropBadChecksum
	}
	return n, nil
}

// More reports whether Next has another frame.
func (s *Segments) More() bool { return s.more }

// MaxLen returns the length of the longest frame that Next makes, with its link
// header.
func (s *Segments) MaxLen() int { return len(s.head) + min(s.size, len(s.payload)) }

// Next writes the next frame to b and returns its length; zero if there is none,
// or b is shorter than the frame.
func (s *Segments) Next(b []byte) int {
	n := s.MaxLen()
	if !s.more || len(b) < n {
		return 0
	}
	b = b[:n]
	cut := copy(b[copy(b, s.head):], s.payload)
	s.payload = s.payload[cut:]
	s.more = len(s.payload) > 0
	s.putIP(b[s.ip:])
	s.putUpper(b[s.up:])
	s.done += cut
	s.count++
	return n
}

// putIP corrects the IP header of a piece.
func (s *Segments) putIP(b []byte) {
	if s.src.Is6() {
		binary.BigEndian.PutUint16(b[ipv6LenAt:], uint16(len(b)-wire.IPv6Len))
		return
	}
	binary.BigEndian.PutUint16(b[ipv4TotalLenAt:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[ipv4IDAt:], binary.BigEndian.Uint16(b[ipv4IDAt:])+s.count)
	binary.BigEndian.PutUint16(b[ipv4SumAt:], 0)
	binary.BigEndian.PutUint16(b[ipv4SumAt:], ^wire.Sum(b[:s.up-s.ip], 0))
}

// putUpper corrects the transport header of a piece.
func (s *Segments) putUpper(b []byte) {
	if s.proto == wire.ProtoUDP {
		binary.BigEndian.PutUint16(b[udpLenAt:], uint16(len(b)))
		wire.SetChecksum(s.src, s.dst, s.proto, b, wire.UDPChecksumOffset)
		return
	}
	binary.BigEndian.PutUint32(b[tcpSeqAt:], binary.BigEndian.Uint32(b[tcpSeqAt:])+uint32(s.done))
	if s.more {
		b[tcpFlagsAt] &^= tcpLastOnly
	}
	if s.count > 0 {
		b[tcpFlagsAt] &^= tcpFirstOnly
	}
	wire.SetChecksum(s.src, s.dst, s.proto, b, wire.TCPChecksumOffset)
}
