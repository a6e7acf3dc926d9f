package env

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	gvisorNIC = 1
	// gvisorQueue is how many packets fit in a channel endpoint. What does not
	// fit is dropped, and only Pair.Lost tells, so it is several times the window
	// of a bulk transfer over the smallest MTU. With 64 connections about a
	// thousand packets are in it at most.
	gvisorQueue = 16384
	// gvisorBuffer bounds what buffers are tuned to.
	gvisorBuffer = 4 << 20
	// gvisorSuperFrame is the largest super-frame: with its header it must not
	// pass the largest IPv4 packet.
	gvisorSuperFrame = 65535
)

// gvisor is a host on a stack of gVisor's.
type gvisor struct {
	st   *stack.Stack
	addr netip.Addr
	stop func()
}

// makeGVisor joins two stacks by their channel endpoints and a goroutine each
// way; a loopback is one stack with gVisor's own loopback endpoint.
//
// SACK, RACK, CUBIC and the moderation of receive buffers are on, and buffers
// grow to 4 MiB. Segments are cut from larger ones at the end of the way down
// (gVisor's software GSO), which is cheaper than making each by itself, and
// packets are handed over without a copy. GRO on arrival was tried and gains
// nothing here. Super-frames may be as large as a packet can be, as those of the
// other stacks, and twice what the channel endpoint says of itself. Checksums
// are verified unless the link has none.
func makeGVisor(cfg Config) (*Pair, error) {
	if cfg.Link.Loopback {
		host, err := newGVisor(cfg, loopback.New(), loopbackPrefix)
		if err != nil {
			return nil, err
		}
		return NewPair(host, host, nil), nil
	}
	x, y := newGVisorLink(cfg.Link), newGVisorLink(cfg.Link)
	client, err := newGVisor(cfg, x, clientPrefix)
	if err != nil {
		return nil, err
	}
	server, err := newGVisor(cfg, y, serverPrefix)
	if err != nil {
		client.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var pumps sync.WaitGroup
	pumps.Go(func() { x.pump(ctx, y) })
	pumps.Go(func() { y.pump(ctx, x) })
	p := NewPair(client, server, func() error {
		cancel()
		pumps.Wait()
		return nil
	})
	p.lost = func() uint64 { return x.lost.Load() + y.lost.Load() }
	return p, nil
}

// gvisorLink is one end of the link.
type gvisorLink struct {
	*channel.Endpoint
	lost *atomic.Uint64 // packets that found the queue full
}

func newGVisorLink(l Link) gvisorLink {
	e := gvisorLink{channel.New(gvisorQueue, uint32(l.MTU), ""), new(atomic.Uint64)}
	e.SupportedGSOKind = stack.GVisorGSOSupported
	if l.SuperFrames {
		e.SupportedGSOKind = stack.HostGSOSupported
	}
	if l.SuperFrames || !l.Checksums {
		e.LinkEPCapabilities |= stack.CapabilityRXChecksumOffload | stack.CapabilityTXChecksumOffload
	}
	return e
}

// GSOMaxSize implements stack.GSOEndpoint.
func (gvisorLink) GSOMaxSize() uint32 { return gvisorSuperFrame }

// WritePackets implements stack.LinkEndpoint, and counts what the queue drops.
func (e gvisorLink) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	n, err := e.Endpoint.WritePackets(pkts)
	if err == nil && n < pkts.Len() { // an error: the queue is closed
		e.lost.Add(uint64(pkts.Len() - n))
	}
	return n, err
}

// pump carries what e's stack sends to the other end until ctx ends.
func (e gvisorLink) pump(ctx context.Context, to gvisorLink) {
	for {
		pkt := e.Read()
		if pkt == nil {
			if pkt = e.ReadContext(ctx); pkt == nil {
				return
			}
		}
		in := pkt.CloneToInbound()
		to.InjectInbound(pkt.NetworkProtocolNumber, in)
		in.DecRef()
		pkt.DecRef()
	}
}

