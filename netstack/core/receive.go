package core

import (
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// An inbound is a received IP packet, as the layers above IP need it.
type inbound struct {
	ifc      *Interface
	src, dst netip.Addr
	packet   []byte // the IP packet without link padding, to be quoted
	payload  []byte // what follows the IP headers
	proto    wire.Protocol
	ttl, tos uint8
	group    bool   // dst is a broadcast address or a group
	linkCast bool   // the frame was a broadcast or multicast
	intact   bool   // the transport checksum need not be verified
	segment  uint16 // payload bytes per datagram of a UDP super-frame, or zero
}

// Receive takes one frame. It borrows it until it returns, and never
// transmits: what there is to be said about it is said by Send.
func (ifc *Interface) Receive(now clock.Time, f phy.Frame) {
	st := &ifc.core.stats
	st.FramesIn++
	st.BytesIn += uint64(len(f.Data))
	if ifc.core.closed {
		st.Drops[wire.DropClosed]++
		return
	}
	in := inbound{ifc: ifc, intact: ifc.caps.RxChecksum || f.Offload.ChecksumValid || f.Offload.NeedsChecksum}
	if f.Offload.GSOType == phy.GSOUDP {
		in.segment = f.Offload.SegmentSize
	}
	if d := ifc.receiveLink(now, f.Data, &in); d != wire.DropNone {
		st.Drops[d]++
	}
}

// receiveLink takes off the link header.
func (ifc *Interface) receiveLink(now clock.Time, b []byte, in *inbound) wire.Drop {
	if ifc.caps.Medium == phy.MediumIP {
		if len(b) == 0 {
			return wire.DropTruncated
		}
		switch b[0] >> 4 {
		case 4:
			return ifc.receiveIPv4(now, b, in)
		case 6:
			return ifc.receiveIPv6(now, b, in)
		}
		return wire.DropBadVersion
	}
	h, b, err := wire.ParseEthernet(b)
	if err != nil {
		return err.(wire.Drop)
	}
	if h.Dst != ifc.hw {
		if !h.Dst.IsMulticast() || !ifc.hears(h.Dst) {
			return wire.DropNotForUs
		}
		in.linkCast = true
	}
	if h.Src.IsMulticast() {
		return wire.DropMartianSource
	}
	switch h.Type {
	case wire.EtherTypeIPv4:
		return ifc.receiveIPv4(now, b, in)
	case wire.EtherTypeIPv6:
		return ifc.receiveIPv6(now, b, in)
	case wire.EtherTypeARP:
		return ifc.receiveARP(now, b)
	}
	return wire.DropUnknownProtocol
}

// hears reports whether frames to a group address are for us. The address has
// 23 or 32 bits of an IP group's: the IP layer looks at all of them.
func (ifc *Interface) hears(dst wire.HardwareAddr) bool {
	switch dst {
	case wire.Broadcast, wire.MulticastHardwareAddr(allHosts), wire.MulticastHardwareAddr(allNodes):
		return true
	}
	for i := range ifc.addrs {
		if s := ifc.addrs[i].solicited; s.IsValid() && dst == wire.MulticastHardwareAddr(s) {
			return true
		}
	}
	return false
}
