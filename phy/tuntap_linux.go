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
// closed; package hostside gives it what the host's side needs.
//
// Checksums and segmentation are left to the kernel as far as it offers to do
// them, which Capabilities tell, and it leaves them to us: super-frames arrive,
// and frames whose checksum was never computed.
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

// OpenTUNQueues opens a TUN interface with n queues, from 1 to [MaxTunQueues],
// each of which is a device for a stack and a CPU of its own. If one cannot be
// opened, none is.
//
// What is sent on a queue, the interface receives. What the interface sends
// goes to the queue on which that flow was last sent from, and that of a flow
// which the host begins to the one that a hash of it names. Thus stacks with
// the same addresses, one on each queue, share the load, as long as each
// accepts connections. Closing a queue spreads its flows over the others.
//
// An interface that exists already must have been made for several queues.
func OpenTUNQueues(name string, n int, cfg TunConfig) ([]*TunTap, error) {
	return openQueues(name, n, cfg, "TUN", unix.IFF_TUN, MediumIP)
}

// OpenTAPQueues opens a TAP interface with n queues, see [OpenTUNQueues] and
// [OpenTAP].
func OpenTAPQueues(name string, n int, cfg TunConfig) ([]*TunTap, error) {
	return openQueues(name, n, cfg, "TAP", unix.IFF_TAP, MediumEthernet)
}

func openTunTap(name string, cfg TunConfig, kind string, flag uint16, medium Medium) (*TunTap, error) {
	d, err := attachTunTap(name, cfg, flag, medium)
	if err != nil {
		return nil, fmt.Errorf("phy: open %s %q: %w", kind, name, err)
	}
	return d, nil
}

func openQueues(name string, n int, cfg TunConfig, kind string, flag uint16, medium Medium) ([]*TunTap, error) {
	if n < 1 || n > MaxTunQueues {
		return nil, fmt.Errorf("phy: open %s %q: %d queues are not between 1 and %d", kind, name, n, MaxTunQueues)
	}
	queues := make([]*TunTap, 0, n)
	for i := range n {
		d, err := attachTunTap(name, cfg, flag|unix.IFF_MULTI_QUEUE, medium)
		if err != nil {
			for _, q := range queues {
				q.Close()
			}
			return nil, fmt.Errorf("phy: open %s %q: queue %d: %w", kind, name, i, err)
		}
		name = d.name
		queues = append(queues, d)
	}
	return queues, nil
}

func attachTunTap(name string, cfg TunConfig, flags uint16, medium Medium) (*TunTap, error) {
	if cfg.MTU != 0 {
		if _, err := checkMTU(cfg.MTU); err != nil {
			return nil, err
		}
	}
	if cfg.TxQueueLen < 0 || cfg.TxQueueLen > MaxTxQueueLen {
		return nil, fmt.Errorf("TxQueueLen %d is not between 0 and %d", cfg.TxQueueLen, MaxTxQueueLen)
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("%w (a name has at most %d bytes)", err, unix.IFNAMSIZ-1)
	}
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, explain(&fs.PathError{Op: "open", Path: tunPath, Err: err}, "")
	}
	vnet := !cfg.NoOffload && offersVnet(fd)
	// No packet information: frames start with their own header.
	flags |= unix.IFF_NO_PI
	if vnet {
		flags |= unix.IFF_VNET_HDR
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return nil, explain(err, name)
	}
	caps := Capabilities{Medium: medium}
	header := 0
	if vnet {
		header = vnetHeaderLen
	}
	if err := setUpTunTap(fd, ifr.Name(), cfg, header, &caps); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newTunTap(fd, ifr.Name(), caps, header)
}

// setUpTunTap makes the interface that fd is attached to what cfg wants, with
// a virtio-net header of vnet bytes, and notes in caps what that is.
func setUpTunTap(fd int, name string, cfg TunConfig, vnet int, caps *Capabilities) error {
	var err error
	if caps.MTU, err = interfaceMTU(name, cfg.MTU); err != nil {
		return explain(fmt.Errorf("MTU: %w", err), "")
	}
	if cfg.TxQueueLen != 0 {
		if err := setTxQueueLen(name, cfg.TxQueueLen); err != nil {
			return explain(fmt.Errorf("TxQueueLen: %w", err), "")
		}
	}
	if vnet > 0 {
		if err := setUpVnet(fd, vnet); err != nil {
			return err
		}
	}
	return agreeOffloads(fd, vnet > 0, caps)
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

func setTxQueueLen(name string, n int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint32(uint32(n))
	return unix.IoctlIfreq(fd, unix.SIOCSIFTXQLEN, ifr)
}