func newGVisor(cfg Config, link stack.LinkEndpoint, p netip.Prefix) (*gvisor, error) {
	st := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocolCUBIC, udp.NewProtocol},
		HandleLocal:        false,
	})
	h := &gvisor{st: st, addr: p.Addr(), stop: link.Close}
	if err := h.configure(cfg, link, p); err != nil {
		st.Destroy()
		return nil, err
	}
	return h, nil
}

func (h *gvisor) configure(cfg Config, link stack.LinkEndpoint, p netip.Prefix) error {
	recv := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcp.DefaultReceiveBufferSize, Max: gvisorBuffer}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcp.DefaultSendBufferSize, Max: gvisorBuffer}
	moderate := tcpip.TCPModerateReceiveBufferOption(cfg.Buffers == 0)
	if cfg.Buffers != 0 {
		recv.Default, recv.Max = cfg.Buffers, cfg.Buffers
		send.Default, send.Max = cfg.Buffers, cfg.Buffers
	}
	sack := tcpip.TCPSACKEnabled(true)
	for _, o := range []tcpip.SettableTransportProtocolOption{&recv, &send, &moderate, &sack} {
		if err := h.st.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("%T: %v", o, err)
		}
	}
	// Datagram sockets have 32 KiB by default; the other stacks have more.
	datagrams := tcpip.ReceiveBufferSizeOption{Min: tcp.MinBufferSize, Default: datagramBuffer, Max: gvisorBuffer}
	if err := h.st.SetOption(datagrams); err != nil {
		return fmt.Errorf("%T: %v", datagrams, err)
	}
	if err := h.st.CreateNIC(gvisorNIC, link); err != nil {
		return fmt.Errorf("interface: %v", err)
	}
	addr := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(p.Addr().As4()), PrefixLen: p.Bits()},
	}
	if err := h.st.AddProtocolAddress(gvisorNIC, addr, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("address: %v", err)
	}
	h.st.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: gvisorNIC}})
	return nil
}

func (h *gvisor) Name() string     { return GVisor }
func (h *gvisor) Addr() netip.Addr { return h.addr }

// Close ends the stack with all connections, those in TIME-WAIT too.
func (h *gvisor) Close() error {
	h.stop()
	h.st.Destroy()
	return nil
}

func gvisorAddr(addr string) (tcpip.FullAddress, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return tcpip.FullAddress{}, err
	}
	if !ap.Addr().Is4() {
		return tcpip.FullAddress{}, fmt.Errorf("address %v is not IPv4", ap)
	}
	return tcpip.FullAddress{Addr: tcpip.AddrFrom4(ap.Addr().As4()), Port: ap.Port()}, nil
}

func (h *gvisor) Listen(_, addr string) (net.Listener, error) {
	a, err := gvisorAddr(addr)
	if err != nil {
		return nil, err
	}
	l, err := gonet.ListenTCP(h.st, a, ipv4.ProtocolNumber)
	if err != nil {
		return nil, err
	}
	return gvisorListener{l}, nil
}

// gvisorListener is a listener whose Close ends an Accept that waits.
type gvisorListener struct{ *gonet.TCPListener }

func (l gvisorListener) Close() error {
	l.Shutdown()
	return l.TCPListener.Close()
}

func (h *gvisor) Dial(ctx context.Context, _, addr string) (net.Conn, error) {
	a, err := gvisorAddr(addr)
	if err != nil {
		return nil, err
	}
	// Not the typed nil of a failed dial.
	if c, err := gonet.DialContextTCP(ctx, h.st, a, ipv4.ProtocolNumber); err == nil {
		return c, nil
	} else if ctx.Err() != nil {
		return nil, errors.Join(err, ctx.Err())
	} else {
		return nil, err
	}
}

func (h *gvisor) ListenPacket(_, addr string) (net.PacketConn, error) {
	a, err := gvisorAddr(addr)
	if err != nil {
		return nil, err
	}
	c, err := gonet.DialUDP(h.st, &a, nil, ipv4.ProtocolNumber)
	if err != nil {
		return nil, err
	}
	return c, nil
}
