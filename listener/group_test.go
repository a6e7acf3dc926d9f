package listener_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/dialer"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/phy"
)

const groupSize = 4

// The two hosts of the tests below.
var (
	serverAddrs = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("fd00::1/64")}
	clientAddrs = []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("fd00::2/64")}
)

func newGroup(t testing.TB, queues []phy.Device, key byte, addrs []netip.Prefix) (*netstack.Group, *phy.Fanout) {
	t.Helper()
	f, err := phy.NewFanout(queues, phy.FanoutConfig{Key: [16]byte{key}})
	require.NoError(t, err)
	g, err := netstack.NewGroup(netstack.Config{Addrs: addrs}, f)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close()) })
	return g, f
}

// hosts returns a server of several stacks, and what dials to it, over each of
// the ways in which they can be joined.
func hosts(t *testing.T, body func(t *testing.T, server *netstack.Group, d *dialer.Dialer)) {
	pipes := func(t *testing.T, medium phy.Medium, key byte) (server *netstack.Group, d *dialer.Dialer, f *phy.Fanout) {
		var a, b [groupSize]phy.Device
		for i := range a {
			var err error
			a[i], b[i], err = phy.Pipe(phy.PipeConfig{Medium: medium})
			require.NoError(t, err)
		}
		server, f = newGroup(t, a[:], 1, serverAddrs)
		client, _ := newGroup(t, b[:], key, clientAddrs)
		return server, &dialer.Dialer{Group: client, Timeout: time.Minute}, f
	}
	for _, medium := range []phy.Medium{phy.MediumEthernet, phy.MediumIP} {
		t.Run(fmt.Sprintf("group, %v, same key", medium), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, d, f := pipes(t, medium, 1)
				body(t, server, d)
				if medium == phy.MediumIP {
					require.Zero(t, f.Stats(), "the two ends agree on every owner")
				}
			})
		})
		t.Run(fmt.Sprintf("group, %v, other key", medium), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, d, f := pipes(t, medium, 2)
				body(t, server, d)
				require.NotZero(t, f.Stats().HandedOver)
				require.Zero(t, f.Stats().Dropped)
			})
		})
		t.Run(fmt.Sprintf("stack, %v", medium), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queues, single := trunk(t, medium, groupSize)
				server, f := newGroup(t, queues, 1, serverAddrs)
				client, err := netstack.New(netstack.Config{Device: single, Addrs: clientAddrs})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, client.Close()) })
				body(t, server, &dialer.Dialer{Stack: client, Timeout: time.Minute})
				require.NotZero(t, f.Stats().HandedOver)
				require.Zero(t, f.Stats().Dropped)
			})
		})
	}
}

// listenGroup listens on a port of g.
func listenGroup(t testing.TB, g *netstack.Group, address string) net.Listener {
	t.Helper()
	cfg := listener.Config{Group: g}
	l, err := cfg.Listen(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// TestGroupHTTP: net/http unchanged, with bodies both ways.
func TestGroupHTTP(t *testing.T) {
	hosts(t, func(t *testing.T, g *netstack.Group, d *dialer.Dialer) {
		l := listenGroup(t, g, ":80")
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := sha256.New()
			_, _ = io.Copy(h, r.Body)
			_, _ = w.Write(h.Sum(nil))
		})}
		defer srv.Close()
		go srv.Serve(l)
		client := http.Client{Transport: &http.Transport{DialContext: d.DialContext, MaxIdleConnsPerHost: 1}}
		defer client.CloseIdleConnections()
		var all sync.WaitGroup
		for i := range 24 {
			all.Go(func() {
				host := []string{"192.0.2.1", "[fd00::1]"}[i%2]
				data := make([]byte, 1+i*4000)
				for j := range data {
					data[j] = byte(rand.Uint32())
				}
				resp, err := client.Post("http://"+host+"/", "", io.MultiReader(bytes.NewReader(data)))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				want := sha256.Sum256(data)
				if err != nil || string(got) != string(want[:]) {
					t.Errorf("answer %d: %x, %v", i, got, err)
				}
			})
		}
		all.Wait()
	})
}

