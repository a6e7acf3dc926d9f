package cli

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"smolnet/netstack"
	"smolnet/phy"
	"smolnet/phy/hostside"
)

// The addresses of an example's stack, and of the host at the other end of its
// TAP or TUN. The host is the stack's default gateway.
var (
	StackAddr4     = netip.MustParsePrefix("192.168.69.1/24")
	StackAddr6     = netip.MustParsePrefix("fdaa::1/64")
	StackLinkLocal = netip.MustParsePrefix("fe80::1/64")

	HostAddr4     = netip.MustParsePrefix("192.168.69.100/24")
	HostAddr6     = netip.MustParsePrefix("fdaa::100/64")
	HostLinkLocal = netip.MustParsePrefix("fe80::100/64")
)

// HasDevice reports whether the user named a device.
func (o *Options) HasDevice() bool { return o.TAP != "" || o.TUN != "" }

// Device opens the TAP or TUN interface that the user named and wraps it as
// [Options.Wrap] does. An interface that did not exist is created, which needs
// root or CAP_NET_ADMIN, given the host's addresses, and brought up; one that
// did exist is the user's business and left as it is.
//
// The error is a [UsageError] if the user named none.
func (o *Options) Device() (phy.Device, error) {
	if !o.HasDevice() {
		return nil, Usagef("which device? give -tap NAME or -tun NAME")
	}
	dev, err := o.open()
	if err != nil {
		return nil, err
	}
	wrapped, err := o.Wrap(dev)
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return wrapped, nil
}

func (o *Options) open() (phy.Device, error) {
	name, open := o.TAP, phy.OpenTAP
	if o.TUN != "" {
		name, open = o.TUN, phy.OpenTUN
	}
	_, missing := net.InterfaceByName(name)
	dev, err := open(name, phy.TunConfig{})
	if err != nil {
		return nil, err
	}
	if missing == nil {
		return dev, nil
	}
	if err := configureHost(dev.Name()); err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return dev, nil
}

// configureHost sets up the host's side of a new interface. Where the host has
// no IPv6 it does without and says so.
func configureHost(name string) error {
	if err := hostside.Configure(name, hostside.Config{Addrs: []netip.Prefix{HostAddr4}, Up: true}); err != nil {
		return err
	}
	err := hostside.Configure(name, hostside.Config{Addrs: []netip.Prefix{HostAddr6, HostLinkLocal}})
	if err != nil {
		fmt.Fprintf(os.Stderr, "going on without IPv6: %s\n", oneLine(err))
	}
	return nil
}

// Wrap puts around dev what the flags ask for. The capture is outermost: it
// shows what the stack sends, and what it receives after frames were lost and
// spoiled.
//
// With an error, dev is still the caller's; else it is closed with the device
// that is returned.
func (o *Options) Wrap(dev phy.Device) (phy.Device, error) {
	fault := phy.FaultConfig{
		DropChance:      float64(o.DropChance),
		CorruptChance:   float64(o.CorruptChance),
		SizeLimit:       o.SizeLimit,
		TxRateLimit:     o.TxRateLimit,
		RxRateLimit:     o.RxRateLimit,
		ShapingInterval: o.ShapingInterval,
	}
	var f *os.File
	if o.Pcap != "" {
		var err error
		if f, err = os.Create(o.Pcap); err != nil {
			return nil, err
		}
	}
	if fault != (phy.FaultConfig{ShapingInterval: o.ShapingInterval}) {
		dev = phy.NewFault(dev, fault) // not around a good link, whose offloads it would take away
	}
	if f != nil {
		dev = newCapture(dev, f)
	}
	return dev, nil
}

// A capture is a device whose frames go to a file, which is closed with it.
type capture struct {
	*phy.Pcap
	file  *os.File
	close sync.Once
	err   error // of Close
}

func newCapture(dev phy.Device, f *os.File) *capture {
	return &capture{file: f, Pcap: phy.NewPcap(dev, f, phy.PcapConfig{OnError: func(err error) {
		fmt.Fprintf(os.Stderr, "the capture ends here: %s\n", oneLine(err))
	}})}
}

// Close closes the device, then the file.
func (c *capture) Close() error {
	c.close.Do(func() { c.err = errors.Join(c.Pcap.Close(), c.file.Close()) })
	return c.err
}

// Stack returns a stack on [Options.Device] with the addresses of this
// package.
func (o *Options) Stack() (*netstack.Stack, error) {
	dev, err := o.Device()
	if err != nil {
		return nil, err
	}
	cfg := netstack.Config{
		Device: dev,
		Name:   o.TAP + o.TUN, // one of them is empty
		Addrs:  []netip.Prefix{StackAddr4, StackAddr6, StackLinkLocal},
		TCP:    o.TCP(),
	}
	if dev.Capabilities().Medium == phy.MediumEthernet { // elsewhere the stack needs no gateway
		cfg.Routes = []netstack.Route{
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: HostAddr4.Addr()},
			{Prefix: netip.MustParsePrefix("::/0"), Gateway: HostAddr6.Addr()},
		}
	}
	st, err := netstack.New(cfg)
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return st, nil
}
