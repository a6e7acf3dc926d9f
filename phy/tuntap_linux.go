package phy

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

const tunPath = "/dev/net/tun"

// OpenTUN opens a TUN interface, whose frames are IP packets: the one of that
// name, or a new one if there is none. Of an empty name the kernel makes one
// up, and a %d in it stands for the first free number; Name tells.
//
// A new interface is down, without addresses, and gone when the device is
// closed; [ConfigureHost] gives it what the host's side needs.
//
// Without the right to do so the error satisfies [os.ErrPermission], and
// [os.ErrNotExist] if the kernel has no TUN driver.
func OpenTUN(name string, cfg TunConfig) (*TunTap, error) {
	return openTunTap(name, cfg, "TUN", unix.IFF_TUN, MediumIP)
}

// OpenTAP opens a TAP interface, whose frames are those of Ethernet. All else
// is as with [OpenTUN]. The interface has a hardware address of its own, which
// belongs to the host's side.
func OpenTAP(name string, cfg TunConfig) (*TunTap, error) {
	return openTunTap(name, cfg, "TAP", unix.IFF_TAP, MediumEthernet)
}

func openTunTap(name string, cfg TunConfig, kind string, flag uint16, medium Medium) (*TunTap, error) {
	d, err := attachTunTap(name, cfg, flag, medium)
	if err != nil {
		return nil, fmt.Errorf("phy: open %s %q: %w", kind, name, err)
	}
	return d, nil
}

func attachTunTap(name string, cfg TunConfig, flag uint16, medium Medium) (*TunTap, error) {
	if cfg.MTU != 0 {
		if _, err := checkMTU(cfg.MTU); err != nil {
			return nil, err
		}
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("%w (a name has at most %d bytes)", err, unix.IFNAMSIZ-1)
	}
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, explain(&fs.PathError{Op: "open", Path: tunPath, Err: err}, "")
	}
	// No packet information: frames start with their own header. A virtio-net
	// header in front of them would be IFF_VNET_HDR, here and in fdLink.
	ifr.SetUint16(flag | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return nil, explain(err, name)
	}
	mtu, err := interfaceMTU(ifr.Name(), cfg.MTU)
	if err != nil {
		unix.Close(fd)
		return nil, explain(fmt.Errorf("MTU: %w", err), "")
	}
	return newTunTap(fd, ifr.Name(), medium, mtu)
}

// explain adds to err what it most likely means.
func explain(err error, name string) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (needs root or CAP_NET_ADMIN)", err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w (is the kernel's tun module there?)", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w (in use by another program)", err)
	case errors.Is(err, unix.EINVAL) && name != "":
		return fmt.Errorf("%w (not a name, or that of another kind of interface)", err)
	}
	return err
}

// interfaceMTU sets the MTU of an interface, unless want is zero, and returns
// what it is.
func interfaceMTU(name string, want int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFMTU, ifr); err != nil {
		return 0, err
	}
	mtu := int(ifr.Uint32())
	if want == 0 || want == mtu {
		return checkMTU(mtu)
	}
	ifr.SetUint32(uint32(want))
	return want, unix.IoctlIfreq(fd, unix.SIOCSIFMTU, ifr)
}

// FromFD makes a device of a file descriptor whose reads and writes take one
// frame each: a TUN or TAP interface without packet information that someone
// else has opened (with privileges, or in another namespace), a packet socket
// bound to an interface, or a SOCK_SEQPACKET socket pair. An mtu of zero means
// 1500. The device takes fd over: it is closed with it, and after an error.
//
// When the other end of a socket pair is closed, Receive drains what is left
// and then returns ErrClosed, like that of a [Pipe].
func FromFD(fd int, medium Medium, mtu int) (*TunTap, error) {
	d, err := adopt(fd, medium, mtu)
	if err != nil {
		return nil, fmt.Errorf("phy: device from fd %d: %w", fd, err)
	}
	return d, nil
}

func adopt(fd int, medium Medium, mtu int) (*TunTap, error) {
	mtu, err := checkMTU(mtu)
	if err == nil && medium != MediumEthernet && medium != MediumIP {
		err = fmt.Errorf("unknown medium %d", medium)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	name := ""
	if ifr, err := unix.NewIfreq(""); err == nil && unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr) == nil {
		name = ifr.Name()
	}
	return newTunTap(fd, name, medium, mtu)
}
