package phy_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smolnet/internal/netns"
	"smolnet/phy"
	"smolnet/phy/hostside"
	"smolnet/phy/phytest"
)

// socketPair returns two devices on the ends of a socket pair with little
// room, so that the kernel says "no room" often.
func socketPair(t *testing.T, medium phy.Medium, mtu int) (a, b *phy.TunTap) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	var ends [2]*phy.TunTap
	for i, fd := range fds {
		require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10))
		ends[i], err = phy.FromFD(fd, medium, mtu)
		require.NoError(t, err)
		t.Cleanup(func() { ends[i].Close() })
	}
	return ends[0], ends[1]
}

func TestSocketPair(t *testing.T) {
	for _, medium := range []phy.Medium{phy.MediumEthernet, phy.MediumIP} {
		t.Run(medium.String(), func(t *testing.T) {
			phytest.Suite{
				Frames: often(20000),
				Open:   func(t *testing.T) (a, b phy.Device) { return socketPair(t, medium, 1500) },
			}.Run(t)
		})
	}
}

func TestSocketPairPeerCloses(t *testing.T) {
	a, b := socketPair(t, phy.MediumIP, 0)
	require.Equal(t, 1500, a.Capabilities().MTU)
	put(t, a, 60, 7)
	put(t, a, 61, 8)
	put(t, b, 60, 9) // never received: makes the kernel report a reset first
	require.NoError(t, a.Close())
	for _, n := range []int{60, 61} {
		var f phy.Frame
		err := phy.ErrWouldBlock
		for errors.Is(err, phy.ErrWouldBlock) {
			require.NoError(t, b.Wait(-1))
			f, err = b.Receive()
		}
		require.NoError(t, err)
		require.Len(t, f.Data, n)
	}
	put(t, b, 60, 9) // goes nowhere
	require.ErrorIs(t, b.Wait(-1), phy.ErrClosed)
	_, err := b.Receive()
	require.ErrorIs(t, err, phy.ErrClosed)
	require.Equal(t, phy.TunStats{RxFrames: 2, TxFrames: 1, TxLost: 1}, b.Stats())
}

// TestSocketPairHeld: a frame that the kernel has no room for is kept, and
// sent as soon as there is some, with nothing but Wait being called.
func TestSocketPairHeld(t *testing.T) {
	a, b := socketPair(t, phy.MediumIP, 0)
	sent := 0
	for {
		if _, err := a.TxBuffer(); err != nil {
			require.ErrorIs(t, err, phy.ErrWouldBlock)
			break
		}
		require.NoError(t, a.Commit(1000, phy.Offload{}))
		sent++
	}
	require.Equal(t, phy.TunStats{TxFrames: uint64(sent - 1), TxHeld: 1}, a.Stats())
	for got := 0; got < sent; {
		if _, err := b.Receive(); err == nil {
			got++
		} else {
			require.ErrorIs(t, err, phy.ErrWouldBlock)
			require.NoError(t, a.Wait(-1))
		}
	}
	_, err := a.TxBuffer()
	require.NoError(t, err)
	require.Equal(t, phy.TunStats{TxFrames: uint64(sent), TxHeld: 1}, a.Stats())
}

func TestFromFDErrors(t *testing.T) {
	_, err := phy.FromFD(-1, phy.MediumIP, 0)
	require.ErrorIs(t, err, unix.EBADF)
	require.ErrorContains(t, err, "phy: device from fd -1: ")

	fd := func() int {
		f, err := os.Create(t.TempDir() + "/file")
		require.NoError(t, err)
		defer f.Close()
		fd, err := unix.Dup(int(f.Fd()))
		require.NoError(t, err)
		return fd
	}
	n := fd()
	_, err = phy.FromFD(n, phy.MediumIP, 0)
	require.ErrorIs(t, err, os.ErrNoDeadline)
	require.ErrorIs(t, unix.Close(n), unix.EBADF, "it was closed")
	_, err = phy.FromFD(fd(), phy.MediumIP, 67)
	require.ErrorContains(t, err, "MTU 67 is not between 68 and 65535")
	_, err = phy.FromFD(fd(), 9, 1500)
	require.ErrorContains(t, err, "medium")
}

// quiet keeps the kernel from sending anything by itself on new interfaces.
func quiet(t *testing.T) {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if !errors.Is(err, fs.ErrNotExist) { // no IPv6 at all
		require.NoError(t, err)
	}
}

