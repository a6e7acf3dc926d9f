package core

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

var (
	allHosts      = netip.AddrFrom4([4]byte{224, 0, 0, 1})                 // RFC 1112 4
	limitedBcast  = netip.AddrFrom4([4]byte{255, 255, 255, 255})           // RFC 919 7
	allNodes      = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x01}) // RFC 4291 2.7.1
	loopbackIPv4  = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	allNodesLocal = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x01, 15: 0x01})
)

// An address is one that an interface has, and what belongs to it.
type address struct {
	addr      netip.Addr
	prefix    netip.Prefix // not masked
	broadcast netip.Addr   // IPv4: the directed broadcast address; invalid: there is none
	solicited netip.Addr   // IPv6: the solicited-node group
}

func newAddress(p netip.Prefix) address {
	a := address{addr: p.Addr(), prefix: p}
	if a.addr.Is6() {
		a.solicited = wire.SolicitedNode(a.addr)
		return a
	}
	// RFC 3021 2.2: a prefix of 31 bits has no broadcast address.
	if p.Bits() < 31 {
		b := a.addr.As4()
		bits := binary.BigEndian.Uint32(b[:]) | (1<<(32-p.Bits()) - 1)
		binary.BigEndian.PutUint32(b[:], bits)
		a.broadcast = netip.AddrFrom4(b)
	}
	return a
}

// AddAddr gives the interface an address, and the route to its prefix. It is
// announced once on the link, so that neighbours who knew the address elsewhere
// learn of it (RFC 5227 2.3, RFC 4861 7.2.6). Adding an address that is there
// changes nothing if the prefix is the same.
//
// The error says what is wrong and wraps errno.Invalid, errno.AddrInUse (another
// interface has it, or this one has it with another prefix) or errno.NoBufs.
func (ifc *Interface) AddAddr(now clock.Time, p netip.Prefix) error {
	c := ifc.core
	p = netip.PrefixFrom(p.Addr().WithZone(""), p.Bits())
	if err := ifc.checkAddr(p); err != nil {
		return err
	}
	if owner, a := c.findAddr(p.Addr()); owner != nil {
		if owner == ifc && a.prefix == p {
			return nil
		}
		return fmt.Errorf("core: address %v: interface %q has %v: %w", p, owner.name, a.prefix, errno.AddrInUse)
	}
	if len(ifc.addrs) >= MaxAddrs {
		return fmt.Errorf("core: address %v: %d is the limit: %w", p, MaxAddrs, errno.NoBufs)
	}
	if err := c.addOnLink(ifc, p); err != nil {
		return err
	}
	ifc.addrs = append(ifc.addrs, newAddress(p))
	c.changed()
	ifc.announce(now, p.Addr())
	return nil
}

// checkAddr says what is wrong with an address for this interface.
func (ifc *Interface) checkAddr(p netip.Prefix) error {
	a := p.Addr()
	why := ""
	switch {
	case !p.IsValid():
		why = "not valid"
	case a.Is4In6():
		why = "IPv4 in IPv6 form"
	case a.IsMulticast():
		why = "multicast"
	case a.IsUnspecified():
		why = "unspecified"
	case a == limitedBcast, newAddress(p).broadcast == a:
		why = "broadcast"
	case a.IsLoopback() && !ifc.caps.Loopback:
		why = "loopback, and the interface is not"
	case a.Is6() && ifc.mtu < minIPv6MTU:
		why = "IPv6 needs an MTU of 1280"
	default:
		return nil
	}
	return fmt.Errorf("core: address %v on interface %q: %s: %w", p, ifc.name, why, errno.Invalid)
}

// RemoveAddr takes an address away. errno.AddrNotAvail: the interface does not
// have it.
//
// Connections and sockets that use it stay, but hear nothing any more: what
// arrives for the address is not ours, and what they send is dropped, so that
// connections time out unless the address comes back.
func (ifc *Interface) RemoveAddr(now clock.Time, a netip.Addr) error {
	a = a.WithZone("").Unmap()
	for i := range ifc.addrs {
		if ifc.addrs[i].addr == a {
			ifc.unassign(ifc.addrs[i].prefix)
			return nil
		}
	}
	return fmt.Errorf("core: address %v on interface %q: %w", a, ifc.name, errno.AddrNotAvail)
}

// unassign removes an address, and the route of its prefix unless another
// address shares it.
func (ifc *Interface) unassign(p netip.Prefix) {
	shared := false
	kept := ifc.addrs[:0]
	for _, a := range ifc.addrs {
		if a.prefix == p {
			continue
		}
		shared = shared || a.prefix.Masked() == p.Masked()
		kept = append(kept, a)
	}
	ifc.addrs = kept
	if !shared {
		ifc.core.removeOnLink(ifc, p)
	}
	ifc.core.changed()
}

