package netsim

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"smolnet/netstack/wire"
)

// An Audit knows what became of the data segments of a flow's one direction, as
// nobody in a real network does, and so which retransmissions were needed.
type Audit struct {
	Segments    uint64 // with data, as they were sent
	Bytes       uint64 // of data in those
	Gone        uint64 // segments that were lost, dropped or corrupted
	Retransmits uint64 // segments all of whose data had been sent before
	// Spurious are retransmitted segments none of whose data was missing: a copy
	// of each byte had arrived or was on its way when they were sent.
	Spurious uint64

	from, to netip.Addr
	port     uint16 // of the server
	host     *Host  // that receives
	base     uint32 // the first byte's sequence number
	opened   bool
	high     int64 // offset behind the last byte that was sent
	alive    spans // sent, and not gone
	arrived  spans
}

// Audit watches what the client sends to the server, from now on: before the flow
// begins, or nothing is seen.
func (f *Flow) Audit() *Audit {
	a := &Audit{from: f.cfg.From.Addr4(), to: f.remote().Addr(), port: f.cfg.Port, host: f.cfg.To}
	if f.cfg.IPv6 {
		a.from = f.cfg.From.Addr6()
	}
	f.sim.Observe(a.observe)
	return a
}

func (a *Audit) observe(e *Event) {
	if e.Kind != Received && e.Kind != Corrupted && !e.Kind.Gone() && (e.Kind != Sent || e.Host == nil) {
		return
	}
	seq, flags, n, ok := a.segment(e.Packet)
	if !ok {
		return
	}
	if e.Kind == Sent && flags&byte(wire.SYN) != 0 {
		a.base, a.opened = seq+1, true
	}
	if !a.opened || n == 0 {
		return
	}
	from := a.high + int64(int32(seq-a.base-uint32(a.high)))
	to := from + int64(n)
	switch {
	case e.Kind == Sent:
		a.sent(from, to, n)
	case e.Kind != Received:
		a.Gone++
		a.gone(from, to)
	case e.Host == a.host && a.intact(e.Packet):
		a.arrived.add(from, to)
		a.alive.add(from, to)
	}
}

func (a *Audit) sent(from, to int64, n int) {
	a.Segments++
	a.Bytes += uint64(n)
	if to <= a.high {
		a.Retransmits++
		if a.alive.has(from, to) {
			a.Spurious++
		}
	}
	a.high = max(a.high, to)
	a.alive.add(from, to)
}

// gone takes what is lost from what is alive, but for what has arrived by another
// segment.
func (a *Audit) gone(from, to int64) {
	a.alive.remove(from, to)
	for _, s := range a.arrived.overlapping(from, to) {
		a.alive.add(max(s.from, from), min(s.to, to))
	}
}

// segment reads what is needed of a TCP segment of this direction.
func (a *Audit) segment(b []byte) (seq uint32, flags byte, n int, ok bool) {
	var t []byte
	switch {
	case isIPv4(b) && b[9] == byte(wire.ProtoTCP):
		h := int(b[0]&15) * 4
		if len(b) < h || netip.AddrFrom4([4]byte(b[12:16])) != a.from || netip.AddrFrom4([4]byte(b[16:20])) != a.to {
			return
		}
		t = b[h:]
	case isIPv6(b) && b[6] == byte(wire.ProtoTCP):
		if netip.AddrFrom16([16]byte(b[8:24])) != a.from || netip.AddrFrom16([16]byte(b[24:40])) != a.to {
			return
		}
		t = b[wire.IPv6Len:]
	}
	if len(t) < wire.TCPLen || binary.BigEndian.Uint16(t[2:]) != a.port {
		return
	}
	h := int(t[12]>>4) * 4
	if h < wire.TCPLen || h > len(t) {
		return
	}
	return binary.BigEndian.Uint32(t[4:]), t[13], len(t) - h, true
}

// intact reports whether the segment's checksum is right.
func (a *Audit) intact(b []byte) bool {
	h := wire.IPv6Len
	if isIPv4(b) {
		if _, _, err := wire.ParseIPv4(b); err != nil {
			return false
		}
		h = int(b[0]&15) * 4
	}
	return wire.VerifyChecksum(a.from, a.to, wire.ProtoTCP, b[h:])
}

// A span is the offsets from from on, before to.
type span struct{ from, to int64 }

// spans are apart and in order.
type spans []span

// find returns the first span that ends behind at, or at it.
func (s spans) find(at int64) int {
	if n := len(s); n == 0 || s[n-1].to < at {
		return n
	}
	i, _ := slices.BinarySearchFunc(s, at, func(x span, at int64) int {
		if x.to < at {
			return -1
		}
		return 1
	})
	return i
}

func (s *spans) add(from, to int64) {
	i := s.find(from)
	j := i
	for j < len(*s) && (*s)[j].from <= to {
		from, to = min(from, (*s)[j].from), max(to, (*s)[j].to)
		j++
	}
	if j == i+1 {
		(*s)[i] = span{from, to}
		return
	}
	*s = slices.Replace(*s, i, j, span{from, to})
}

func (s *spans) remove(from, to int64) {
	for i := s.find(from + 1); i < len(*s) && (*s)[i].from < to; {
		x := (*s)[i]
		switch {
		case x.from < from && x.to > to:
			(*s)[i].to = from
			*s = slices.Insert(*s, i+1, span{to, x.to})
			return
		case x.from < from:
			(*s)[i].to = from
			i++
		case x.to > to:
			(*s)[i].from = to
			return
		default:
			*s = slices.Delete(*s, i, i+1)
		}
	}
}

// has reports whether all of it is there.
func (s spans) has(from, to int64) bool {
	i := s.find(from + 1)
	return i < len(s) && s[i].from <= from && s[i].to >= to
}

// overlapping returns the spans that have something of it.
func (s spans) overlapping(from, to int64) []span {
	i := s.find(from + 1)
	j := i
	for j < len(s) && s[j].from < to {
		j++
	}
	return s[i:j]
}
