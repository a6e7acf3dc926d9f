package listener_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
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

// newStack makes a stack with 192.0.2.1 and fd00::1 on a link without a peer:
// what these tests connect to is the stack itself.
func newStack(t testing.TB, change ...func(*netstack.Config)) *netstack.Stack {
	t.Helper()
	dev, _, err := phy.Pipe(phy.PipeConfig{})
	require.NoError(t, err)
	cfg := netstack.Config{Device: dev, Addrs: []netip.Prefix{
		netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("fd00::1/64"),
	}}
	for _, f := range change {
		f(&cfg)
	}
	st, err := netstack.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

func dial(t testing.TB, st *netstack.Stack, address string) (net.Conn, error) {
	d := dialer.Dialer{Stack: st, Timeout: 5 * time.Second}
	return d.DialContext(t.Context(), "tcp", address)
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// TestAddresses: which address a listener has, and who reaches it.
func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		network, address string
		want             string // of Addr, without the port
		reach, miss      []string
	}{
		{"tcp", ":0", "::", []string{"127.0.0.1", "[::1]", "192.0.2.1", "[fd00::1]"}, nil},
		{"tcp", "", "::", []string{"127.0.0.1", "[::1]"}, nil},
		{"tcp", "0.0.0.0:0", "::", []string{"127.0.0.1", "[::1]"}, nil},
		{"tcp", "[::]:0", "::", []string{"127.0.0.1", "[::1]"}, nil},
		{"tcp4", ":0", "0.0.0.0", []string{"127.0.0.1"}, []string{"[::1]"}},
		{"tcp6", ":0", "::", []string{"[::1]"}, []string{"127.0.0.1"}},
		{"tcp", "127.0.0.1:0", "127.0.0.1", []string{"127.0.0.1"}, []string{"192.0.2.1", "[::1]"}},
		{"tcp", "[fd00::1]:0", "fd00::1", []string{"[fd00::1]"}, []string{"[::1]", "192.0.2.1"}},
		{"tcp", "localhost:0", "127.0.0.1", []string{"127.0.0.1"}, nil},
	} {
		t.Run(c.network+" "+c.address, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStack(t)
				l, err := listener.Listen(st, c.network, c.address)
				require.NoError(t, err)
				require.Equal(t, c.want, l.Addr().(*net.TCPAddr).IP.String())
				require.NotZero(t, port(l))
				for _, host := range c.reach {
					_, err := dial(t, st, fmt.Sprintf("%s:%d", host, port(l)))
					require.NoError(t, err, host)
					s, err := l.Accept()
					require.NoError(t, err)
					ip := s.RemoteAddr().(*net.TCPAddr).IP
					if c.want == "::" {
						require.Len(t, ip, 16, "as on Linux, where one socket serves both")
					}
				}
				for _, host := range c.miss {
					_, err := dial(t, st, fmt.Sprintf("%s:%d", host, port(l)))
					require.ErrorIs(t, err, syscall.ECONNREFUSED, host)
				}
				require.NoError(t, l.Close())
			})
		})
	}
}

// TestErrors is the listening side of the table of errors.
func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		taken, err := listener.Listen(st, "tcp", "192.0.2.1:80")
		require.NoError(t, err)
		takenUDP, err := listener.ListenPacket(st, "udp", "192.0.2.1:80")
		require.NoError(t, err)
		for _, c := range []struct {
			network, address string
			want             error
		}{
			{"tcp", "192.0.2.1:80", syscall.EADDRINUSE},
			{"tcp", ":80", syscall.EADDRINUSE},
			{"tcp4", ":80", syscall.EADDRINUSE},
			{"tcp", "192.0.2.9:80", syscall.EADDRNOTAVAIL},
			{"udp", "192.0.2.1:80", syscall.EADDRINUSE},
			{"udp", "192.0.2.9:80", syscall.EADDRNOTAVAIL},
			{"tcp9", ":80", net.UnknownNetworkError("tcp9")},
			{"udp9", ":80", net.UnknownNetworkError("udp9")},
		} {
			_, err := listen(st, c.network, c.address)
			require.ErrorIs(t, err, c.want, "%s %s", c.network, c.address)
			var oe *net.OpError
			require.ErrorAs(t, err, &oe)
			require.Equal(t, "listen", oe.Op)
			require.Equal(t, c.network, oe.Net)
		}
		for _, c := range []struct{ network, address, want string }{
			{"tcp", "192.0.2.1", "missing port in address"},
			{"tcp4", "[fd00::1]:80", "no suitable address found"},
			{"tcp", "192.0.2.1:nosuchservice", "unknown port"},
			{"tcp", "nosuchhost.invalid:1", "no DNS servers"},
		} {
			_, err := listen(st, c.network, c.address)
			require.ErrorContains(t, err, c.want)
			require.IsType(t, &net.OpError{}, err)
		}
		other, err := listener.Listen(st, "tcp6", ":80") // no conflict with IPv4
		require.NoError(t, err)
		require.NoError(t, other.Close())
		require.NoError(t, takenUDP.Close())
		require.NoError(t, taken.Close())
		again, err := listener.Listen(st, "tcp", ":80")
		require.NoError(t, err)
		require.NoError(t, again.Close())

		_, err = listener.Listen(nil, "tcp", ":80")
		require.ErrorContains(t, err, "Stack is nil")
		require.NoError(t, st.Close())
		_, err = listener.Listen(st, "tcp", ":80")
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = listener.ListenPacket(st, "udp", ":80")
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func listen(st *netstack.Stack, network, address string) (io.Closer, error) {
	if network[0] == 'u' {
		return listener.ListenPacket(st, network, address)
	}
	return listener.Listen(st, network, address)
}

func TestAcceptDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		nl, err := listener.Listen(st, "tcp", ":80")
		require.NoError(t, err)
		l := nl.(*listener.TCP)
		requireTimeout := func(want time.Duration) {
			t.Helper()
			start := time.Now()
			_, err := l.Accept()
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.True(t, err.(net.Error).Timeout())
			require.Equal(t, want, time.Since(start))
		}
		require.NoError(t, l.SetDeadline(time.Now().Add(time.Second)))
		requireTimeout(time.Second)
		requireTimeout(0)
		require.NoError(t, l.SetDeadline(time.Now().Add(time.Second)))
		time.AfterFunc(500*time.Millisecond, func() { l.SetDeadline(time.Now().Add(time.Second)) })
		requireTimeout(1500 * time.Millisecond)
		require.NoError(t, l.SetDeadline(time.Time{}))
		time.AfterFunc(time.Second, func() { l.SetDeadline(time.Unix(1, 0)) })
		requireTimeout(time.Second)
		require.NoError(t, l.SetDeadline(time.Time{}))
		time.AfterFunc(time.Second, func() { l.Close() })
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		require.Equal(t, "accept", err.(*net.OpError).Op)
		require.ErrorIs(t, l.Close(), net.ErrClosed)
		require.ErrorIs(t, l.SetDeadline(time.Time{}), net.ErrClosed)
	})
}

// TestCloseResetsTheQueue: connections that nobody accepted do not hang, those
// that were accepted live on.
func TestCloseResetsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		l, err := listener.Listen(st, "tcp", ":80")
		require.NoError(t, err)
		first, err := dial(t, st, "192.0.2.1:80")
		require.NoError(t, err)
		accepted, err := l.Accept()
		require.NoError(t, err)
		second, err := dial(t, st, "192.0.2.1:80")
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, l.Close())
		_, err = second.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)

		_, err = first.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(accepted, make([]byte, 1))
		require.NoError(t, err)
		_, err = dial(t, st, "192.0.2.1:80")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

// TestBacklog: no more connections are established than fit the queue, and the
// others get in as soon as it empties.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		const backlog, dials = 4, 20
		cfg := listener.Config{Stack: st, Backlog: backlog}
		l, err := cfg.ListenTCP("tcp", netip.MustParseAddrPort("192.0.2.1:80"))
		require.NoError(t, err)
		done := make(chan error, dials)
		for range dials {
			go func() {
				d := dialer.Dialer{Stack: st}
				c, err := d.Dial("tcp", "192.0.2.1:80")
				if err == nil {
					_, err = c.Write([]byte("x"))
				}
				done <- err
			}()
		}
		for range dials {
			c, err := l.AcceptTCP()
			require.NoError(t, err)
			_, err = io.ReadFull(c, make([]byte, 1))
			require.NoError(t, err)
		}
		for range dials {
			require.NoError(t, <-done)
		}
	})
}

// TestKeepAliveOfAccepted counts the segments of idle connections.
func TestKeepAliveOfAccepted(t *testing.T) {
	quiet := func(cfg *netstack.Config) { cfg.TCP.KeepAliveIdle = -1 }
	for _, c := range []struct {
		name   string
		cfg    listener.Config
		probes uint64 // in a minute and a half
	}{
		{"stack's", listener.Config{}, 0},
		{"period", listener.Config{KeepAlive: 20 * time.Second}, 4},
		{"config", listener.Config{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 20 * time.Second}}, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStack(t, quiet)
				c.cfg.Stack = st
				l, err := c.cfg.ListenTCP("tcp", netip.MustParseAddrPort("192.0.2.1:80"))
				require.NoError(t, err)
				_, err = dial(t, st, "192.0.2.1:80")
				require.NoError(t, err)
				s, err := l.AcceptTCP()
				require.NoError(t, err)
				sent := s.Info().SegmentsSent
				<-time.After(95 * time.Second)
				require.Equal(t, c.probes, s.Info().SegmentsSent-sent)
			})
		})
	}
}

func TestHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		l, err := listener.Listen(st, "tcp", ":http")
		require.NoError(t, err)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, len(b))
		})}
		served := make(chan error)
		go func() { served <- srv.Serve(l) }()
		d := dialer.Dialer{Stack: st}
		tr := &http.Transport{DialContext: d.DialContext}
		client := &http.Client{Transport: tr}
		for i := range 5 {
			resp, err := client.Post(fmt.Sprintf("http://192.0.2.1/%d", i), "", io.LimitReader(zeros{}, 100_000))
			require.NoError(t, err)
			b, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, fmt.Sprintf("POST /%d 100000", i), string(b))
		}
		tr.CloseIdleConnections()
		require.NoError(t, srv.Shutdown(t.Context()))
		require.True(t, errors.Is(<-served, http.ErrServerClosed))
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