// TestGroupSpread: 1000 dials succeed, and the connections are everywhere.
func TestGroupSpread(t *testing.T) {
	hosts(t, func(t *testing.T, g *netstack.Group, d *dialer.Dialer) {
		const dials = 1000
		l := listenGroup(t, g, ":0")
		address := fmt.Sprintf("192.0.2.1:%d", port(l))
		conns := make([]net.Conn, 0, 2*dials)
		for i := range dials {
			c, err := d.Dial("tcp", address)
			require.NoError(t, err, "dial %d", i)
			s, err := l.Accept()
			require.NoError(t, err)
			require.Equal(t, c.LocalAddr().(*net.TCPAddr).Port, s.RemoteAddr().(*net.TCPAddr).Port)
			conns = append(conns, c, s)
		}
		fair := func(stacks []*netstack.Stack) {
			for i, st := range stacks {
				n := st.Stats().Connections
				require.Less(t, n, 2*dials/len(stacks), "stack %d", i)
				require.Greater(t, n, dials/len(stacks)/2, "stack %d", i)
			}
		}
		fair(g.Stacks())
		if d.Group != nil {
			fair(d.Group.Stacks())
		}
		require.Equal(t, dials, g.Stats().Connections)
		for i := 0; i < len(conns); i += 2 { // each still is who it was
			_, err := conns[i].Write([]byte{byte(i), byte(i >> 8)})
			require.NoError(t, err)
			b := make([]byte, 2)
			_, err = io.ReadFull(conns[i+1], b)
			require.NoError(t, err)
			require.Equal(t, []byte{byte(i), byte(i >> 8)}, b)
		}
		for _, c := range conns {
			require.NoError(t, c.Close())
		}
	})
}

// TestGroupUDP: a packet socket of the group answers dialled ones, some of which
// have a port that was asked for.
func TestGroupUDP(t *testing.T) {
	hosts(t, func(t *testing.T, g *netstack.Group, d *dialer.Dialer) {
		cfg := listener.Config{Group: g}
		pc, err := cfg.ListenPacket(t.Context(), "udp", ":0")
		require.NoError(t, err)
		defer pc.Close()
		go func() {
			b := make([]byte, 2000)
			for {
				n, from, err := pc.ReadFrom(b)
				if err != nil {
					return
				}
				if _, err := pc.WriteTo(b[:n], from); err != nil {
					t.Error(err)
				}
			}
		}()
		for i := range 100 {
			host := []string{"192.0.2.1", "[fd00::1]"}[i%2]
			e := *d
			if i%5 == 0 {
				e.LocalAddr = &net.UDPAddr{Port: 20000 + i}
			}
			c, err := e.Dial("udp", fmt.Sprintf("%s:%d", host, pc.LocalAddr().(*net.UDPAddr).Port))
			require.NoError(t, err)
			for j := range 3 {
				_, err = fmt.Fprintf(c, "%d.%d", i, j)
				require.NoError(t, err)
			}
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
			for j := range 3 {
				b := make([]byte, 20)
				n, err := c.Read(b)
				require.NoError(t, err, i)
				require.Equal(t, fmt.Sprintf("%d.%d", i, j), string(b[:n]), "in order")
			}
			require.NoError(t, c.Close())
		}
	})
}

// TestGroupErrors: what is said about a flow reaches the stack that has it.
func TestGroupErrors(t *testing.T) {
	hosts(t, func(t *testing.T, g *netstack.Group, d *dialer.Dialer) {
		for range 20 {
			_, err := d.Dial("tcp", "192.0.2.1:9")
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			c, err := d.Dial("udp", "192.0.2.1:9")
			require.NoError(t, err)
			_, err = c.Write([]byte("anybody?"))
			require.NoError(t, err)
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
			_, err = c.Read(make([]byte, 10))
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			require.NoError(t, c.Close())
			time.Sleep(time.Second) // RFC 1812 4.3.2.8: errors are limited
		}
	})
}

// TestGroupPing: echoes in both directions, from each stack of a group.
func TestGroupPing(t *testing.T) {
	hosts(t, func(t *testing.T, g *netstack.Group, d *dialer.Dialer) {
		for i := range 24 {
			from, to := d, []string{"192.0.2.1", "fd00::1"}[i%2]
			if i%4 > 1 {
				from, to = &dialer.Dialer{Group: g}, []string{"192.0.2.2", "fd00::2"}[i%2]
			}
			c, err := from.Dial("ping", to)
			require.NoError(t, err)
			_, err = c.Write([]byte("echo"))
			require.NoError(t, err)
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
			b := make([]byte, 10)
			n, err := c.Read(b)
			require.NoError(t, err, "%d to %s", i, to)
			require.Equal(t, "echo", string(b[:n]))
			require.NoError(t, c.Close())
		}
	})
}

