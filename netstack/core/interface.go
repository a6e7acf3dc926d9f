package core

import (
	"fmt"
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/neighbor"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// The MTUs that a link can have, bytes of IP packet.
const (
	minMTU     = 68 // RFC 791 3.2
	maxMTU     = 65535
	minIPv6MTU = 1280 // RFC 8200 5; a link with less carries no IPv6
)

// InterfaceConfig describes an interface.
type InterfaceConfig struct {
	Name         string // "eth0"; for messages
	Capabilities phy.Capabilities
	HardwareAddr wire.HardwareAddr // MediumEthernet: must be unicast; zero: that of the Capabilities
	Addrs        []netip.Prefix    // static addresses; each adds its on-link route
	LinkLocal    bool              // add fe80::/64 + EUI-64 of HardwareAddr (Ethernet only)
}

// An Interface is one attachment to a link. It is the driver's goroutine's.
//
// It takes packets to its own addresses, to those of Loopback interfaces, and
// to the broadcast addresses and multicast groups that it is part of (the
// strong host model of RFC 1122 3.3.4.2).
type Interface struct {
	core     *Core
	index    int
	name     string
	caps     phy.Capabilities
	hw       wire.HardwareAddr
	mtu      int
	linkLen  int // link header, bytes
	addrs    []address
	neigh    *neighbor.Cache[*TCP] // nil: the medium has no addresses
	outbox   outbox                // control packets
	released outbox                // packets whose neighbour has answered
	run      runQueue
	template template // of the last TCP sender
	burst    int      // bytes in a row of the socket at the head of run
	silent   bool     // Send was asked last, and had no frame
}

// AddInterface attaches a link; at most [MaxInterfaces]. An interface whose
// Capabilities say Loopback carries local delivery (own addresses, 127/8, ::1);
// the first such does. Without one, local destinations are unreachable.
func (c *Core) AddInterface(now clock.Time, cfg InterfaceConfig) (*Interface, error) {
	caps := cfg.Capabilities
	if len(c.ifcs) >= MaxInterfaces {
		return nil, fmt.Errorf("core: interface %q: %d is the limit: %w", cfg.Name, MaxInterfaces, errno.NoBufs)
	}
	if caps.MTU < minMTU || caps.MTU > maxMTU {
		return nil, fmt.Errorf("core: interface %q: MTU %d is not in %d..%d: %w", cfg.Name, caps.MTU, minMTU, maxMTU, errno.Invalid)
	}
	ifc := &Interface{
		core:    c,
		index:   len(c.ifcs) + 1,
		name:    cfg.Name,
		caps:    caps,
		mtu:     caps.MTU,
		linkLen: caps.Medium.HeaderLen(),
		silent:  true,
	}
	ifc.outbox.init(c.cfg.Limits.Outbox)
	ifc.released.init(neighbor.MaxAllPending)
	switch caps.Medium {
	case phy.MediumEthernet:
		ifc.hw = cfg.HardwareAddr
		if ifc.hw == (wire.HardwareAddr{}) {
			ifc.hw = caps.HardwareAddr
		}
		if !ifc.hw.IsUnicast() {
			return nil, fmt.Errorf("core: interface %q: %v is not a unicast address: %w", cfg.Name, ifc.hw, errno.Invalid)
		}
		ifc.neigh = neighbor.New[*TCP](neighbor.Config{
			MaxEntries: c.cfg.Limits.Neighbors, Packets: c.packets, Rand: c.rand.Uint64,
		})
	case phy.MediumIP:
	default:
		return nil, fmt.Errorf("core: interface %q: medium %v: %w", cfg.Name, caps.Medium, errno.Invalid)
	}
	addrs := cfg.Addrs
	if cfg.LinkLocal && caps.Medium == phy.MediumEthernet && caps.MTU >= minIPv6MTU {
		addrs = append(addrs[:len(addrs):len(addrs)], netip.PrefixFrom(wire.LinkLocal(ifc.hw), 64))
	}
	c.ifcs = append(c.ifcs, ifc)
	first := c.local == nil && caps.Loopback
	if first {
		c.local = ifc
	}
	for i, p := range addrs {
		if err := ifc.AddAddr(now, p); err != nil {
			for _, p := range addrs[:i] {
				ifc.unassign(p)
			}
			c.ifcs = c.ifcs[:len(c.ifcs)-1]
			if first {
				c.local = nil
			}
			return nil, err
		}
	}
	c.maxMTU.Store(max(c.maxMTU.Load(), int32(caps.MTU)))
	c.changed()
	return ifc, nil
}

// Index returns the interface's number in its core, from 1.
func (ifc *Interface) Index() int { return ifc.index }

// Name returns the name that was configured.
func (ifc *Interface) Name() string { return ifc.name }

// MTU returns the largest IP packet that the link carries, bytes.
func (ifc *Interface) MTU() int { return ifc.mtu }

// HardwareAddr returns the link address, zero on media that have none.
func (ifc *Interface) HardwareAddr() wire.HardwareAddr { return ifc.hw }

// Neighbor is an entry of a neighbour table.
type Neighbor struct {
	Interface int
	Addr      netip.Addr
	HW        wire.HardwareAddr // zero while it is not known
	State     string
}

// Neighbors returns what the neighbour tables of all interfaces hold.
func (c *Core) Neighbors() []Neighbor {
	var all []Neighbor
	for _, ifc := range c.ifcs {
		if ifc.neigh == nil {
			continue
		}
		ifc.neigh.All(func(n neighbor.Info) bool {
			all = append(all, Neighbor{ifc.index, n.Addr, n.HW, n.State.String()})
			return true
		})
	}
	return all
}
