package env

import (
	"context"
	"net"
	"net/netip"

	"smolnet/dialer"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/netstack/congestion"
	"smolnet/netstack/core"
	"smolnet/phy"
)

// perConnection is how many bytes of a stack's memory budget a pair reserves
// for each connection that is announced: its flat charge and some pages.
const perConnection = 16 << 10

// smolnet is a host on a stack of this module.
type smolnet struct {
	st   *netstack.Stack
	addr netip.Addr
}

// makeSmolnet joins two stacks by a pipe that carries IP packets; a loopback is
// one stack. Everything is at its default, but that the memory budget is larger
// where many connections are announced.
func makeSmolnet(cfg Config) (*Pair, error) {
	if cfg.Link.Loopback {
		// The device is there because a stack needs one: 127.0.0.1 does not use it.
		idle, other, err := phy.Pipe(phy.PipeConfig{Medium: phy.MediumIP})
		if err != nil {
			return nil, err
		}
		host, err := newSmolnet(cfg, idle, clientPrefix)
		if err != nil {
			return nil, err
		}
		host.addr = loopbackPrefix.Addr()
		return NewPair(host, host, other.Close), nil
	}
	pipe := phy.PipeConfig{
		Medium: phy.MediumIP, MTU: cfg.Link.MTU,
		TxChecksum: !cfg.Link.Checksums, RxChecksum: !cfg.Link.Checksums,
	}
	if cfg.Link.SuperFrames {
		pipe.TxChecksum, pipe.RxChecksum, pipe.MaxSuperFrame = true, true, phy.MaxMTU
	}
	x, y, err := phy.Pipe(pipe)
	if err != nil {
		return nil, err
	}
	client, err := newSmolnet(cfg, x, clientPrefix)
	if err != nil {
		return nil, err
	}
	server, err := newSmolnet(cfg, y, serverPrefix)
	if err != nil {
		client.Close()
		return nil, err
	}
	return NewPair(client, server, nil), nil
}

func newSmolnet(cfg Config, dev phy.Device, p netip.Prefix) (*smolnet, error) {
	return newSmolnetWith(cfg, dev, p, nil)
}

// newSmolnetWith is newSmolnet with a congestion control, nil for the default.
func newSmolnetWith(cfg Config, dev phy.Device, p netip.Prefix, control congestion.Factory) (*smolnet, error) {
	conf := netstack.Config{
		Device: dev, Addrs: []netip.Prefix{p},
		TCP: netstack.TCPConfig{RecvBuffer: cfg.Buffers, SendBuffer: cfg.Buffers, Congestion: control},
	}
	if want := int64(cfg.Connections) * perConnection; want > core.DefaultMemory {
		conf.Limits.Memory = want
	}
	st, err := netstack.New(conf)
	if err != nil {
		return nil, err
	}
	return &smolnet{st: st, addr: p.Addr()}, nil
}

func (h *smolnet) Name() string     { return Smolnet }
func (h *smolnet) Addr() netip.Addr { return h.addr }
func (h *smolnet) Close() error     { return h.st.Close() }

func (h *smolnet) Listen(network, addr string) (net.Listener, error) {
	return listener.Listen(h.st, network, addr)
}

func (h *smolnet) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := dialer.Dialer{Stack: h.st}
	return d.DialContext(ctx, network, addr)
}

func (h *smolnet) ListenPacket(network, addr string) (net.PacketConn, error) {
	return listener.ListenPacket(h.st, network, addr)
}
