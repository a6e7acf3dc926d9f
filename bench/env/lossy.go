package env

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"smolnet/bench/link"
	"smolnet/netstack/congestion"
)

// The stacks on a lossy link: those of [Names], which have CUBIC, and some with
// another congestion control, which follows the hyphen.
const (
	SmolnetBBR = Smolnet + "-bbr"
	GVisorReno = GVisor + "-reno"
	KernelBBR  = Kernel + "-bbr"
)

// LossyNames returns the stacks that [MakeLossy] knows.
func LossyNames() []string {
	return []string{Smolnet, SmolnetBBR, GVisor, GVisorReno, Kernel, KernelBBR}
}

// Base returns the one of [Names] that the named stack is a variant of.
func Base(name string) string {
	base, _, _ := strings.Cut(name, "-")
	return base
}

// Variant returns the stack of the base's family that has the same congestion
// control as the named one: of "smolnet" and "kernel-bbr" that is "smolnet-bbr".
func Variant(base, name string) string { return base + strings.TrimPrefix(name, Base(name)) }

// controlOf returns the congestion control of a stack on a lossy link.
func controlOf(name string) string {
	if _, variant, ok := strings.Cut(name, "-"); ok {
		return variant
	}
	return "cubic"
}

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
	return MakeLossyBetween(name, name, cfg, there, back)
}

// MakeLossyBetween is [MakeLossy] with a stack for the client and another one for
// the server.
func MakeLossyBetween(client, server string, cfg Config, there, back link.Config) (*Lossy, error) {
	for _, name := range []string{client, server} {
		if !slices.Contains(LossyNames(), name) {
			return nil, fmt.Errorf("no stack on lossy links is named %q", name)
		}
	}
	l, err := link.New(there, back)
	if err != nil {
		return nil, err
	}
	a, err := newLossyEnd(client, cfg, l.A(), clientPrefix)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("%s on a lossy link: %w", client, err)
	}
	b, err := newLossyEnd(server, cfg, l.B(), serverPrefix)
	if err != nil {
		err = errors.Join(err, a.host.Close(), a.close())
		l.Close()
		return nil, fmt.Errorf("%s on a lossy link: %w", server, err)
	}
	p := NewPair(a.host, b.host, func() error {
		l.Close()
		return errors.Join(a.close(), b.close())
	})
	p.lost = func() uint64 { return a.lost() + b.lost() }
	return &Lossy{Pair: p, Link: l}, nil
}

// A lossyEnd is a host at an end of a link.
type lossyEnd struct {
	host  Env
	lost  func() uint64 // packets that the host did not come for
	close func() error  // what is left to do after the host is closed
}

func newLossyEnd(name string, cfg Config, e *link.End, p netip.Prefix) (lossyEnd, error) {
	end := lossyEnd{lost: func() uint64 { return 0 }, close: func() error { return nil }}
	var err error
	switch Base(name) {
	case Smolnet:
		dev := link.NewDevice(e)
		end.lost = dev.Overrun
		end.host, err = lossySmolnet(cfg, dev, p, controlOf(name))
	case GVisor:
		end.host, err = lossyGVisor(cfg, e, p, controlOf(name))
	default:
		err = end.makeKernel(cfg, e, p, controlOf(name))
	}
	return end, err
}

func lossySmolnet(cfg Config, dev *link.Device, p netip.Prefix, control string) (Env, error) {
	factory, ok := congestion.New(control)
	if !ok {
		return nil, fmt.Errorf("there is no congestion control %q", control)
	}
	return newSmolnetWith(cfg, dev, p, factory)
}

func lossyGVisor(cfg Config, e *link.End, p netip.Prefix, control string) (Env, error) {
	h, err := newGVisor(cfg, link.NewEndpoint(e), p)
	if err != nil {
		return nil, err
	}
	option := tcpip.CongestionControlOption(control)
	if err := h.st.SetTransportProtocolOption(tcp.ProtocolNumber, &option); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %v", control, err), h.Close())
	}
	return h, nil
}
