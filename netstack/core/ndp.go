package core

import (
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/neighbor"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// Neighbour discovery, RFC 4861 7. Invariant: as for ARP, an own address is
// never in the neighbour table, and only addresses on the link make entries.

// ndpHopLimit proves that a message has not crossed a router: RFC 4861 3.1.
const ndpHopLimit = 255

// receiveNDP takes a neighbour solicitation or advertisement whose checksum is
// good. RFC 4861 7.1.1 and 7.1.2 are the checks.
func (ifc *Interface) receiveNDP(now clock.Time, in *inbound) wire.Drop {
	if in.ttl != ndpHopLimit {
		return wire.DropHopLimit
	}
	h, err := wire.ParseNeighbor(in.payload)
	if err != nil {
		return err.(wire.Drop)
	}
	if ifc.caps.Medium != phy.MediumEthernet {
		return wire.DropIgnored
	}
	ifc.core.stats.NDPIn++
	if h.HasLink && (!h.LinkAddr.IsUnicast() || h.LinkAddr == ifc.hw) {
		return wire.DropMartianSource
	}
	if h.Type == wire.ICMPv6NeighborSolicit {
		return ifc.receiveSolicit(now, in, &h)
	}
	return ifc.receiveAdvert(now, in, &h)
}

// receiveSolicit: RFC 4861 7.2.3 and 7.2.4.
func (ifc *Interface) receiveSolicit(now clock.Time, in *inbound, h *wire.Neighbor) wire.Drop {
	probe := in.src.IsUnspecified()
	// 7.1.1: "If the IP source address is the unspecified address, the IP
	// destination address is a solicited-node multicast address" and "there is
	// no source link-layer address option in the message."
	if probe && (h.HasLink || in.dst != wire.SolicitedNode(h.Target)) {
		return wire.DropBadHeader
	}
	if ifc.own(h.Target) == nil {
		return wire.DropNotForUs
	}
	if probe {
		// 7.2.4: "If the source of the solicitation is the unspecified address,
		// the node MUST set the Solicited flag to zero and multicast the
		// advertisement to the all-nodes address."
		return ifc.advertise(now, h.Target, allNodes, allNodes, false)
	}
	if h.HasLink && ifc.onLink(in.src) {
		ifc.neigh.Learn(now, in.src, h.LinkAddr, neighbor.Override|neighbor.Create)
		ifc.settle(now)
	}
	return ifc.advertise(now, h.Target, in.src, in.src, true)
}

// receiveAdvert: RFC 4861 7.2.5.
func (ifc *Interface) receiveAdvert(now clock.Time, in *inbound, h *wire.Neighbor) wire.Drop {
	// 7.1.2: "If the IP Destination Address is a multicast address the
	// Solicited flag is zero."
	if in.group && h.Solicited {
		return wire.DropBadHeader
	}
	if ifc.isMartian(h.Target) || h.Target.IsUnspecified() {
		return wire.DropMartianSource
	}
	f := neighbor.NotRouter
	if h.Router {
		f = neighbor.IsRouter
	}
	if h.Solicited {
		f |= neighbor.Solicited
	}
	if h.Override {
		f |= neighbor.Override
	}
	ifc.neigh.Learn(now, h.Target, h.LinkAddr, f)
	ifc.settle(now)
	return wire.DropNone
}

// advertise sends a neighbour advertisement for target, which is ours, to dst
// by way of the neighbour or group next.
func (ifc *Interface) advertise(now clock.Time, target, dst, next netip.Addr, solicited bool) wire.Drop {
	h := wire.Neighbor{
		Type: wire.ICMPv6NeighborAdvert, Solicited: solicited, Override: true,
		Target: target, LinkAddr: ifc.hw, HasLink: true,
	}
	p := ifc.pathOnLink(next)
	return ifc.postNDP(&p, &h, target, dst)
}

// solicitNeighbor asks who has an address, or whether its owner is still there.
func (ifc *Interface) solicitNeighbor(q neighbor.Solicitation) wire.Drop {
	src := ifc.sourceFor(q.Addr)
	if !src.IsValid() {
		return wire.DropNoSourceAddr
	}
	h := wire.Neighbor{Type: wire.ICMPv6NeighborSolicit, Target: q.Addr, LinkAddr: ifc.hw, HasLink: true}
	if q.Unicast {
		// The link address is in hand: asking the table for it would be a use.
		p := path{ifc: ifc, hw: q.HW, mtu: uint16(ifc.mtu)}
		return ifc.postNDP(&p, &h, src, q.Addr)
	}
	group := wire.SolicitedNode(q.Addr)
	p := ifc.pathOnLink(group)
	return ifc.postNDP(&p, &h, src, group)
}

func (ifc *Interface) postNDP(p *path, h *wire.Neighbor, src, dst netip.Addr) wire.Drop {
	c := ifc.core
	ip := ipHeader{src: src, dst: dst, proto: wire.ProtoICMPv6, ttl: ndpHopLimit}
	k, d := c.control(p, &ip, h.Len())
	if d != wire.DropNone {
		return d
	}
	h.Put(k.body)
	putICMPChecksum(&ip, k.body)
	if d := k.post(); d != wire.DropNone {
		return d
	}
	c.stats.ICMPOut++
	c.stats.NDPOut++
	return wire.DropNone
}
