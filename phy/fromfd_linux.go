package phy

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// FromFD makes a device of a file descriptor whose reads and writes take one
// frame each: a TUN or TAP interface without packet information that someone
// else has opened (with privileges, or in another namespace), a packet socket
// bound to an interface, or a SOCK_SEQPACKET socket pair. An mtu of zero means
// 1500. The device takes fd over: it is closed with it, and after an error.
//
// A virtio-net header is used where the interface (IFF_VNET_HDR) or the packet
// socket (PACKET_VNET_HDR) was opened with one; the interface's offloads are
// then set as [OpenTUN] sets them. An interface of the other medium, or a
// header that is longer than 32 bytes or not little-endian, is an error. That
// an interface has packet information cannot be seen.
//
// When the other end of a socket pair is closed, Receive drains what is left
// and then returns ErrClosed, like that of a [Pipe].
func FromFD(fd int, medium Medium, mtu int) (*TunTap, error) {
	caps := Capabilities{Medium: medium}
	name, vnet, err := adopt(fd, mtu, &caps)
	var d *TunTap
	if err != nil {
		unix.Close(fd)
	} else {
		d, err = newTunTap(fd, name, caps, vnet)
	}
	if err != nil {
		return nil, fmt.Errorf("phy: device from fd %d: %w", fd, err)
	}
	return d, nil
}

// adopt finds out what kind of descriptor fd is, the name of its interface and
// the length of the virtio-net header.
func adopt(fd, mtu int, caps *Capabilities) (name string, vnet int, err error) {
	if caps.MTU, err = checkMTU(mtu); err != nil {
		return "", 0, err
	}
	if caps.Medium != MediumEthernet && caps.Medium != MediumIP {
		return "", 0, fmt.Errorf("unknown medium %d", caps.Medium)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return "", 0, err
	}
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return "", 0, err
	}
	if unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr) != nil {
		vnet, err = adoptSocket(fd, caps)
		return "", vnet, err
	}
	vnet, err = adoptTun(fd, ifr.Uint16(), caps)
	return ifr.Name(), vnet, err
}

// adoptTun finds out what a TUN or TAP interface with these flags needs, and
// the length of its virtio-net header. IFF_NO_PI tells nothing: the kernel uses
// the same bit to say that there is no filter.
func adoptTun(fd int, flags uint16, caps *Capabilities) (vnet int, err error) {
	medium := MediumIP
	if flags&unix.IFF_TAP != 0 {
		medium = MediumEthernet
	}
	if medium != caps.Medium {
		return 0, fmt.Errorf("the frames of this interface are those of medium %s", medium)
	}
	if flags&unix.IFF_VNET_HDR != 0 {
		n, err := unix.IoctlGetUint32(fd, unix.TUNGETVNETHDRSZ)
		if err != nil {
			return 0, fmt.Errorf("virtio-net header: %w", err)
		}
		if n < vnetHeaderLen || n > maxVnetHeader {
			return 0, fmt.Errorf("a virtio-net header of %d bytes", n)
		}
		if vnet = int(n); !littleEndianTun(fd) {
			return 0, errors.New("a virtio-net header that is not little-endian")
		}
	}
	return vnet, agreeOffloads(fd, vnet > 0, caps)
}

// littleEndianTun says whether that is the order of the header's numbers. The
// kernels that cannot be asked have that of the machine.
func littleEndianTun(fd int) bool {
	if le, err := unix.IoctlGetUint32(fd, unix.TUNGETVNETLE); err == nil && le != 0 {
		return true
	}
	be, err := unix.IoctlGetUint32(fd, unix.TUNGETVNETBE)
	return littleEndian() && (err != nil || be == 0)
}

// adoptSocket returns the length of the virtio-net header that a packet socket
// has, zero for other sockets.
func adoptSocket(fd int, caps *Capabilities) (vnet int, err error) {
	on, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR)
	if err != nil || on == 0 {
		return 0, nil // another kind of socket, or without
	}
	if !littleEndian() { // the machine's order is the header's
		return 0, errors.New("a virtio-net header that is not little-endian")
	}
	caps.TxChecksum, caps.MaxSuperFrame = true, MaxMTU
	n, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR_SZ)
	if err != nil {
		return vnetHeaderLen, nil
	}
	if n < vnetHeaderLen || n > maxVnetHeader {
		return 0, fmt.Errorf("a virtio-net header of %d bytes", n)
	}
	caps.UDPSegments = true // Linux 6.2 has it; the header's length can be asked for since 6.5
	return n, nil
}