// packetSocket returns a device on a packet socket on the interface: the
// frames that the kernel receives from it, and a way to send some.
func packetSocket(t *testing.T, name string, medium phy.Medium, mtu int) phy.Device {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // in network order
	index, err := unix.NewIfreq(name)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, index))
	require.NoError(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: int(index.Uint32())}))
	d, err := phy.FromFD(fd, medium, mtu)
	require.NoError(t, err)
	return d
}

var openers = map[string]func(string, phy.TunConfig) (*phy.TunTap, error){"TUN": phy.OpenTUN, "TAP": phy.OpenTAP}

var queueOpeners = map[string]func(string, int, phy.TunConfig) ([]*phy.TunTap, error){
	"TUN": phy.OpenTUNQueues, "TAP": phy.OpenTAPQueues,
}

func TestTunTap(t *testing.T) {
	for kind, open := range openers {
		for name, noOffload := range map[string]bool{"": false, "NoOffload": true} {
			t.Run(kind+name, func(t *testing.T) {
				testTunTap(t, open, phy.TunConfig{MTU: 1400, NoOffload: noOffload})
			})
		}
	}
	for kind, open := range queueOpeners {
		t.Run(kind+"Queue", func(t *testing.T) {
			testTunTap(t, func(name string, cfg phy.TunConfig) (*phy.TunTap, error) {
				queues, err := open(name, 1, cfg)
				if err != nil {
					return nil, err
				}
				return queues[0], nil
			}, phy.TunConfig{MTU: 1400})
		})
	}
}

func testTunTap(t *testing.T, open func(string, phy.TunConfig) (*phy.TunTap, error), cfg phy.TunConfig) {
	phytest.Suite{
		Window: 32,
		Frames: often(4000),
		Open: func(t *testing.T) (a, b phy.Device) {
			netns.New(t).Do(func() {
				quiet(t)
				d, err := open("test0", cfg)
				require.NoError(t, err)
				require.Equal(t, "test0", d.Name())
				require.Equal(t, cfg.NoOffload, d.Capabilities().MaxSuperFrame == 0)
				require.NoError(t, hostside.Configure("test0", hostside.Config{Up: true}))
				a, b = d, packetSocket(t, "test0", d.Capabilities().Medium, cfg.MTU)
			})
			return a, b
		},
	}.Run(t)
}

func TestOpenTunTap(t *testing.T) {
	ns := netns.New(t)
	for kind, open := range openers {
		ns.Do(func() {
			d, err := open("", phy.TunConfig{})
			require.NoError(t, err)
			require.Equal(t, strings.ToLower(kind)+"0", d.Name(), "the kernel's choice")
			medium := map[string]phy.Medium{"TUN": phy.MediumIP, "TAP": phy.MediumEthernet}[kind]
			require.Equal(t, phy.Capabilities{
				Medium: medium, MTU: 1500, MaxSuperFrame: 65535, UDPSegments: true, TxChecksum: true,
			}, d.Capabilities(), "those of Linux 6.2 and later")
			numbered, err := open("smol%d", phy.TunConfig{MTU: 9000, TxQueueLen: 2000, NoOffload: true})
			require.NoError(t, err)
			require.Equal(t, "smol0", numbered.Name())
			require.Equal(t, phy.Capabilities{Medium: medium, MTU: 9000}, numbered.Capabilities())
			require.Contains(t, ns.Output("ip", "link", "show", "smol0"), "mtu 9000")
			require.Contains(t, ns.Output("ip", "link", "show", "smol0"), "qlen 2000")

			_, err = open("smol0", phy.TunConfig{})
			require.ErrorIs(t, err, unix.EBUSY)
			require.EqualError(t, err, "phy: open "+kind+` "smol0": device or resource busy (in use by another program)`)
			require.NoError(t, numbered.Close())
			require.NoError(t, d.Close())

			_, err = open("lo", phy.TunConfig{})
			require.ErrorIs(t, err, unix.EINVAL)
			require.ErrorContains(t, err, "another kind of interface")
			_, err = open("a-name-of-16-byte", phy.TunConfig{})
			require.ErrorIs(t, err, unix.EINVAL)
			_, err = open("smol1", phy.TunConfig{MTU: 65536})
			require.ErrorContains(t, err, "MTU 65536")
			_, err = open("smol1", phy.TunConfig{TxQueueLen: -1})
			require.ErrorContains(t, err, "TxQueueLen -1 is not between 0 and 65536")
			ns.Output("sh", "-c", "! ip link show smol1")
		})
	}
}

