package phy_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smolnet/internal/netns"
	"smolnet/netstack/wire"
	"smolnet/phy"
	"smolnet/phy/hostside"
)

// rawTun opens an interface as somebody else might have, and returns its
// descriptor.
func rawTun(t testing.TB, name string, flags uint16) int {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	ifr, err := unix.NewIfreq(name)
	require.NoError(t, err)
	ifr.SetUint16(flags)
	require.NoError(t, unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr))
	return fd
}

// TestAdoptedVnet: the header is used where the interface has one, whatever
// its length.
func TestAdoptedVnet(t *testing.T) {
	netns.New(t).Do(func() {
		route(t)
		for _, header := range []int{10, 12, 20} {
			fd := rawTun(t, "a", unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
			require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, header))
			a, err := phy.FromFD(fd, phy.MediumIP, 0)
			require.NoError(t, err)
			require.Equal(t, phy.Capabilities{
				Medium: phy.MediumIP, MTU: 1500, MaxSuperFrame: 65535, UDPSegments: true, TxChecksum: true,
			}, a.Capabilities())
			require.NoError(t, hostside.Configure("a", networks["a"]))
			b := openNet(t, "b", phy.TunConfig{})
			f := flow{wire.ProtoTCP, peers4[0], peers4[1]}
			sent := f.send(t, a, pattern(5000), 1000)
			payload, _, off := f.next(t, b, false)
			require.Equal(t, pattern(5000), payload)
			require.Equal(t, sent, off)
			f.src, f.dst = f.dst, f.src
			sent = f.send(t, b, pattern(5000), 1000)
			payload, _, off = f.next(t, a, false)
			require.Equal(t, pattern(5000), payload)
			require.Equal(t, sent, off)
			require.NoError(t, a.Close())
			require.NoError(t, b.Close())
		}
	})
}

// TestAdoptedRefused: what would be misunderstood is an error, and closed.
func TestAdoptedRefused(t *testing.T) {
	netns.New(t).Do(func() {
		const vnet = unix.IFF_NO_PI | unix.IFF_VNET_HDR
		for _, c := range []struct {
			flags  uint16
			medium phy.Medium
			header int
			want   string
		}{
			{unix.IFF_TUN | unix.IFF_NO_PI, phy.MediumEthernet, 0, "the frames of this interface are those of medium ip"},
			{unix.IFF_TAP | unix.IFF_NO_PI, phy.MediumIP, 0, "the frames of this interface are those of medium ethernet"},
			{unix.IFF_TUN | vnet, phy.MediumIP, 33, "a virtio-net header of 33 bytes"},
		} {
			fd := rawTun(t, "", c.flags)
			if c.header > 0 {
				require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, c.header))
			}
			_, err := phy.FromFD(fd, c.medium, 0)
			require.ErrorContains(t, err, ": "+c.want, "%+v", c)
			require.ErrorIs(t, unix.Close(fd), unix.EBADF, "it was closed")
		}
	})
}

// TestAttachForgetsOffloads: an interface that stays may have had a user that
// took super-frames. One that does not is not given any.
func TestAttachForgetsOffloads(t *testing.T) {
	netns.NeedPrograms(t, "ip")
	ns := netns.New(t)
	ns.Do(func() {
		route(t)
		ns.Output("ip", "tuntap", "add", "mode", "tun", "name", "b")
		require.NoError(t, openNet(t, "b", phy.TunConfig{}).Close())
		a, b := openNet(t, "a", phy.TunConfig{}), openNet(t, "b", phy.TunConfig{NoOffload: true})
		f := flow{wire.ProtoTCP, peers4[0], peers4[1]}
		f.send(t, a, pattern(2000), 1000)
		for range 2 {
			payload, _, off := f.next(t, b, true)
			require.Len(t, payload, 1000)
			require.Equal(t, phy.Offload{}, off)
		}
	})
}
