package core

import (
	"smolnet/netstack/packet"
	"smolnet/netstack/wire"
)

// Datagrams in segments: what a user writes at once, to be cut into datagrams of
// one size, is one in the queue. It is cut here, as it is sent, or by the device
// if that can. What arrives uncut is one in the queue too, and cut or not as it
// is read.

// MaxSegments is how many datagrams there may be in one, to be sent or joined for
// a reader: that of Linux's UDP_SEGMENT and UDP_GRO.
const MaxSegments = 64

// maxUDPPayload returns the most bytes, segments or not, that the length fields
// of a packet allow, whose IP header has n bytes: IPv4's counts the header.
func maxUDPPayload(n int) int {
	if n == wire.IPv4Len {
		return maxMTU - wire.UDPLen - wire.IPv4Len
	}
	return maxMTU - wire.UDPLen
}

// firstSegment returns the length of the first datagram in payload.
func firstSegment(m *packet.Meta, payload []byte) int {
	if m.Segment > 0 {
		return min(int(m.Segment), len(payload))
	}
	return len(payload)
}

// datagrams returns how many of a size there are in n bytes; size zero: one.
func datagrams(n int, size uint16) int {
	if size == 0 || n <= int(size) {
		return 1
	}
	return (n + int(size) - 1) / int(size)
}

// superPayload returns how many bytes of payload, which consists of datagrams
// of m.Segment bytes behind head bytes of headers, the device takes in one
// super-frame in b. With less than two datagrams it is none.
func (ifc *Interface) superPayload(m *packet.Meta, payload []byte, head int, b []byte) int {
	if m.Segment == 0 || !ifc.caps.UDPSegments || !ifc.caps.TxChecksum {
		return 0
	}
	n, room, size := len(payload), min(ifc.linkLen+ifc.caps.MaxSuperFrame, len(b))-head, int(m.Segment)
	if n > room {
		n = max(room, 0) / size * size
	}
	if n <= size {
		return 0
	}
	return n
}

// countSegments accounts for the datagrams beyond the first that a device makes
// of a super-frame. It gives the packets consecutive identifications.
func (s *datagram) countSegments(h *ipHeader, n int) {
	s.core.stats.UDPOut += uint64(n - 1)
	if h.dst.Is4() && !h.atomic {
		for range n - 1 {
			s.core.ids.next(h.src, h.dst, h.proto)
		}
	}
}

// A gathering joins datagrams into a reader's buffers.
type gathering struct {
	bufs  [][]byte
	room  int // bytes left in bufs
	n     int // bytes taken
	count int // datagrams taken
}

// take appends to g as many datagrams as fit of those in data, each of size bytes
// but the last, and returns their bytes. It reports whether the next one could be
// of the same row: none was shorter.
func (g *gathering) take(data []byte, size int) (n int, more bool) {
	most := min(g.room/size, MaxSegments-g.count) * size
	if len(data) > most {
		// A short last one fits where a whole one does not.
		if rest := len(data) % size; g.count+most/size < MaxSegments && len(data)-most == rest && len(data) <= g.room {
			most += rest
		}
		data = data[:most]
	}
	scatter(g.bufs, g.n, data)
	g.n += len(data)
	g.room -= len(data)
	g.count += datagrams(len(data), uint16(size))
	return len(data), len(data) > 0 && len(data)%size == 0
}

// join takes the datagrams from the ring that make a row with the first, whose
// metadata is m and whose bytes are data: from one source, of one size but the
// last, which may be shorter. It reports false, and takes none, if there is no
// room for the first.
func (s *datagram) join(bufs [][]byte, m *packet.Meta, data []byte) (n int, ok bool) {
	size := firstSegment(m, data)
	g := gathering{bufs: bufs, room: length(bufs)}
	if size == 0 || size > g.room {
		return 0, false
	}
	row := *m
	row.Segment = 0
	for {
		n, more := g.take(data, size)
		if n == 0 {
			break
		}
		all := n == len(data)
		s.in.Advance(n)
		if !more || !all {
			break
		}
		next, b, ok := s.in.Peek()
		if !ok || len(b) == 0 || firstSegment(&next, b) > size || next.Segment > 0 && int(next.Segment) != size {
			break
		}
		if next.Segment = 0; next != row {
			break
		}
		data = b
	}
	m.Segment = 0
	if g.count > 1 {
		m.Segment = uint16(size)
	}
	return g.n, true
}

// scatter copies b to what follows the first skip bytes of bufs, and returns how
// many bytes it had room for.
func scatter(bufs [][]byte, skip int, b []byte) (n int) {
	for _, buf := range bufs {
		if skip >= len(buf) {
			skip -= len(buf)
			continue
		}
		n += copy(buf[skip:], b[n:])
		skip = 0
	}
	return n
}

func length(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}
