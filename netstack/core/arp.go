package core

import (
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/neighbor"
	"smolnet/netstack/wire"
)

// ARP, RFC 826 "Packet Reception", with the care of RFC 5227. Invariant: an
// own address is never in the neighbour table, and only addresses on the link
// make entries there.

// receiveARP takes an ARP packet, without its link header.
func (ifc *Interface) receiveARP(now clock.Time, b []byte) wire.Drop {
	h, err := wire.ParseARP(b)
	if err != nil {
		return err.(wire.Drop)
	}
	ifc.core.stats.ARPIn++
	switch {
	case !h.SenderHW.IsUnicast() || h.SenderHW == ifc.hw:
		return wire.DropMartianSource
	case h.SenderIP.IsUnspecified():
		// RFC 5227 1.1: a probe; there is nothing to be learned from it.
	case ifc.isMartian(h.SenderIP):
		return wire.DropMartianSource
	}
	ours := ifc.own(h.TargetIP) != nil
	if !h.SenderIP.IsUnspecified() {
		ifc.learnARP(now, &h, ours)
	}
	if h.Op != wire.ARPRequest || !ours {
		return wire.DropNone
	}
	reply := wire.ARP{Op: wire.ARPReply, SenderHW: ifc.hw, SenderIP: h.TargetIP, TargetHW: h.SenderHW, TargetIP: h.SenderIP}
	return ifc.postARP(&reply, h.SenderHW)
}

// learnARP takes in the sender's addresses.
//
// RFC 826: an entry that exists is updated by every packet; one is made only if
// the packet is for us, and here only for a request from the link: a reply that
// nobody asked for makes nothing.
func (ifc *Interface) learnARP(now clock.Time, h *wire.ARP, ours bool) {
	f := neighbor.Override
	switch {
	case ours && h.Op == wire.ARPReply && h.TargetHW == ifc.hw:
		f |= neighbor.Solicited
	case ours && h.Op == wire.ARPRequest && ifc.onLink(h.SenderIP):
		f |= neighbor.Create
	}
	ifc.neigh.Learn(now, h.SenderIP, h.SenderHW, f)
	ifc.settle(now)
}

// announceARP tells the link that addr is ours: the announcement of RFC 5227
// 2.3, a request for it by itself.
func (ifc *Interface) announceARP(addr netip.Addr) wire.Drop {
	h := wire.ARP{Op: wire.ARPRequest, SenderHW: ifc.hw, SenderIP: addr, TargetIP: addr}
	return ifc.postARP(&h, wire.Broadcast)
}

// requestARP asks who has target.
func (ifc *Interface) requestARP(target netip.Addr, hw wire.HardwareAddr) wire.Drop {
	src := ifc.sourceFor(target)
	if !src.IsValid() {
		return wire.DropNoSourceAddr
	}
	h := wire.ARP{Op: wire.ARPRequest, SenderHW: ifc.hw, SenderIP: src, TargetIP: target}
	return ifc.postARP(&h, hw)
}

func (ifc *Interface) postARP(h *wire.ARP, to wire.HardwareAddr) wire.Drop {
	buf := ifc.core.packets.Get(wire.ARPLen)
	if buf == nil {
		return wire.DropNoMemory
	}
	h.Put(buf.Bytes())
	d := ifc.post(outgoing{buf: buf, typ: wire.EtherTypeARP, hw: to})
	if d == wire.DropNone {
		ifc.core.stats.ARPOut++
	}
	return d
}
