package core

import (
	"encoding/binary"
	"math"
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/neighbor"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// sendBurst is how many bytes in a row one socket may send while others wait: as
// much as the largest super-frame, with or without them. Turns of eight frames
// cost a quarter more where many flows compete, as every change of the flow is
// one of what the caches hold, on both sides of the link.
const sendBurst = 64 << 10

// sendAttempts is how many sockets one Send tries that have no frame for it:
// they are done, have moved to another interface, wait for a neighbour, or
// threw something away and are to be asked again.
const sendAttempts = 128

// Send writes the next frame to b, which has room for the link header and MTU
// bytes at least (or, where that is more, MaxSuperFrame), and returns its
// length. Zero: there is nothing to say on this interface now, b is too short, or
// much was done and no frame came of it; then there is more to do in the next
// turn, and [Core.Pending] says so.
//
// Control packets go first (they are few and bounded), then packets whose
// neighbour has answered, then the sockets, in turn.
func (ifc *Interface) Send(now clock.Time, b []byte) (int, phy.Offload) {
	if len(b) < ifc.linkLen+ifc.mtu {
		return 0, phy.Offload{}
	}
	ifc.silent = false
	attempts := sendAttempts
	if ifc.core.closed {
		attempts = math.MaxInt // there may be no other turn, and no socket does more than to end
	}
	for {
		if ifc.outbox.n > 0 {
			if n := ifc.sendControl(now, b); n > 0 {
				return ifc.sent(n), phy.Offload{}
			}
		}
		if ifc.released.n > 0 {
			return ifc.sent(ifc.write(b, ifc.released.take())), phy.Offload{}
		}
		var n int
		var off phy.Offload
		if n, attempts, off = ifc.sendSockets(now, b, attempts); n > 0 {
			return ifc.sent(n), off
		}
		// Sockets may have asked for neighbours, and failures may have woken
		// others.
		ifc.solicit(now)
		if !ifc.busy() || attempts == 0 && ifc.outbox.n == 0 && ifc.released.n == 0 {
			ifc.silent = true
			return 0, phy.Offload{}
		}
	}
}

// busy reports whether Send has something to do, not that a frame comes of it.
func (ifc *Interface) busy() bool {
	return ifc.outbox.n > 0 || ifc.released.n > 0 || !ifc.run.empty()
}

// sent counts a frame of n bytes.
func (ifc *Interface) sent(n int) int {
	st := &ifc.core.stats
	st.FramesOut++
	st.BytesOut += uint64(n)
	return n
}

// sendSockets lets sockets send until there is a frame, nobody is left, or as
// many as attempts had none. It returns how many attempts are left.
func (ifc *Interface) sendSockets(now clock.Time, b []byte, attempts int) (int, int, phy.Offload) {
	for attempts > 0 && !ifc.run.empty() {
		s := ifc.run.pop()
		n, off := s.self.send(now, ifc, b)
		if n == 0 {
			ifc.burst = 0
			attempts--
			continue
		}
		switch ifc.burst += n; {
		case s.queued: // it is where it wants to be
		case ifc.burst < sendBurst:
			ifc.run.pushFront(s)
		default:
			ifc.burst = 0
			ifc.run.pushBack(s)
		}
		return n, attempts, off
	}
	return 0, attempts, phy.Offload{}
}

// sendControl writes the first control packet that can go to b.
func (ifc *Interface) sendControl(now clock.Time, b []byte) int {
	for ifc.outbox.n > 0 {
		p := ifc.outbox.take()
		if !p.next.IsValid() || ifc.neigh == nil {
			return ifc.write(b, p)
		}
		hw, res := ifc.resolve(now, p.next)
		switch res {
		case neighbor.Resolved:
			p.hw = hw
			return ifc.write(b, p)
		case neighbor.Wait:
			// It waits apart, so that packets to others go on.
			if !ifc.neigh.Queue(p.next, p.buf.Bytes()) {
				ifc.core.drop(wire.DropNoMemory)
			}
		default:
			ifc.core.drop(wire.DropUnresolved)
		}
		ifc.core.packets.Put(p.buf)
	}
	return 0
}

// write puts p, with its link header, into b and gives up its buffer.
func (ifc *Interface) write(b []byte, p outgoing) int {
	n := ifc.linkLen + copy(b[ifc.linkLen:], p.buf.Bytes())
	ifc.putLink(b, p.hw, p.typ)
	ifc.core.packets.Put(p.buf)
	return n
}

// putLink writes the link header.
func (ifc *Interface) putLink(b []byte, dst wire.HardwareAddr, typ wire.EtherType) {
	if ifc.caps.Medium == phy.MediumEthernet {
		h := wire.Ethernet{Dst: dst, Src: ifc.hw, Type: typ}
		h.Put(b)
	}
}

// post queues a control packet, or says why not.
func (ifc *Interface) post(p outgoing) wire.Drop {
	if !ifc.outbox.put(p) {
		ifc.core.packets.Put(p.buf)
		return wire.DropQueueFull
	}
	return wire.DropNone
}

// resolve asks the neighbour table for next's link address.
func (ifc *Interface) resolve(now clock.Time, next netip.Addr) (wire.HardwareAddr, neighbor.Result) {
	hw, res := ifc.neigh.Lookup(now, next)
	if res != neighbor.Resolved {
		ifc.settle(now)
	}
	return hw, res
}

// solicit turns the neighbour table's due questions into control packets.
func (ifc *Interface) solicit(now clock.Time) {
	if ifc.neigh == nil || !ifc.neigh.Deadline().Due(now) {
		return
	}
	for ifc.outbox.room() {
		q, ok := ifc.neigh.Next(now)
		if !ok {
			break
		}
		if q.Addr.Is4() {
			hw := wire.Broadcast
			if q.Unicast {
				hw = q.HW
			}
			ifc.core.drop(ifc.requestARP(q.Addr, hw))
		} else {
			ifc.core.drop(ifc.solicitNeighbor(q))
		}
	}
	ifc.settle(now)
}

// settle acts on what came of resolutions.
func (ifc *Interface) settle(now clock.Time) {
	for {
		o, ok := ifc.neigh.Drain()
		if !ok {
			return
		}
		for _, s := range o.Waiters {
			s.unpark(now, ifc, &o)
		}
		for _, buf := range o.Packets {
			switch {
			case o.Reason != neighbor.Answered:
				ifc.core.drop(wire.DropUnresolved)
				if o.Reason != neighbor.Evicted {
					ifc.core.packetFailed(now, buf.Bytes())
				}
				ifc.core.packets.Put(buf)
			case !ifc.released.put(outgoing{buf: buf, typ: etherType(buf.Bytes()), hw: o.HW}):
				ifc.core.drop(wire.DropQueueFull)
				ifc.core.packets.Put(buf)
			}
		}
	}
}

// etherType returns the type of an IP packet of ours.
func etherType(b []byte) wire.EtherType {
	if b[0]>>4 == 4 {
		return wire.EtherTypeIPv4
	}
	return wire.EtherTypeIPv6
}

// An ipHeader is what an IP packet of ours says about itself, of either
// version.
type ipHeader struct {
	src, dst netip.Addr
	proto    wire.Protocol
	ttl      uint8 // zero: default
	tos      uint8
	flow     uint32 // IPv6 flow label
	// atomic packets are never fragmented, by anybody, and so have the ID
	// zero (RFC 6864 4.1).
	atomic bool
}

// ipLen returns the length of the header of packets to a.
func ipLen(a netip.Addr) int {
	if a.Is4() {
		return wire.IPv4Len
	}
	return wire.IPv6Len
}

// putIP writes the header of a packet with n bytes of payload to b, and counts
// the packet.
func (c *Core) putIP(b []byte, h *ipHeader, n int) {
	c.fillIP(b, h, n)
	if h.dst.Is4() {
		c.stats.IPv4Out++
	} else {
		c.stats.IPv6Out++
	}
}

// fillIP writes the header of a packet with n bytes of payload to b.
func (c *Core) fillIP(b []byte, h *ipHeader, n int) {
	ttl := h.ttl
	if ttl == 0 {
		ttl = c.cfg.HopLimit
	}
	if h.dst.Is4() {
		p := wire.IPv4{
			TOS: h.tos, TotalLen: uint16(wire.IPv4Len + n), DontFrag: h.atomic,
			TTL: ttl, Protocol: h.proto, Src: h.src, Dst: h.dst,
		}
		if !h.atomic {
			p.ID = c.ids.next(h.src, h.dst, h.proto)
		}
		p.Put(b)
		return
	}
	p := wire.IPv6{
		TrafficClass: h.tos, FlowLabel: h.flow, PayloadLen: uint16(n),
		NextHeader: h.proto, HopLimit: ttl, Src: h.src, Dst: h.dst,
	}
	p.Put(b)
}

// putChecksum completes the transport segment in b[off:n]: either with its
// checksum, or by leaving it to the device (RFC 9293 MUST-2).
func (ifc *Interface) putChecksum(b []byte, off, n int, h *ipHeader, field int) phy.Offload {
	if !ifc.caps.TxChecksum {
		wire.SetChecksum(h.src, h.dst, h.proto, b[off:n], field)
		return phy.Offload{}
	}
	binary.BigEndian.PutUint16(b[off+field:], wire.PseudoSum(h.src, h.dst, h.proto, n-off))
	return phy.Offload{NeedsChecksum: true, ChecksumStart: uint16(off), ChecksumOffset: uint16(field)}
}

// A control is a control packet in the making: its buffer has the IP header,
// and room for the payload.
type control struct {
	out  outgoing
	ifc  *Interface
	body []byte // the payload
}

// control starts a packet of n bytes of payload on the path p.
func (c *Core) control(p *path, h *ipHeader, n int) (control, wire.Drop) {
	hdr := ipLen(h.dst)
	if hdr+n > int(p.mtu) {
		return control{}, wire.DropTooBig
	}
	if !p.ifc.outbox.room() {
		return control{}, wire.DropQueueFull
	}
	buf := c.packets.Get(hdr + n)
	if buf == nil {
		return control{}, wire.DropNoMemory
	}
	b := buf.Bytes()
	c.putIP(b, h, n)
	return control{outgoing{buf: buf, typ: etherType(b), hw: p.hw, next: p.next}, p.ifc, b[hdr:]}, wire.DropNone
}

// post queues the finished packet.
func (k *control) post() wire.Drop { return k.ifc.post(k.out) }
