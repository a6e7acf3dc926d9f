package phy_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smolnet/dialer"
	"smolnet/internal/netns"
	"smolnet/netstack"
	"smolnet/phy"
	"smolnet/phy/hostside"
	"smolnet/phy/phytest"
)

// veth makes a pair of interfaces in a namespace of their own, both up.
func veth(t testing.TB) *netns.NS {
	netns.NeedPrograms(t, "ip")
	ns := netns.New(t)
	ns.Do(func() {
		require.NoError(t, os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0))
		ns.Output("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
		for _, name := range []string{"v0", "v1"} {
			require.NoError(t, hostside.Configure(name, hostside.Config{Up: true, MTU: 1400}))
		}
		carries(t, "v0", "v1")
		carries(t, "v1", "v0")
	})
	return ns
}

// carries waits until what is sent on one interface arrives at the other. For
// a moment after they are up the kernel accepts frames and drops them.
func carries(t testing.TB, from, to string) {
	t.Helper()
	a, err := phy.OpenPacket(from, phy.PacketConfig{})
	require.NoError(t, err)
	defer a.Close()
	b, err := phy.OpenPacket(to, phy.PacketConfig{Promiscuous: true})
	require.NoError(t, err)
	defer b.Close()
	for end := time.Now().Add(giveUp); ; {
		require.True(t, time.Now().Before(end), "nothing arrives")
		room, err := a.TxBuffer()
		require.NoError(t, err)
		clear(room[:60])
		require.NoError(t, a.Commit(60, phy.Offload{}))
		require.NoError(t, b.Wait(10*time.Millisecond))
		if _, err := b.Receive(); !errors.Is(err, phy.ErrWouldBlock) {
			require.NoError(t, err)
			return
		}
	}
}

func TestOpenPacket(t *testing.T) {
	for name, noOffload := range map[string]bool{"": false, "NoOffload": true} {
		t.Run("veth"+name, func(t *testing.T) {
			phytest.Suite{
				Window: 32,
				Frames: often(4000),
				Open: func(t *testing.T) (a, b phy.Device) {
					veth(t).Do(func() {
						cfg := phy.PacketConfig{NoOffload: noOffload, Promiscuous: true}
						x, err := phy.OpenPacket("v0", cfg)
						require.NoError(t, err)
						require.Equal(t, "v0", x.Name())
						require.Equal(t, 1400, x.Capabilities().MTU)
						require.Equal(t, noOffload, x.Capabilities().MaxSuperFrame == 0)
						y, err := phy.OpenPacket("v1", cfg)
						require.NoError(t, err)
						a, b = x, y
					})
					return a, b
				},
			}.Run(t)
		})
	}
}

func TestOpenPacketErrors(t *testing.T) {
	netns.New(t).Do(func() {
		_, err := phy.OpenPacket("none0", phy.PacketConfig{})
		require.ErrorIs(t, err, os.ErrNotExist)
		require.EqualError(t, err, `phy: open packet socket on "none0": no such interface: file does not exist`)
		_, err = phy.OpenPacket("lo", phy.PacketConfig{})
		require.ErrorContains(t, err, "not an Ethernet interface")
		_, err = phy.OpenPacket("a-name-of-16-byte", phy.PacketConfig{})
		require.ErrorIs(t, err, unix.EINVAL)
		_, err = phy.OpenPacket("lo", phy.PacketConfig{HardwareAddr: [6]byte{1}})
		require.ErrorContains(t, err, "HardwareAddr is that of a group")
	})
}

// TestPacketFilter: a device hears its own address and groups, nothing that
// has a VLAN tag, and nothing that its own side of the link sends.
func TestPacketFilter(t *testing.T) {
	own := [6]byte{2, 0, 0, 0, 0, 7}
	ns := veth(t)
	ns.Do(func() {
		peer, err := phy.OpenPacket("v1", phy.PacketConfig{})
		require.NoError(t, err)
		defer peer.Close()
		hw := peer.Capabilities().HardwareAddr
		require.Equal(t, byte(2), hw[0]&3, "local, not a group")
		for _, promiscuous := range []bool{false, true} {
			d, err := phy.OpenPacket("v0", phy.PacketConfig{HardwareAddr: own, Promiscuous: promiscuous})
			require.NoError(t, err)
			beside, err := phy.OpenPacket("v0", phy.PacketConfig{})
			require.NoError(t, err)
			require.Equal(t, own, d.Capabilities().HardwareAddr)
			send := func(from phy.Device, dst string, body string) {
				room, err := from.TxBuffer()
				require.NoError(t, err)
				clear(room[:100])
				copy(room, dst)
				copy(room[12:], body)
				require.NoError(t, from.Commit(100, phy.Offload{}))
			}
			send(peer, "\x02\x00\x00\x00\x00\x08", "\x88\xb5other low half")
			send(peer, "\x02\x00\x00\x01\x00\x07", "\x88\xb5other high half")
			send(peer, string(own[:]), "\x81\x00\x00\x01\x88\xb5tagged")
			send(beside, string(own[:]), "\x88\xb5sent on the same interface")
			send(peer, string(own[:]), "\x88\xb5own")
			send(peer, "\x33\x33\xff\x00\x00\x01", "\x88\xb5group")
			send(peer, "\xff\xff\xff\xff\xff\xff", "\x88\xb5everybody")
			want := []string{"own", "group", "everybody"}
			if promiscuous {
				want = append([]string{"other low half", "other high half"}, want...)
			}
			for _, body := range want {
				f, err := d.Receive()
				for errors.Is(err, phy.ErrWouldBlock) {
					require.NoError(t, d.Wait(giveUp))
					f, err = d.Receive()
				}
				require.NoError(t, err)
				require.Equal(t, body, string(f.Data[14:14+len(body)]))
			}
			require.NoError(t, d.Close())
			require.NoError(t, beside.Close())
		}
	})
}

// TestPacketKernelTCP: a stack on a veth talks to the kernel's at its other
// end, in super-frames.
func TestPacketKernelTCP(t *testing.T) {
	var l net.Listener
	var g *gauge
	veth(t).Do(func() {
		d, err := phy.OpenPacket("v0", phy.PacketConfig{})
		require.NoError(t, err)
		g = &gauge{Device: d}
		require.NoError(t, hostside.Configure("v1", hostside.Config{Addrs: networks["a"].Addrs[:1]}))
		l, err = net.Listen("tcp", netip.AddrPortFrom(networks["a"].Addrs[0].Addr(), 0).String())
		require.NoError(t, err)
	})
	defer l.Close()
	st, err := netstack.New(netstack.Config{Device: g, Addrs: []netip.Prefix{netip.PrefixFrom(peers4[0], 24)}})
	require.NoError(t, err)
	defer st.Close()
	ours, err := (&dialer.Dialer{Stack: st, Timeout: giveUp}).Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	kernels, err := l.Accept()
	require.NoError(t, err)
	defer kernels.Close()
	want, got := pattern(8<<20), make([]byte, 8<<20)
	for _, way := range [][2]net.Conn{{ours, kernels}, {kernels, ours}} {
		sent := make(chan error, 1)
		go func() {
			_, err := way[0].Write(want)
			sent <- err
		}()
		require.NoError(t, way[1].SetReadDeadline(time.Now().Add(giveUp)))
		_, err := io.ReadFull(way[1], got)
		require.NoError(t, err)
		require.NoError(t, <-sent)
		require.Equal(t, string(want), string(got))
	}
	require.NoError(t, st.Close())
	require.NotZero(t, g.txSuper)
	require.NotZero(t, g.rxSuper)
}
