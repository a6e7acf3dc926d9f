package wire

import "net/netip"

const (
	neighborLen    = 24 // without options: ICMPv6 header, flags or reserved, target
	neighborOptLen = 8  // the unit of option lengths, and an Ethernet address option
)

// The link-layer address options, RFC 4861 4.6.1.
const (
	ndpOptSourceLink = 1
	ndpOptTargetLink = 2
)

// The flags of an advertisement, RFC 4861 4.4.
const (
	ndpRouter    = 0x80
	ndpSolicited = 0x40
	ndpOverride  = 0x20
)

// A Neighbor is a neighbour solicitation or advertisement, RFC 4861 4.3 and
// 4.4, the ICMPv6 header included.
type Neighbor struct {
	Type      uint8 // ICMPv6NeighborSolicit or ICMPv6NeighborAdvert
	Router    bool  // the flags are an advertisement's only
	Solicited bool
	Override  bool
	Target    netip.Addr
	LinkAddr  HardwareAddr // source (NS) or target (NA) link-layer address option
	HasLink   bool
}

// ParseNeighbor reads the message in b, which starts at the ICMPv6 type. It
// makes every check of RFC 4861 7.1 but those that need the IP header: hop
// limit, checksum and addresses. A link-layer address that is not 48 bits
// long is left out. The error is DropTruncated, DropBadHeader (type, code,
// multicast target) or DropBadOption.
func ParseNeighbor(b []byte) (h Neighbor, err error) {
	if len(b) < neighborLen {
		return h, DropTruncated
	}
	var link uint8
	switch b[0] {
	case ICMPv6NeighborSolicit:
		link = ndpOptSourceLink
	case ICMPv6NeighborAdvert:
		link = ndpOptTargetLink
		h.Router = b[4]&ndpRouter != 0
		h.Solicited = b[4]&ndpSolicited != 0
		h.Override = b[4]&ndpOverride != 0
	default:
		return h, DropBadHeader
	}
	h.Type = b[0]
	h.Target = netip.AddrFrom16([16]byte(b[8:24]))
	if b[1] != 0 || h.Target.IsMulticast() {
		return h, DropBadHeader
	}
	for opts := b[neighborLen:]; len(opts) > 0; {
		// RFC 4861 4.6: "Nodes MUST silently discard an ND packet that
		// contains an option with length zero."
		if len(opts) < 2 || opts[1] == 0 || int(opts[1])*neighborOptLen > len(opts) {
			return h, DropBadOption
		}
		n := int(opts[1]) * neighborOptLen
		// RFC 4861 4.3: "Future versions of this protocol may define new
		// option types. Receivers MUST silently ignore any options they do
		// not recognize".
		if opts[0] == link && n == neighborOptLen {
			h.LinkAddr = HardwareAddr(opts[2:8])
			h.HasLink = true
		}
		opts = opts[n:]
	}
	return h, nil
}

// Len returns the length of the message, bytes.
func (h *Neighbor) Len() int {
	if h.HasLink {
		return neighborLen + neighborOptLen
	}
	return neighborLen
}

// Put writes h to b[:h.Len()], the checksum field zero: SetChecksum puts the
// checksum in.
func (h *Neighbor) Put(b []byte) {
	b = b[:h.Len()]
	_ = b[neighborLen-1]
	clear(b[:8])
	b[0] = h.Type
	link := uint8(ndpOptSourceLink)
	if h.Type == ICMPv6NeighborAdvert {
		link = ndpOptTargetLink
		b[4] = flag(h.Router, ndpRouter) | flag(h.Solicited, ndpSolicited) | flag(h.Override, ndpOverride)
	}
	*(*[16]byte)(b[8:24]) = h.Target.As16()
	if h.HasLink {
		b[neighborLen] = link
		b[neighborLen+1] = 1
		*(*HardwareAddr)(b[neighborLen+2:]) = h.LinkAddr
	}
}

// flag returns bit if it is on, or zero.
func flag(on bool, bit uint8) uint8 {
	if on {
		return bit
	}
	return 0
}