// Addrs returns the interface's addresses with their prefixes.
func (ifc *Interface) Addrs() []netip.Prefix {
	all := make([]netip.Prefix, len(ifc.addrs))
	for i := range ifc.addrs {
		all[i] = ifc.addrs[i].prefix
	}
	return all
}

// findAddr returns the interface that has an address, nil if none has.
func (c *Core) findAddr(a netip.Addr) (*Interface, *address) {
	for _, ifc := range c.ifcs {
		if own := ifc.own(a); own != nil {
			return ifc, own
		}
	}
	return nil, nil
}

// own returns the interface's address that is a, or nil.
func (ifc *Interface) own(a netip.Addr) *address {
	for i := range ifc.addrs {
		if ifc.addrs[i].addr == a {
			return &ifc.addrs[i]
		}
	}
	return nil
}

// isLocal reports whether a is an address of this host: an own one, or a
// loopback address.
func (c *Core) isLocal(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	ifc, _ := c.findAddr(a)
	return ifc != nil
}

// isBroadcast reports whether a is the limited broadcast address or that of a
// prefix of ours, and whose.
func (c *Core) isBroadcast(a netip.Addr) (*Interface, bool) {
	if !a.Is4() {
		return nil, false
	}
	if a == limitedBcast {
		return nil, true
	}
	for _, ifc := range c.ifcs {
		if ifc.isDirected(a) {
			return ifc, true
		}
	}
	return nil, false
}

// isDirected reports whether a is the broadcast address of a prefix here.
func (ifc *Interface) isDirected(a netip.Addr) bool {
	for i := range ifc.addrs {
		if ifc.addrs[i].broadcast == a {
			return true
		}
	}
	return false
}

// onLink reports whether a is in a prefix of the interface.
func (ifc *Interface) onLink(a netip.Addr) bool {
	if a.Is6() && a.IsLinkLocalUnicast() {
		return true
	}
	for i := range ifc.addrs {
		if ifc.addrs[i].prefix.Contains(a) {
			return true
		}
	}
	return false
}

// A delivery says to whom a destination address belongs, as seen from the
// interface that the packet came in by.
type delivery uint8

const (
	notOurs delivery = iota
	toUs             // unicast
	toGroup          // a broadcast address, or a multicast group that we are in
)

// deliveryOf looks at a destination address.
func (ifc *Interface) deliveryOf(dst netip.Addr) delivery {
	for i := range ifc.addrs {
		switch a := &ifc.addrs[i]; dst {
		case a.addr:
			return toUs
		case a.broadcast, a.solicited:
			return toGroup
		}
	}
	switch {
	case dst == limitedBcast, dst == allHosts, dst == allNodes:
		return toGroup
	case ifc.caps.Loopback:
		if dst == allNodesLocal {
			return toGroup
		}
		if ifc.core.isLocal(dst) {
			return toUs
		}
	default:
		// An address of a loopback interface is the host's, wherever a packet
		// for it comes in.
		for _, o := range ifc.core.ifcs {
			if o.caps.Loopback && o.own(dst) != nil {
				return toUs
			}
		}
	}
	return notOurs
}

// isMartian reports whether no packet that came in by ifc can have been sent
// by src, apart from what an unspecified address is good for.
func (ifc *Interface) isMartian(src netip.Addr) bool {
	// RFC 1122 3.2.1.3: broadcast and multicast addresses "MUST NOT be used
	// as a source address".
	if src.IsMulticast() || src == limitedBcast || src.Is4In6() {
		return true
	}
	if ifc.isDirected(src) {
		return true
	}
	// RFC 1122 3.2.1.3 (g), RFC 4291 2.5.3: loopback addresses never appear
	// outside a host. Nor do packets that we sent come back.
	return !ifc.caps.Loopback && ifc.core.isLocal(src)
}

// hardwareAddrFor returns the link address of a group or broadcast address.
func hardwareAddrFor(dst netip.Addr) wire.HardwareAddr {
	if dst.IsMulticast() {
		return wire.MulticastHardwareAddr(dst)
	}
	return wire.Broadcast
}

// announce tells the link about a new address of ours.
func (ifc *Interface) announce(now clock.Time, a netip.Addr) {
	if ifc.caps.Medium != phy.MediumEthernet || ifc.caps.Loopback {
		return
	}
	if a.Is4() {
		ifc.core.drop(ifc.announceARP(a))
	} else {
		ifc.core.drop(ifc.advertise(now, a, allNodes, allNodes, false))
	}
}