// TestAttachPersistent: an interface that an administrator has made stays when
// the device is closed, and can be used again.
func TestAttachPersistent(t *testing.T) {
	netns.NeedPrograms(t, "ip")
	ns := netns.New(t)
	ns.Output("ip", "tuntap", "add", "mode", "tun", "name", "keep0")
	ns.Output("ip", "link", "set", "keep0", "mtu", "1380")
	for range 2 {
		ns.Do(func() {
			d, err := phy.OpenTUN("keep0", phy.TunConfig{})
			require.NoError(t, err)
			require.Equal(t, 1380, d.Capabilities().MTU)
			require.NoError(t, d.Close())
		})
	}
	ns.Output("ip", "link", "show", "keep0")
}

// TestInterfaceDown: as with a cable that is not plugged in, frames are lost
// and nothing fails; when it is back, so is the traffic.
func TestInterfaceDown(t *testing.T) {
	ns := netns.New(t)
	ns.Do(func() {
		quiet(t)
		d, err := phy.OpenTAP("tap0", phy.TunConfig{})
		require.NoError(t, err)
		defer d.Close()
		put(t, d, 60, 0)
		require.NoError(t, d.Wait(time.Millisecond))
		_, err = d.Receive()
		require.ErrorIs(t, err, phy.ErrWouldBlock)
		require.Equal(t, phy.TunStats{TxLost: 1}, d.Stats())

		require.NoError(t, hostside.Configure("tap0", hostside.Config{Up: true}))
		put(t, d, 60, 0)
		require.Equal(t, phy.TunStats{TxLost: 1, TxFrames: 1}, d.Stats())
	})
}

// TestInterfaceRemoved under a parked Wait, and under a device that is busy.
func TestInterfaceRemoved(t *testing.T) {
	netns.NeedPrograms(t, "ip")
	for kind, open := range openers {
		ns := netns.New(t)
		var d *phy.TunTap
		ns.Do(func() {
			var err error
			d, err = open("gone0", phy.TunConfig{})
			require.NoError(t, err)
		})
		defer d.Close()
		ended := make(chan error, 1)
		go func() {
			var err error
			for err == nil {
				err = d.Wait(-1)
			}
			ended <- err
		}()
		ns.Output("ip", "link", "delete", "gone0")
		err := <-ended
		require.ErrorContains(t, err, "phy: gone0: read: ", kind)
		require.NotErrorIs(t, err, phy.ErrClosed)
		_, again := d.Receive()
		require.Equal(t, err, again)
		require.Equal(t, err, d.Flush())

		ns.Do(func() {
			d, err = open("gone0", phy.TunConfig{})
			require.NoError(t, err)
		})
		defer d.Close()
		_, err = d.TxBuffer()
		require.NoError(t, err)
		ns.Output("ip", "link", "delete", "gone0")
		require.ErrorContains(t, d.Commit(60, phy.Offload{}), "phy: gone0: write: ", kind)
		_, err = d.TxBuffer()
		require.ErrorContains(t, err, "phy: gone0: write: ", kind)
	}
}

// TestAdoptedTun: FromFD knows an interface when it sees one.
func TestAdoptedTun(t *testing.T) {
	netns.New(t).Do(func() {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		ifr, err := unix.NewIfreq("")
		require.NoError(t, err)
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		require.NoError(t, unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr))
		d, err := phy.FromFD(fd, phy.MediumIP, 1300)
		require.NoError(t, err)
		defer d.Close()
		require.Equal(t, "tun0", d.Name())
		require.Equal(t, phy.Capabilities{Medium: phy.MediumIP, MTU: 1300}, d.Capabilities())
	})
}

