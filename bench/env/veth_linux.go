package env

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"smolnet/internal/netns"
	"smolnet/phy/hostside"
)

// The names of the two ends of a veth pair, each in a namespace of its own.
const (
	vethClient = "veth0"
	vethServer = "veth1"
)

// joinVeth connects two namespaces.
func joinVeth(l Link, client, server *netns.NS) error {
	if err := inside(client, func() error { return addVeth(l.MTU) }); err != nil {
		return fmt.Errorf("veth: %w", err)
	}
	if err := moveVeth(client, server); err != nil {
		return fmt.Errorf("veth: %w", err)
	}
	for _, end := range []struct {
		ns   *netns.NS
		name string
		addr netip.Prefix
	}{{client, vethClient, clientPrefix}, {server, vethServer, serverPrefix}} {
		err := inside(end.ns, func() error {
			if l.Checksums && !l.SuperFrames {
				if err := offloadsOff(end.name); err != nil {
					return err
				}
			}
			return hostside.Configure(end.name, hostside.Config{Addrs: []netip.Prefix{end.addr}, MTU: l.MTU, Up: true})
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(
		inside(client, func() error { return awaitCarrier(vethClient) }),
		inside(server, func() error { return awaitCarrier(vethServer) }),
	)
}

// awaitCarrier waits until an interface, in the namespace of the calling thread,
// takes packets: the kernel notices a carrier some time after both ends are up,
// and drops everything until then.
func awaitCarrier(name string) error {
	const patience, pause = 5 * time.Second, time.Millisecond
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(pause) {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
	}
	return fmt.Errorf("%s has no carrier after %v", name, patience)
}

// addVeth makes the pair in the namespace of the calling thread.
func addVeth(mtu int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = vethClient, mtu
	return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: vethServer})
}

// moveVeth takes the server's end to its namespace.
func moveVeth(client, server *netns.NS) error {
	target := -1
	err := inside(server, func() (err error) {
		target, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return inside(client, func() error {
		end, err := netlink.LinkByName(vethServer)
		if err != nil {
			return err
		}
		return netlink.LinkSetNsFd(end, target)
	})
}

// The commands of include/uapi/linux/ethtool.h that switch an offload. Later
// ones build on earlier ones, so they are switched off from the top down.
var ethtoolOffloads = []struct {
	name string
	set  uint32
}{
	{"generic receive offload", unix.ETHTOOL_SGRO},
	{"generic segmentation offload", unix.ETHTOOL_SGSO},
	{"TCP segmentation offload", unix.ETHTOOL_STSO},
	{"transmit checksums", unix.ETHTOOL_STXCSUM},
	{"receive checksums", unix.ETHTOOL_SRXCSUM},
}

// ethtoolValue is struct ethtool_value.
type ethtoolValue struct{ cmd, data uint32 }

// ethtoolIfreq is struct ifreq with a pointer in its union, which is 24 bytes
// at most.
type ethtoolIfreq struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

// offloadsOff switches the offloads of an interface off, in the namespace of the
// calling thread.
func offloadsOff(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, o := range ethtoolOffloads {
		value := ethtoolValue{cmd: o.set}
		req := ethtoolIfreq{data: unsafe.Pointer(&value)}
		if copy(req.name[:len(req.name)-1], name) < len(name) {
			return errors.New("interface name is too long")
		}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
			return fmt.Errorf("switching off %s of %s: %w", o.name, name, errno)
		}
	}
	return nil
}
