package phy

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// tunOffloads are the sets of offloads that a kernel may be able to leave to
// us, the one we want most first: UDP segmentation came with Linux 6.2.
var tunOffloads = [...]int{
	unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_USO4 | unix.TUN_F_USO6,
	unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6,
	unix.TUN_F_CSUM,
}

// offersVnet says whether the TUN driver knows virtio-net headers.
func offersVnet(fd int) bool {
	features, err := unix.IoctlGetUint32(fd, unix.TUNGETFEATURES)
	return err == nil && features&unix.IFF_VNET_HDR != 0
}

// setUpVnet has the headers of a TUN interface be n bytes long and
// little-endian, whatever the machine is.
func setUpVnet(fd, n int) error {
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, n); err != nil {
		return fmt.Errorf("virtio-net header: %w", err)
	}
	// Kernels that cannot be told (before Linux 4.1) have the machine's order.
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETLE, 1); err != nil && !littleEndian() {
		return fmt.Errorf("little-endian virtio-net header: %w", err)
	}
	return nil
}

// agreeOffloads tells a TUN interface what it may leave to us, which is nothing
// without a virtio-net header, and notes in caps what can be left to it.
//
// What is sent need not be agreed: the kernel takes all that it knows.
func agreeOffloads(fd int, vnet bool, caps *Capabilities) error {
	if !vnet {
		// An interface that stays keeps what was agreed with its last user.
		// Where nothing can be, nothing has been.
		_ = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0)
		return nil
	}
	var err error
	for _, set := range tunOffloads {
		if err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, set); err == nil {
			caps.TxChecksum = true
			if set&unix.TUN_F_TSO4 != 0 {
				caps.MaxSuperFrame = MaxMTU
				caps.UDPSegments = set&unix.TUN_F_USO4 != 0
			}
			return nil
		}
	}
	return fmt.Errorf("checksum offload: %w", err)
}

// littleEndian says whether that is the machine's order of bytes.
func littleEndian() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }
