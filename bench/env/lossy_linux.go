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

// makeKernel makes the end a namespace with a TUN interface that leads to the link.
func (end *lossyEnd) makeKernel(cfg Config, e *link.End, p netip.Prefix, control string) error {
	h, err := newKernel(cfg, p.Addr())
	if err != nil {
		return err
	}
	dev, err := h.openTUN(p, phy.TunConfig{MTU: e.MTU(), TxQueueLen: tunQueue, NoOffload: true})
	if err == nil {
		if err = h.useCongestion(control); err != nil {
			err = errors.Join(err, dev.Close())
		}
	}
	if err != nil {
		return errors.Join(err, h.Close())
	}
	bridge := link.NewBridge(e, dev)
	end.host, end.lost, end.close = h, bridge.Overrun, bridge.Close
	return nil
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
