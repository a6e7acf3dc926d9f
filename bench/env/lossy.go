package env

import (
	"errors"
	"fmt"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"smolnet/bench/link"
)

// The stacks on a lossy link: those of [Names], which have CUBIC, or what they
// have instead, and some with another congestion control.
const (
	GVisorReno = GVisor + "-reno"
	KernelBBR  = Kernel + "-bbr"
)

// LossyNames returns the stacks that [MakeLossy] knows.
func LossyNames() []string { return []string{Smolnet, GVisor, GVisorReno, Kernel, KernelBBR} }

// Base returns the one of [Names] that the named stack is a variant of.
func Base(name string) string {
	base, _, _ := strings.Cut(name, "-")
	return base
}

// lossyBuffer is the size of the buffers of a stack that does not tune them:
// what the others' are tuned up to.
const lossyBuffer = 4 << 20

// Lossy is a pair on an emulated link, whose A is the client's end.
type Lossy struct {
	*Pair
	Link *link.Link
}

// MakeLossy makes a pair of the named stack on an emulated link whose directions
// are as there, from the client to the server, and back say. Addresses,
// protocols and options are those of [Make]; the kernel's two namespaces have a
// TUN interface each, without offloads, so that only real packets travel.
//
// The error is [ErrUnavailable] with the reason if there can be none.
func MakeLossy(name string, cfg Config, there, back link.Config) (*Lossy, error) {
	l, err := link.New(there, back)
	if err != nil {
		return nil, err
	}
	var p *Pair
	switch name {
	case Smolnet:
		p, err = lossySmolnet(cfg, l)
	case GVisor:
		p, err = lossyGVisor(cfg, l, "cubic")
	case GVisorReno:
		p, err = lossyGVisor(cfg, l, "reno")
	case Kernel:
		p, err = lossyKernel(cfg, l, "cubic")
	case KernelBBR:
		p, err = lossyKernel(cfg, l, "bbr")
	default:
		err = fmt.Errorf("no stack is named %q", name)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("%s on a lossy link: %w", name, err)
	}
	closing := p.close
	p.close = func() error {
		l.Close()
		if closing == nil {
			return nil
		}
		return closing()
	}
	return &Lossy{Pair: p, Link: l}, nil
}

func lossySmolnet(cfg Config, l *link.Link) (*Pair, error) {
	if cfg.Buffers == 0 {
		cfg.Buffers = lossyBuffer
	}
	a, b := link.NewDevice(l.A()), link.NewDevice(l.B())
	client, err := newSmolnet(cfg, a, clientPrefix)
	if err != nil {
		return nil, err
	}
	server, err := newSmolnet(cfg, b, serverPrefix)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	p := NewPair(client, server, nil)
	p.lost = func() uint64 { return a.Overrun() + b.Overrun() }
	return p, nil
}

func lossyGVisor(cfg Config, l *link.Link, congestion string) (*Pair, error) {
	client, err := newGVisor(cfg, link.NewEndpoint(l.A()), clientPrefix)
	if err != nil {
		return nil, err
	}
	server, err := newGVisor(cfg, link.NewEndpoint(l.B()), serverPrefix)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	option := tcpip.CongestionControlOption(congestion)
	for _, h := range []*gvisor{client, server} {
		if err := h.st.SetTransportProtocolOption(tcp.ProtocolNumber, &option); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %v", congestion, err), client.Close(), server.Close())
		}
	}
	return NewPair(client, server, nil), nil
}