// TestOpenWithoutTheRight runs this test binary as a user who may not: once
// with a /dev/net/tun that everybody may open, once with what the machine has.
func TestOpenWithoutTheRight(t *testing.T) {
	if os.Getenv("PHY_TEST_CHILD") != "" {
		openWithoutTheRight(t, os.Getenv("PHY_TEST_CHILD"))
		return
	}
	netns.New(t) // skips where this user is not root, who alone can be another
	fi, err := os.Stat("/dev/net/tun")
	require.NoError(t, err)
	asIs := "operation not permitted"
	if fi.Mode()&6 != 6 {
		asIs = "open /dev/net/tun: permission denied"
	}
	for want, caps := range map[string][]uintptr{asIs: nil, "operation not permitted": {unix.CAP_DAC_OVERRIDE}} {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestOpenWithoutTheRight$", "-test.v")
		cmd.Env = []string{"PHY_TEST_CHILD=" + want}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
			Cloneflags:  unix.CLONE_NEWNET,
			AmbientCaps: caps,
		}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

func openWithoutTheRight(t *testing.T, want string) {
	for kind, open := range openers {
		_, err := open("tap0", phy.TunConfig{})
		require.ErrorIs(t, err, os.ErrPermission)
		require.EqualError(t, err, "phy: open "+kind+` "tap0": `+want+" (needs root or CAP_NET_ADMIN)")
	}
	err := hostside.Configure("lo", hostside.Config{MTU: 1234})
	require.ErrorIs(t, err, os.ErrPermission)
	require.EqualError(t, err, `hostside: configure "lo": MTU 1234: operation not permitted (needs root or CAP_NET_ADMIN)`)
}

// TestOpenWithoutDriver: a machine, or a container, without /dev/net/tun.
func TestOpenWithoutDriver(t *testing.T) {
	netns.New(t).Do(func() { // on a thread that nobody else will have
		require.NoError(t, unix.Unshare(unix.CLONE_FS))
		require.NoError(t, unix.Chroot(t.TempDir()))
		_, err := phy.OpenTUN("tun0", phy.TunConfig{})
		require.ErrorIs(t, err, os.ErrNotExist)
		require.EqualError(t, err, `phy: open TUN "tun0": open /dev/net/tun: no such file or directory (is the kernel's tun module there?)`)
	})
}

func TestConfigureHost(t *testing.T) {
	netns.NeedPrograms(t, "ip")
	ns := netns.New(t)
	cfg := hostside.Config{
		Addrs: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.1/24"),
			netip.MustParsePrefix("2001:db8::1/64"),
			netip.MustParsePrefix("fe80::100/64"),
		},
		MTU: 1420,
		Routes: []hostside.Route{
			{Dst: netip.MustParsePrefix("198.51.100.0/24")},
			{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.2")},
			{Dst: netip.MustParsePrefix("2001:db8:1::/48")},
			{Dst: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("2001:db8::2")},
		},
		Up: true,
	}
	ns.Do(func() {
		d, err := phy.OpenTUN("tun0", phy.TunConfig{})
		require.NoError(t, err)
		defer d.Close()
		for range 2 { // the second time changes nothing
			require.NoError(t, hostside.Configure("tun0", cfg))
			show := ns.Output("ip", "addr", "show", "dev", "tun0")
			require.Contains(t, show, "mtu 1420")
			require.Contains(t, show, ",UP,")
			require.Contains(t, show, "inet 192.0.2.1/24 ")
			require.Contains(t, show, "inet6 2001:db8::1/64 scope global nodad")
			require.Contains(t, show, "inet6 fe80::100/64 scope link nodad")
			require.Equal(t, 1, strings.Count(show, "inet "))
			routes := ns.Output("ip", "route") + ns.Output("ip", "-6", "route")
			for _, r := range []string{
				"198.51.100.0/24 dev tun0 ", "default via 192.0.2.2 dev tun0 ",
				"2001:db8:1::/48 dev tun0 ", "default via 2001:db8::2 dev tun0 ",
			} {
				require.Equal(t, 1, strings.Count(routes, r), "%q in:\n%s", r, routes)
			}
		}

		err = hostside.Configure("tun7", cfg)
		require.ErrorIs(t, err, os.ErrNotExist)
		require.EqualError(t, err, `hostside: configure "tun7": no such interface: file does not exist`)
		require.Error(t, hostside.Configure("tun0", hostside.Config{Addrs: make([]netip.Prefix, 1)}))
		require.Error(t, hostside.Configure("tun0", hostside.Config{Routes: make([]hostside.Route, 1)}))
		require.ErrorContains(t, hostside.Configure("tun0", hostside.Config{MTU: 1}), "MTU 1: ")
	})
}

// TestConfigureHostWithoutIPv6: it is missed by those only who want it.
func TestConfigureHostWithoutIPv6(t *testing.T) {
	netns.New(t).Do(func() {
		quiet(t)
		d, err := phy.OpenTUN("tun0", phy.TunConfig{})
		require.NoError(t, err)
		defer d.Close()
		require.NoError(t, hostside.Configure("tun0", hostside.Config{
			Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}, Up: true,
		}))
		require.ErrorContains(t, hostside.Configure("tun0", hostside.Config{
			Addrs: []netip.Prefix{netip.MustParsePrefix("fe80::100/64")},
		}), "address fe80::100/64: IPv6 is disabled")
	})
}

