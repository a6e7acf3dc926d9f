package env

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"smolnet/bench/link"
	"smolnet/phy"
	"smolnet/phy/hostside"
)

// tunQueue is how many packets the kernel keeps for the reader of a TUN
// interface. It is more than a link's queue, so that it is the link that drops.
const tunQueue = 5000

// lossyKernel puts a namespace with a TUN interface at each end of the link.
func lossyKernel(cfg Config, l *link.Link, congestion string) (*Pair, error) {
	client, first, err := kernelEnd(cfg, l.A(), clientPrefix, congestion)
	if err != nil {
		return nil, err
	}
	server, second, err := kernelEnd(cfg, l.B(), serverPrefix, congestion)
	if err != nil {
		return nil, errors.Join(err, first.Close(), client.Close())
	}
	p := NewPair(client, server, func() error { return errors.Join(first.Close(), second.Close()) })
	p.lost = func() uint64 { return first.Overrun() + second.Overrun() }
	return p, nil
}

func kernelEnd(cfg Config, e *link.End, p netip.Prefix, congestion string) (*kernel, *link.Bridge, error) {
	h, err := newKernel(cfg, p.Addr())
	if err != nil {
		return nil, nil, err
	}
	dev, err := h.openTUN(p, phy.TunConfig{MTU: e.MTU(), TxQueueLen: tunQueue, NoOffload: true})
	if err == nil {
		err = h.useCongestion(congestion)
	}
	if err != nil {
		return nil, nil, errors.Join(err, h.Close())
	}
	return h, link.NewBridge(e, dev), nil
}

// openTUN makes a TUN interface in the host's namespace that leads to all that
// the prefix holds.
func (h *kernel) openTUN(p netip.Prefix, cfg phy.TunConfig) (dev *phy.TunTap, err error) {
	err = h.inside(func() (err error) {
		if dev, err = phy.OpenTUN("", cfg); err != nil {
			return err
		}
		return hostside.Configure(dev.Name(), hostside.Config{Addrs: []netip.Prefix{p}, Up: true})
	})
	if err != nil && dev != nil {
		dev.Close()
	}
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return dev, err
}

// useCongestion has the host's sockets use the named congestion control.
func (h *kernel) useCongestion(name string) error {
	var have []byte
	err := h.inside(func() (err error) {
		have, err = os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
		return err
	})
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(string(have)), name) {
		return fmt.Errorf("%w: the kernel has no %s, but %s", ErrUnavailable, name, have)
	}
	h.congestion = name
	return nil
}
