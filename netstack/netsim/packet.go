package netsim

import "smolnet/netstack/wire"

// A packet is an IP packet on its way, in a buffer of its own.
type packet struct {
	buf []byte
	n   int
	bad bool // it was corrupted
}

// data returns the packet's bytes.
func (p *packet) data() []byte { return p.buf[:p.n] }

// take returns a buffer for a packet, which counts as being on its way until it
// is given back.
func (s *Sim) take() *packet {
	s.travel++
	for n := len(s.free); n > 0; n = len(s.free) {
		p := s.free[n-1]
		s.free = s.free[:n-1]
		if len(p.buf) >= s.buffer {
			return p
		}
	}
	return &packet{buf: make([]byte, s.buffer)}
}

// give takes a buffer back.
func (s *Sim) give(p *packet) {
	s.travel--
	p.n, p.bad = 0, false
	s.free = append(s.free, p)
}

// copyOf returns a packet with the same content.
func (s *Sim) copyOf(p *packet) *packet {
	c := s.take()
	c.n, c.bad = copy(c.buf, p.data()), p.bad
	return c
}

// The least that an IP packet must have for us to read its addresses.
const (
	ipv4Least = wire.IPv4Len
	ipv6Least = wire.IPv6Len
)

// isIPv4 and isIPv6 say what a packet is, if its header is whole.
func isIPv4(b []byte) bool { return len(b) >= ipv4Least && b[0]>>4 == 4 }
func isIPv6(b []byte) bool { return len(b) >= ipv6Least && b[0]>>4 == 6 }

// The two bits of congestion notification, RFC 3168 5.
const (
	ecnMask = 3
	ecnNone = 0 // the transport does not know of it
	ecnCE   = 3 // congestion experienced
)

// mark sets the mark of congestion, if the packet's sender understands it.
func mark(b []byte) bool {
	switch {
	case isIPv4(b):
		if b[1]&ecnMask == ecnNone {
			return false
		}
		from := uint16(b[0])<<8 | uint16(b[1])
		b[1] |= ecnCE
		sum := wire.UpdateChecksum16(uint16(b[10])<<8|uint16(b[11]), from, uint16(b[0])<<8|uint16(b[1]))
		b[10], b[11] = byte(sum>>8), byte(sum)
		return true
	case isIPv6(b): // bits 4 and 5 of the second byte
		if b[1]>>4&ecnMask == ecnNone {
			return false
		}
		b[1] |= ecnCE << 4
		return true
	}
	return false
}
