package wire

import "encoding/binary"

// maxIPv6Headers is how many extension headers a packet may have. RFC 8200 4.1
// has use for seven; RFC 8504 5.3 lets a host set a limit.
const maxIPv6Headers = 8

// ipv6FragmentLen is the length of a fragment header, bytes.
const ipv6FragmentLen = 8

// The options that are known here. A type's two top bits say what to do where
// it is not known (RFC 8200 4.2).
const (
	ipv6OptPad1        = 0
	ipv6OptPadN        = 1
	ipv6OptRouterAlert = 5 // RFC 2711
)

// An IPv6Fragment is a fragment header, RFC 8200 4.5.
type IPv6Fragment struct {
	NextHeader Protocol
	FragOff    uint16 // bytes, multiple of 8
	MoreFrags  bool
	ID         uint32
}

// Put writes h to b[:8].
func (h *IPv6Fragment) Put(b []byte) {
	_ = b[ipv6FragmentLen-1]
	b[0], b[1] = uint8(h.NextHeader), 0
	binary.BigEndian.PutUint16(b[2:4], h.FragOff&^7|uint16(flag(h.MoreFrags, 1)))
	binary.BigEndian.PutUint32(b[4:8], h.ID)
}

// An IPv6Chain is what a walk over extension headers has found. Places are
// bytes from the start of the IPv6 header, as ICMPv6 pointers are.
type IPv6Chain struct {
	// Protocol is the first header that is not walked over: an upper-layer
	// protocol (known to anybody or not), ProtoNoNext, or ProtoFragment when
	// the packet is a fragment and Fragment says which.
	Protocol Protocol
	// ProtocolAt is the place of the Next Header field that names Protocol:
	// the pointer of a parameter problem when nobody knows it, and the field
	// that reassembly overwrites when it is ProtoFragment.
	ProtocolAt uint16
	// HeaderAt is the place of that header. For ProtoFragment everything
	// before it is the unfragmentable part.
	HeaderAt uint16

	Fragment IPv6Fragment

	HasRouterAlert bool
	RouterAlert    uint16 // value, RFC 2711 2.1

	// Report asks for an ICMPv6 parameter problem, with Code and Pointer, in
	// answer to a packet that the walk refused. It is never set where the
	// packet's multicast destination forbids one (RFC 4443 2.4 e.3); that its
	// source can be answered is the caller's to know.
	Report  bool
	Code    uint8
	Pointer uint32
}

// IsFragment reports whether the packet is a part of one, not a whole.
func (c *IPv6Chain) IsFragment() bool { return c.Protocol == ProtoFragment }

// WalkIPv6 walks over the extension headers at the start of payload, as the
// packet's destination does. h and payload are what ParseIPv6 returned. upper
// is what follows the last header that was walked over, or the fragment
// header; it aliases payload. Routing headers with no segments left, and
// fragment headers around a whole packet (RFC 6946), are walked over.
//
// A reassembled packet (the unfragmentable part, ProtocolAt overwritten with
// the first Fragment's NextHeader, and the data) is walked again from its start.
//
// The error is DropTruncated, DropBadLength, DropBadHeader or DropBadOption;
// then c.Report says whether to answer.
func WalkIPv6(h *IPv6, payload []byte) (c IPv6Chain, upper []byte, err error) {
	w := ipv6Walker{
		IPv6Chain: IPv6Chain{Protocol: h.NextHeader, ProtocolAt: 6, HeaderAt: IPv6Len},
		b:         payload,
		multicast: h.Dst.IsMulticast(),
	}
	if err := w.walk(); err != nil {
		return w.IPv6Chain, nil, err
	}
	return w.IPv6Chain, w.b, nil
}

// An ipv6Walker stands before the header that Protocol names: b starts with it.
type ipv6Walker struct {
	IPv6Chain
	b         []byte
	multicast bool
	inner     bool // inside a fragment's data: a fragment header ends the walk
}