// TestGroupLocalPort: a dial from a port that was asked for goes by its owner.
func TestGroupLocalPort(t *testing.T) {
	hosts(t, func(t *testing.T, g *netstack.Group, d *dialer.Dialer) {
		l := listenGroup(t, g, ":80")
		for i := range 20 {
			e := *d
			e.LocalAddr = &net.TCPAddr{Port: 20000 + i}
			if i%2 == 0 {
				e.LocalAddr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 20000 + i}
			}
			c, err := e.Dial("tcp", "192.0.2.1:80")
			require.NoError(t, err)
			s, err := l.Accept()
			require.NoError(t, err)
			require.Equal(t, 20000+i, s.RemoteAddr().(*net.TCPAddr).Port)
			_, err = e.Dial("tcp", "192.0.2.1:80")
			require.ErrorIs(t, err, syscall.EADDRINUSE)
			require.NoError(t, c.Close())
			require.NoError(t, s.Close())
		}
	})
}

// oneHost returns a group that talks to itself.
func oneHost(t testing.TB) (*netstack.Group, *dialer.Dialer, *listener.Config) {
	t.Helper()
	queues, _ := trunk(t, phy.MediumIP, groupSize)
	g, _ := newGroup(t, queues, 1, serverAddrs)
	return g, &dialer.Dialer{Group: g, Timeout: 5 * time.Second}, &listener.Config{Group: g}
}

// TestGroupItself: a host reaches its own services, by any of its addresses.
func TestGroupItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d, cfg := oneHost(t)
		l := listenGroup(t, g, ":80")
		pc, err := cfg.ListenPacket(t.Context(), "udp", ":53")
		require.NoError(t, err)
		defer pc.Close()
		b := make([]byte, 10)
		for i := range 24 {
			host := []string{"127.0.0.1", "[::1]", "192.0.2.1", "[fd00::1]"}[i%4]
			c, err := d.Dial("tcp", host+":80")
			require.NoError(t, err)
			_, err = l.Accept()
			require.NoError(t, err)
			require.NoError(t, c.Close())
			c, err = d.Dial("udp", host+":53")
			require.NoError(t, err)
			_, err = c.Write([]byte("query"))
			require.NoError(t, err)
			n, from, err := pc.ReadFrom(b)
			require.NoError(t, err)
			_, err = pc.WriteTo(b[:n], from)
			require.NoError(t, err)
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Second)))
			_, err = c.Read(b)
			require.NoError(t, err, host)
			require.NoError(t, c.Close())
			_, err = d.Dial("tcp", host+":9")
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
		}
	})
}

// TestGroupConfig: what is refused, and how.
func TestGroupConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d, cfg := oneHost(t)
		both := listener.Config{Group: g, Stack: g.Stacks()[0]}
		_, err := both.Listen(t.Context(), "tcp", ":80")
		require.ErrorContains(t, err, "both set")
		_, err = cfg.ListenUDP("udp", netip.AddrPort{})
		require.ErrorContains(t, err, "ListenGroupUDP")
		_, err = (&listener.Config{Stack: g.Stacks()[0]}).ListenGroupUDP("udp", netip.AddrPort{})
		require.ErrorContains(t, err, "Group is nil")
		_, err = cfg.ListenGroupUDP("tcp", netip.AddrPort{})
		require.ErrorIs(t, err, net.UnknownNetworkError("tcp"))
		two := *d
		two.Stack = g.Stacks()[0]
		_, err = two.Dial("tcp", "192.0.2.1:80")
		require.ErrorContains(t, err, "both set")
		_, err = (&dialer.Dialer{}).Dial("tcp", "192.0.2.1:80")
		require.ErrorContains(t, err, "is nil")

		// A port that is taken on one stack is taken, and nothing is left behind.
		for _, network := range []string{"tcp", "udp"} {
			taken, err := listen(g.Stacks()[2], network, ":80")
			require.NoError(t, err)
			for range 2 {
				_, err = listenOn(cfg, network, ":80")
				require.ErrorIs(t, err, syscall.EADDRINUSE)
			}
			require.NoError(t, taken.Close())
			all, err := listenOn(cfg, network, ":80")
			require.NoError(t, err)
			require.NoError(t, all.Close())
		}
		_, err = cfg.Listen(t.Context(), "tcp", "192.0.2.77:80")
		require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
		s := g.Stats()
		require.Zero(t, s.Listeners+s.UDPSockets)
	})
}

// listenOn opens a listener or a packet socket.
func listenOn(cfg *listener.Config, network, address string) (io.Closer, error) {
	if network == "udp" {
		return cfg.ListenPacket(context.Background(), network, address)
	}
	return cfg.Listen(context.Background(), network, address)
}

