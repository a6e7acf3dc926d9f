package env

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"smolnet/phy"
	"smolnet/phy/hostside"
)

const (
	tunName = "tun0"
	tunMTU  = 1500
)

// makeTUN joins a stack and the kernel. The kernel is set up as in makeKernel,
// and its interface is the same for all stacks.
func makeTUN(name string, cfg Config, t TUN) (*Pair, error) {
	peer, err := newKernel(cfg, serverPrefix.Addr())
	if err != nil {
		return nil, err
	}
	var host Env
	var closing func() error
	switch name {
	case Smolnet:
		host, err = tunSmolnet(cfg, peer, t)
	case GVisor:
		host, closing, err = tunGVisor(cfg, peer, t)
	default:
		err = fmt.Errorf("no stack of ours is named %q", name)
	}
	if err != nil {
		return nil, errors.Join(err, peer.Close())
	}
	if t.Inward {
		return NewPair(peer, host, closing), nil
	}
	return NewPair(host, peer, closing), nil
}

func tunSmolnet(cfg Config, peer *kernel, t TUN) (Env, error) {
	dev, err := peer.openTUN(serverPrefix, phy.TunConfig{MTU: tunMTU, NoOffload: !t.Offload})
	if err != nil {
		return nil, err
	}
	h, err := newSmolnet(cfg, dev, clientPrefix)
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return h, nil
}

func tunGVisor(cfg Config, peer *kernel, t TUN) (Env, func() error, error) {
	var fd int
	err := peer.inside(func() (err error) {
		if fd, err = openTUNFile(t.Offload); err != nil {
			return err
		}
		return hostside.Configure(tunName, hostside.Config{Addrs: []netip.Prefix{serverPrefix}, MTU: tunMTU, Up: true})
	})
	closing := func() error { return unix.Close(fd) }
	if err != nil {
		if fd > 0 {
			err = errors.Join(err, closing())
		}
		return nil, nil, err
	}
	ep, release, err := newTUNEndpoint(fd, t.Offload)
	if err != nil {
		return nil, nil, errors.Join(err, closing())
	}
	h, err := newGVisor(cfg, ep, clientPrefix)
	if err != nil {
		release()
		return nil, nil, errors.Join(err, closing())
	}
	return h, func() error {
		release()
		return closing()
	}, nil
}

// openTUNFile makes the interface, in the namespace of the calling thread.
func openTUNFile(offload bool) (fd int, err error) {
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("%w: /dev/net/tun: %w", ErrUnavailable, err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
			fd = 0
		}
	}()
	ifr, err := unix.NewIfreq(tunName)
	if err != nil {
		return fd, err
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if offload {
		flags |= unix.IFF_VNET_HDR
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return fd, fmt.Errorf("%w: TUNSETIFF: %w", ErrUnavailable, err)
	}
	if offload {
		// What the kernel may leave to us. The header is 10 bytes long then.
		if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6); err != nil {
			return fd, fmt.Errorf("TUNSETOFFLOAD: %w", err)
		}
	}
	return fd, nil
}