func (w *ipv6Walker) walk() error {
	for range maxIPv6Headers {
		var err error
		switch w.Protocol {
		case ProtoHopByHop:
			// RFC 8200 4: a Next Header value of zero "in any header other
			// than an IPv6 header" is as good as an unrecognized one.
			if w.HeaderAt != IPv6Len {
				return w.problem(DropBadHeader, ICMPv6UnknownNextHeader, int(w.ProtocolAt))
			}
			err = w.options()
		case ProtoDestOpts:
			err = w.options()
		case ProtoRouting:
			err = w.routing()
		case ProtoFragment:
			if whole, err := w.fragment(); !whole || err != nil {
				return err
			}
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
	if isExtension(w.Protocol) {
		return DropBadHeader
	}
	return nil
}

// isExtension reports whether p is a header that is walked over.
func isExtension(p Protocol) bool {
	switch p {
	case ProtoHopByHop, ProtoDestOpts, ProtoRouting, ProtoFragment:
		return true
	}
	return false
}

// problem returns d and asks for a parameter problem about the byte at.
func (w *ipv6Walker) problem(d Drop, code uint8, at int) error {
	w.Report, w.Code, w.Pointer = !w.multicast, code, uint32(at)
	return d
}

// header returns the header that the walker stands before. Its length is in
// units of 8 bytes, the first not counted (RFC 8200 4.3, 4.4, 4.6).
func (w *ipv6Walker) header() ([]byte, error) {
	if len(w.b) < 8 {
		return nil, DropTruncated
	}
	n := 8 + 8*int(w.b[1])
	if n > len(w.b) {
		return nil, DropTruncated
	}
	return w.b[:n], nil
}

// skip steps over the n bytes long header that the walker stands before.
func (w *ipv6Walker) skip(n int) {
	w.Protocol, w.ProtocolAt = Protocol(w.b[0]), w.HeaderAt
	w.HeaderAt += uint16(n)
	w.b = w.b[n:]
}

// options steps over a hop-by-hop or destination options header.
func (w *ipv6Walker) options() error {
	hdr, err := w.header()
	if err != nil {
		return err
	}
	for i := 2; i < len(hdr); {
		typ := hdr[i]
		if typ == ipv6OptPad1 {
			i++
			continue
		}
		// The option's length must be there and the option end in its header.
		if i+1 == len(hdr) || i+2+int(hdr[i+1]) > len(hdr) {
			return w.problem(DropBadOption, ICMPv6ErroneousHeader, int(w.HeaderAt)+i)
		}
		data := hdr[i+2 : i+2+int(hdr[i+1])]
		switch {
		case typ == ipv6OptPadN:
		case typ == ipv6OptRouterAlert && w.Protocol == ProtoHopByHop:
			if len(data) != 2 {
				return w.problem(DropBadOption, ICMPv6ErroneousHeader, int(w.HeaderAt)+i+1)
			}
			w.HasRouterAlert = true
			w.RouterAlert = binary.BigEndian.Uint16(data)
		case typ>>6 != 0:
			return w.unknownOption(typ, int(w.HeaderAt)+i)
		}
		i += 2 + len(data)
	}
	w.skip(len(hdr))
	return nil
}

// unknownOption obeys the two top bits of an unknown option's type that do
// not say "skip": RFC 8200 4.2.
func (w *ipv6Walker) unknownOption(typ uint8, at int) error {
	err := w.problem(DropBadOption, ICMPv6UnknownOption, at)
	switch typ >> 6 {
	case 0b01: // discard
		w.Report = false
	case 0b10: // and send a parameter problem, multicast or not
		w.Report = true
	}
	return err // 0b11: and send one only if it was not multicast
}

// routing steps over a routing header that is used up. No type is known here,
// type 0 being forbidden (RFC 5095).
func (w *ipv6Walker) routing() error {
	hdr, err := w.header()
	if err != nil {
		return err
	}
	// RFC 8200 4.4: with segments left, "the node must discard the packet and
	// send an ICMP Parameter Problem, Code 0, message to the packet's Source
	// Address, pointing to the unrecognized Routing Type."
	if hdr[3] != 0 {
		return w.problem(DropBadHeader, ICMPv6ErroneousHeader, int(w.HeaderAt)+2)
	}
	w.skip(len(hdr))
	return nil
}

// fragment reads a fragment header and steps over it if it is around a whole
// packet.
func (w *ipv6Walker) fragment() (whole bool, err error) {
	if len(w.b) < ipv6FragmentLen {
		return false, DropTruncated
	}
	off := binary.BigEndian.Uint16(w.b[2:4])
	f := IPv6Fragment{
		NextHeader: Protocol(w.b[0]),
		FragOff:    off &^ 7,
		MoreFrags:  off&1 != 0,
		ID:         binary.BigEndian.Uint32(w.b[4:8]),
	}
	n := len(w.b) - ipv6FragmentLen
	switch {
	case w.inner:
		return false, nil
	case f.FragOff == 0 && !f.MoreFrags:
		// RFC 6946 4: an atomic fragment is processed at once, whatever other
		// fragments have the same ID.
		w.skip(ipv6FragmentLen)
		return true, nil
	case f.MoreFrags && n%8 != 0:
		// RFC 8200 4.5: the pointer is to the Payload Length field.
		return false, w.problem(DropBadLength, ICMPv6ErroneousHeader, 4)
	case int(f.FragOff)+n+int(w.HeaderAt)-IPv6Len > 65535:
		// RFC 8200 4.5: the pointer is to the Fragment Offset field.
		return false, w.problem(DropBadLength, ICMPv6ErroneousHeader, int(w.HeaderAt)+2)
	case n == 0:
		return false, DropBadLength
	case f.FragOff == 0 && !chainEnds(f.NextHeader, w.b[ipv6FragmentLen:]):
		// RFC 8200 4.5: a first fragment without "all headers through an
		// Upper-Layer header" is discarded, pointer zero. Filters on the way
		// could not see what it carries.
		return false, w.problem(DropTruncated, ICMPv6IncompleteFirstFrag, 0)
	}
	w.Fragment = f
	w.b = w.b[ipv6FragmentLen:]
	return false, nil
}

// chainEnds reports whether a first fragment's data b, which starts with
// header p, has all headers of its packet. What else may be wrong with them
// comes out when the whole packet is walked.
func chainEnds(p Protocol, b []byte) bool {
	w := ipv6Walker{IPv6Chain: IPv6Chain{Protocol: p, HeaderAt: IPv6Len + ipv6FragmentLen}, b: b, inner: true}
	if err := w.walk(); err != nil {
		return err != DropTruncated
	}
	switch w.Protocol {
	case ProtoTCP:
		return len(w.b) >= TCPLen
	case ProtoUDP:
		return len(w.b) >= UDPLen
	case ProtoICMPv6:
		return len(w.b) >= ICMPLen
	}
	return true
}
