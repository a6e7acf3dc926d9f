package netstack_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/dialer"
	"smolnet/internal/netns"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/phy"
	"smolnet/phy/hostside"
)

// kernelPatience is when a connection with the kernel is taken to hang.
const kernelPatience = 30 * time.Second

// TestGroupOverQueues: four stacks on the queues of a TUN or TAP interface, with
// the kernel as the other host, which knows nothing of our hash. It steers a
// flow to the queue by which it was sent, so frames are handed over when a flow
// is new, and when the kernel has forgotten it.
func TestGroupOverQueues(t *testing.T) {
	for kind, open := range map[string]func(string, int, phy.TunConfig) ([]*phy.TunTap, error){
		"TUN": phy.OpenTUNQueues, "TAP": phy.OpenTAPQueues,
	} {
		t.Run(kind, func(t *testing.T) {
			ns := netns.New(t)
			g, f := kernelGroup(t, ns, open)
			cfg := listener.Config{Group: g}
			l, err := cfg.Listen(t.Context(), "tcp", ":80")
			require.NoError(t, err)
			go echoAll(l)
			pc, err := cfg.ListenPacket(t.Context(), "udp", ":53")
			require.NoError(t, err)
			go echoPackets(pc)
			const conns = 200
			kernel := func(network, address string) (c net.Conn, err error) {
				ns.Do(func() { c, err = net.DialTimeout(network, address, kernelPatience) })
				return c, err
			}
			talkAll(t, conns, func(i int) (net.Conn, error) {
				return kernel("tcp", []string{"192.0.2.1:80", "[fd00::1]:80"}[i%2])
			})
			for i, st := range g.Stacks() {
				n := st.Stats().TCPPassiveOpens
				require.Less(t, n, uint64(conns/2), "stack %d", i)
				require.Greater(t, n, uint64(conns/8), "stack %d", i)
			}
			for range 40 {
				c, err := kernel("udp", "192.0.2.1:53")
				require.NoError(t, err)
				require.NoError(t, talk(c, []byte("one datagram")))
			}

			var served net.Listener
			ns.Do(func() { served, err = net.Listen("tcp", ":80") })
			require.NoError(t, err)
			defer served.Close()
			go echoAll(served)
			d := dialer.Dialer{Group: g, Timeout: kernelPatience}
			talkAll(t, conns, func(i int) (net.Conn, error) {
				return d.Dial("tcp", []string{"192.0.2.2:80", "[fd00::2]:80"}[i%2])
			})
			for i := range 20 {
				c, err := d.Dial("ping", []string{"192.0.2.2", "fd00::2"}[i%2])
				require.NoError(t, err)
				require.NoError(t, talk(c, []byte("echo")))
			}
			s := g.Stats()
			t.Logf("%d frames in, %+v", s.FramesIn, f.Stats())
			require.Zero(t, f.Stats().Dropped)
			require.NoError(t, pc.Close())
			require.NoError(t, g.Shutdown(t.Context()))
		})
	}
}

// kernelGroup returns four stacks as 192.0.2.1 and fd00::1, with the kernel as
// 192.0.2.2 and fd00::2.
func kernelGroup(t *testing.T, ns *netns.NS, open func(string, int, phy.TunConfig) ([]*phy.TunTap, error)) (*netstack.Group, *phy.Fanout) {
	var queues []*phy.TunTap
	var err error
	ns.Do(func() {
		if queues, err = open("group0", 4, phy.TunConfig{}); err == nil {
			err = hostside.Configure("group0", hostside.Config{Addrs: prefixes("192.0.2.2/24", "fd00::2/64"), Up: true})
		}
	})
	require.NoError(t, err)
	devs := make([]phy.Device, len(queues))
	for i, q := range queues {
		devs[i] = q
	}
	f, err := phy.NewFanout(devs, phy.FanoutConfig{})
	require.NoError(t, err)
	g, err := netstack.NewGroup(netstack.Config{
		Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("fd00::1/64")},
	}, f)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close()) })
	return g, f
}

// echoAll answers every connection with what it says.
func echoAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}()
	}
}

func echoPackets(pc net.PacketConn) {
	b := make([]byte, 2000)
	for {
		n, from, err := pc.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = pc.WriteTo(b[:n], from)
	}
}

// talkAll makes n connections, ten at a time, and talks on each.
func talkAll(t *testing.T, n int, dial func(i int) (net.Conn, error)) {
	t.Helper()
	var all sync.WaitGroup
	slots := make(chan struct{}, 10)
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			c, err := dial(i)
			if err == nil {
				err = talk(c, bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 1+i*300))
			}
			if err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		})
	}
	all.Wait()
}

// talk writes data, expects it back, and closes c.
func talk(c net.Conn, data []byte) error {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(kernelPatience))
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		written <- err
	}()
	got := make([]byte, len(data))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		return fmt.Errorf("got other data than was sent")
	}
	return <-written
}