// TestKernelPings through a TUN whose other side is a few lines of Go.
func TestKernelPings(t *testing.T) {
	netns.NeedPrograms(t, "ping")
	ns := netns.New(t)
	var d *phy.TunTap
	ns.Do(func() {
		var err error
		d, err = phy.OpenTUN("tun0", phy.TunConfig{})
		require.NoError(t, err)
		require.NoError(t, hostside.Configure("tun0", hostside.Config{
			Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")},
			Up:    true,
		}))
	})
	ended := make(chan error, 1)
	go func() {
		for {
			f, err := d.Receive()
			switch {
			case errors.Is(err, phy.ErrWouldBlock):
				err = d.Wait(-1)
			case err == nil && echo(f.Data):
				var room []byte
				if room, err = d.TxBuffer(); err == nil {
					err = d.Commit(copy(room, f.Data), phy.Offload{})
				}
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	for _, host := range []string{"192.0.2.2", "2001:db8::2"} {
		out := ns.Output("ping", "-c", "3", "-i", "0.01", "-W", "5", "-s", "1400", host)
		require.Contains(t, out, "3 received", out)
	}
	require.NoError(t, d.Close())
	require.ErrorIs(t, <-ended, phy.ErrClosed)
}

// BenchmarkTunWrite sends to a TUN interface packets that the kernel drops, as
// they are for nobody: of 1500 bytes, and super-frames of 64 KiB.
func BenchmarkTunWrite(b *testing.B) {
	f := flows()["TCP4"]
	for name, c := range map[string]struct {
		cfg     phy.TunConfig
		payload int
		segment uint16
	}{
		"1500":           {payload: 1460},
		"1500-NoOffload": {phy.TunConfig{NoOffload: true}, 1460, 0},
		"65535":          {payload: 65535 - 40, segment: 1460},
	} {
		b.Run(name, func(b *testing.B) {
			netns.New(b).Do(func() {
				d := openNet(b, "a", c.cfg)
				room, err := d.TxBuffer()
				require.NoError(b, err)
				n, off := f.put(room, pattern(c.payload))
				if c.cfg.NoOffload {
					off = phy.Offload{}
				}
				if c.segment > 0 {
					off.GSOType, off.SegmentSize, off.HeaderLen = phy.GSOTCPv4, c.segment, 40
				}
				b.ReportAllocs()
				b.SetBytes(int64(n))
				for b.Loop() {
					if _, err := d.TxBuffer(); err != nil {
						b.Fatal(err)
					}
					if err := d.Commit(n, off); err != nil {
						b.Fatal(err)
					}
				}
				require.Zero(b, d.Stats().TxLost)
			})
		})
	}
}

// BenchmarkTunRead receives what another TUN interface was sent, without the
// time of that.
func BenchmarkTunRead(b *testing.B) {
	f := flows()["TCP4"]
	for name, c := range map[string]struct {
		cfg     phy.TunConfig
		payload int
		segment int
	}{
		"1500":           {payload: 1460},
		"1500-NoOffload": {phy.TunConfig{NoOffload: true}, 1460, 0},
		"65535":          {payload: 65535 - 40, segment: 1460},
	} {
		b.Run(name, func(b *testing.B) {
			netns.New(b).Do(func() {
				require.NoError(b, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
				from, to := openNet(b, "a", phy.TunConfig{}), openNet(b, "b", c.cfg)
				payload := pattern(c.payload)
				const batch = 64
				var spent time.Duration
				frames, bytes := 0, 0
				for b.Loop() {
					for range batch {
						f.send(b, from, payload, c.segment)
					}
					began := time.Now()
					for {
						fr, err := to.Receive()
						if err != nil {
							break
						}
						frames++
						bytes += len(fr.Data)
					}
					spent += time.Since(began)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(spent.Nanoseconds())/float64(frames), "ns/frame")
				b.ReportMetric(float64(bytes)/spent.Seconds()/1e6, "MB/s")
			})
		})
	}
}

// BenchmarkFDWake is a Wake to a device that sleeps, and back.
func BenchmarkFDWake(b *testing.B) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(b, err)
	defer unix.Close(fds[1])
	d, err := phy.FromFD(fds[0], phy.MediumIP, 0)
	require.NoError(b, err)
	up := make(chan struct{})
	go func() {
		defer close(up)
		for d.Wait(-1) == nil {
			up <- struct{}{}
		}
	}()
	for b.Loop() {
		d.Wake()
		<-up
	}
	d.Close()
	for range up {
	}
}
