package phy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// packetSocketBuffer is how much memory of the kernel's the frames of a packet
// socket may take each way, in bytes, as far as the system allows. What comes
// beyond it is lost.
const packetSocketBuffer = 4 << 20

// OpenPacket attaches to an existing Ethernet interface (a network card, one
// end of a veth pair) by a packet socket, beside the kernel's own stack: as a
// host of its own, with a hardware address of its own, on the same link. It has
// the interface's MTU. The interface has to be up for anything to get through.
//
// Frames with a VLAN tag are not received. What this machine sends on the
// interface is not either: it and the device do not reach each other, unless
// something on the link turns frames round. A wireless interface, or a switch
// that knows who is allowed where, may not carry the frames of a second address.
//
// Without the right to do so the error satisfies [os.ErrPermission], and
// [os.ErrNotExist] if there is no such interface.
func OpenPacket(ifname string, cfg PacketConfig) (*TunTap, error) {
	d, err := openPacket(ifname, cfg)
	if err != nil {
		return nil, fmt.Errorf("phy: open packet socket on %q: %w", ifname, err)
	}
	return d, nil
}

func openPacket(ifname string, cfg PacketConfig) (*TunTap, error) {
	caps := Capabilities{Medium: MediumEthernet, HardwareAddr: cfg.HardwareAddr}
	if caps.HardwareAddr == ([6]byte{}) {
		caps.HardwareAddr = randomHardwareAddr()
	}
	if caps.HardwareAddr[0]&1 != 0 {
		return nil, errors.New("HardwareAddr is that of a group")
	}
	// Until it is bound, a socket of no protocol receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w (needs root or CAP_NET_RAW)", err)
		}
		return nil, err
	}
	vnet, err := setUpPacket(fd, ifname, cfg, &caps)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newTunTap(fd, ifname, caps, vnet)
}

// randomHardwareAddr returns a locally administered address (IEEE 802, 8.4.2).
func randomHardwareAddr() (a [6]byte) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], rand.Uint64())
	copy(a[:], b[:])
	a[0] = a[0]&^1 | 2
	return a
}

// setUpPacket makes a packet socket the way cfg wants it and binds it to the
// interface. It returns the length of the virtio-net header.
func setUpPacket(fd int, ifname string, cfg PacketConfig, caps *Capabilities) (vnet int, err error) {
	index, err := ethernetInterface(fd, ifname)
	if err != nil {
		return 0, err
	}
	if caps.MTU, err = interfaceMTU(ifname, 0); err != nil {
		return 0, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return 0, fmt.Errorf("PACKET_IGNORE_OUTGOING (Linux 4.20): %w", err)
	}
	if !cfg.NoOffload && littleEndian() && unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1) == nil {
		if vnet, err = adoptSocket(fd, caps); err != nil {
			return 0, err
		}
	}
	setPacketBuffers(fd)
	filter := packetFilter(caps.HardwareAddr, cfg.Promiscuous)
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return 0, fmt.Errorf("filter: %w", err)
	}
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8
	protocol := uint16(unix.ETH_P_ALL) // in network order
	if littleEndian() {
		protocol = all
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: index}); err != nil {
		return 0, fmt.Errorf("bind: %w", err)
	}
	return vnet, joinPacket(fd, index, cfg, caps)
}

// ethernetInterface returns the index of the interface of that name.
func ethernetInterface(fd int, ifname string) (int, error) {
	ifr, err := unix.NewIfreq(ifname)
	if err != nil {
		return 0, fmt.Errorf("%w (a name has at most %d bytes)", err, unix.IFNAMSIZ-1)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFHWADDR, ifr); err != nil {
		if errors.Is(err, unix.ENODEV) {
			err = fmt.Errorf("no such interface: %w", fs.ErrNotExist)
		}
		return 0, err
	}
	if ifr.Uint16() != unix.ARPHRD_ETHER {
		return 0, errors.New("not an Ethernet interface")
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr); err != nil {
		return 0, err
	}
	return int(ifr.Uint32()), nil
}

// setPacketBuffers asks for packetSocketBuffer bytes each way, past the
// system's limit where that is allowed.
func setPacketBuffers(fd int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, packetSocketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, packetSocketBuffer)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, packetSocketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, packetSocketBuffer)
	}
}

// joinPacket has the interface let through what is for us, as long as the
// socket is open: groups (those of Neighbour Discovery among them), and our
// address or everything.
func joinPacket(fd, index int, cfg PacketConfig, caps *Capabilities) error {
	own := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_UNICAST, Alen: 6}
	copy(own.Address[:], caps.HardwareAddr[:])
	if cfg.Promiscuous {
		own = unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	}
	groups := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_ALLMULTI}
	for _, m := range []*unix.PacketMreq{&own, &groups} {
		if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, m); err != nil {
			return fmt.Errorf("membership: %w", err)
		}
	}
	return nil
}

// packetFilter returns the program that says which frames a packet socket
// receives: none with a VLAN tag, which would arrive without it, and, unless
// the socket is promiscuous, only those to addr and to groups.
func packetFilter(addr [6]byte, promiscuous bool) []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		bits  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		end   = unix.BPF_RET | unix.BPF_K

		// Of a frame's metadata, from linux/filter.h: SKF_AD_OFF and
		// SKF_AD_VLAN_TAG_PRESENT.
		vlanPresent = 0xfffff000 + 48

		whole = 1 << 18 // longer than every frame
	)
	tagged := []unix.SockFilter{
		{Code: load | unix.BPF_B, K: vlanPresent},
		{Code: equal, K: 0, Jt: 1},
		{Code: end, K: 0},
	}
	if promiscuous {
		return append(tagged, unix.SockFilter{Code: end, K: whole})
	}
	return append(tagged,
		unix.SockFilter{Code: load | unix.BPF_B, K: 0},
		unix.SockFilter{Code: bits, K: 1, Jt: 4}, // a group
		unix.SockFilter{Code: load | unix.BPF_W, K: 0},
		unix.SockFilter{Code: equal, K: binary.BigEndian.Uint32(addr[:]), Jf: 3},
		unix.SockFilter{Code: load | unix.BPF_H, K: 4},
		unix.SockFilter{Code: equal, K: uint32(binary.BigEndian.Uint16(addr[4:])), Jf: 1},
		unix.SockFilter{Code: end, K: whole},
		unix.SockFilter{Code: end, K: 0},
	)
}