// TestGroupBacklog: the stacks have equal parts of it, and Accept gives them
// back.
func TestGroupBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _, cfg := oneHost(t)
		cfg.Backlog = 2 * groupSize
		l, err := cfg.Listen(t.Context(), "tcp", ":80")
		require.NoError(t, err)
		d := dialer.Dialer{Stack: g.Stacks()[1], Timeout: 5 * time.Second}
		for range 2 {
			for range 2 {
				_, err := d.Dial("tcp", "127.0.0.1:80")
				require.NoError(t, err)
			}
			_, err = d.Dial("tcp", "127.0.0.1:80")
			require.ErrorIs(t, err, context.DeadlineExceeded, "its part is full")
			d := dialer.Dialer{Stack: g.Stacks()[2], Timeout: 5 * time.Second}
			_, err = d.Dial("tcp", "127.0.0.1:80")
			require.NoError(t, err, "that of others is not")
			for range 3 {
				_, err := l.Accept()
				require.NoError(t, err)
			}
		}
		require.NoError(t, l.Close())
	})
}

// TestGroupListenerEnds: by Close, by Shutdown, and by the end of the group.
func TestGroupListenerEnds(t *testing.T) {
	for name, end := range map[string]func(g *netstack.Group, l, pc io.Closer) error{
		"close": func(_ *netstack.Group, l, pc io.Closer) error {
			_ = l.Close()
			return pc.Close()
		},
		"shutdown": func(g *netstack.Group, _, _ io.Closer) error { return g.Shutdown(context.Background()) },
		"end":      func(g *netstack.Group, _, _ io.Closer) error { return g.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, d, cfg := oneHost(t)
				l := listenGroup(t, g, ":80")
				pc, err := cfg.ListenPacket(t.Context(), "udp", ":53")
				require.NoError(t, err)
				errs := make(chan error)
				go func() {
					_, err := l.Accept()
					errs <- err
				}()
				for range 2 { // one waits for the other
					go func() {
						_, _, err := pc.ReadFrom(make([]byte, 1))
						errs <- err
					}()
				}
				synctest.Wait()
				require.NoError(t, end(g, l, pc))
				for range 3 {
					require.ErrorIs(t, <-errs, net.ErrClosed)
				}
				_, err = l.Accept()
				require.ErrorIs(t, err, net.ErrClosed)
				_, err = pc.WriteTo([]byte{1}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
				require.ErrorIs(t, err, net.ErrClosed)
				if name == "close" {
					require.ErrorIs(t, pc.Close(), net.ErrClosed)
					require.ErrorIs(t, pc.SetDeadline(time.Time{}), net.ErrClosed)
				}
				_, err = d.Dial("tcp", "127.0.0.1:80")
				require.Error(t, err)
			})
		})
	}
}

// TestGroupPacketConn: deadlines, addresses and errors of a group's socket.
func TestGroupPacketConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, cfg := oneHost(t)
		c, err := cfg.ListenGroupUDP("udp4", netip.MustParseAddrPort("192.0.2.1:0"))
		require.NoError(t, err)
		defer c.Close()
		require.Equal(t, "192.0.2.1", c.LocalAddr().(*net.UDPAddr).IP.String())
		b := make([]byte, 4)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		for range 2 {
			_, _, err = c.ReadFrom(b)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		}
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(-1)))
		_, err = c.WriteToUDPAddrPort(b, netip.MustParseAddrPort("127.0.0.1:9"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetDeadline(time.Time{}))
		for _, e := range []struct {
			to   net.Addr
			want error
		}{
			{&net.UDPAddr{IP: net.ParseIP("fd00::2"), Port: 1}, &net.AddrError{Err: "non-IPv4 address", Addr: "fd00::2"}},
			{&net.UDPAddr{}, nil},
			{(*net.UDPAddr)(nil), syscall.EINVAL},
			{&net.TCPAddr{}, syscall.EINVAL},
		} {
			_, err := c.WriteTo(b, e.to)
			var oe *net.OpError
			require.ErrorAs(t, err, &oe)
			require.Equal(t, "write", oe.Op)
			if e.want != nil {
				require.Equal(t, e.want.Error(), oe.Err.Error())
			}
		}
		self := c.LocalAddr().(*net.UDPAddr).AddrPort()
		_, err = c.WriteToUDPAddrPort([]byte("to myself"), self)
		require.NoError(t, err)
		n, from, err := c.ReadFromUDPAddrPort(b)
		require.NoError(t, err)
		require.Equal(t, "to m", string(b[:n]), "the rest is lost")
		require.Equal(t, self, from)
		_, err = c.WriteToUDPAddrPort(make([]byte, 1<<16), self)
		require.ErrorIs(t, err, syscall.EMSGSIZE)
		var none *listener.GroupUDP
		_, err = none.WriteTo(b, nil)
		require.ErrorIs(t, err, syscall.EINVAL)
		require.Nil(t, none.LocalAddr())
	})
}
