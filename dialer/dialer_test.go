package dialer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
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

// A cable loses what arrives while drop says so.
type cable struct {
	phy.Device
	drop atomic.Pointer[func(frame []byte) bool]
}

func (c *cable) Receive() (phy.Frame, error) {
	for {
		f, err := c.Device.Receive()
		drop := c.drop.Load()
		if err != nil || drop == nil || !(*drop)(f.Data) {
			return f, err
		}
	}
}

func (c *cable) lose(f func(frame []byte) bool) { c.drop.Store(&f) }

func everything([]byte) bool { return true }

// Bytes that tell the family of an IP packet.
func isIPv6(frame []byte) bool { return frame[0]>>4 == 6 }

// stacks returns a stack to dial from, one to dial to, and the cable at the
// latter. The link is of the IP medium.
func stacks(t testing.TB, change ...func(*netstack.Config)) (from, to *netstack.Stack, at *cable) {
	t.Helper()
	x, y, err := phy.Pipe(phy.PipeConfig{Medium: phy.MediumIP})
	require.NoError(t, err)
	at = &cable{Device: y}
	one := func(dev phy.Device, host int) *netstack.Stack {
		cfg := netstack.Config{
			Device: dev,
			Addrs: []netip.Prefix{
				netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/24", host)), netip.MustParsePrefix(fmt.Sprintf("2001:db8::%d/64", host)),
			},
			DNS: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:53")},
		}
		for _, f := range change {
			f(&cfg)
		}
		st, err := netstack.New(cfg)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, st.Close()) })
		return st
	}
	return one(x, 1), one(at, 2), at
}

// serve accepts connections on st and drops them into the returned channel.
func serve(t testing.TB, st *netstack.Stack, network, address string) <-chan net.Conn {
	t.Helper()
	l, err := listener.Listen(st, network, address)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	got := make(chan net.Conn, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(got)
				return
			}
			got <- c
		}
	}()
	return got
}

func TestDialAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to, _ := stacks(t)
		serve(t, to, "tcp", ":80")
		serve(t, from, "tcp", ":80")
		for _, c := range []struct{ network, address, remote string }{
			{"tcp", "192.0.2.2:80", "192.0.2.2:80"},
			{"tcp", "192.0.2.2:http", "192.0.2.2:80"},
			{"tcp4", "192.0.2.2:80", "192.0.2.2:80"},
			{"tcp", "[2001:db8::2]:80", "[2001:db8::2]:80"},
			{"tcp6", "[2001:db8::2]:80", "[2001:db8::2]:80"},
			{"tcp", "[::ffff:192.0.2.2]:80", "192.0.2.2:80"},
			{"tcp", ":80", "127.0.0.1:80"},
			{"tcp6", ":80", "[::1]:80"},
			{"tcp", "0.0.0.0:80", "127.0.0.1:80"},
			{"tcp", "[::]:80", "[::1]:80"},
			{"tcp", "192.0.2.1:80", "192.0.2.1:80"},
			{"tcp", "localhost:80", "127.0.0.1:80"},
			{"udp", "192.0.2.2:80", "192.0.2.2:80"},
			{"udp", "[2001:db8::2]:domain", "[2001:db8::2]:53"},
			{"ping", "192.0.2.2", "192.0.2.2"},
			{"ping6", "2001:db8::2", "2001:db8::2"},
		} {
			d := dialer.Dialer{Stack: from}
			conn, err := d.DialContext(t.Context(), c.network, c.address)
			require.NoError(t, err, "%s %s", c.network, c.address)
			if c.address != "localhost:80" || conn.RemoteAddr().(*net.TCPAddr).IP.To4() != nil { // hosts files differ
				require.Equal(t, c.remote, conn.RemoteAddr().String(), "%s %s", c.network, c.address)
			}
			require.NoError(t, conn.Close())
		}
	})
}

// TestErrors is the dialling side of the table of errors.
func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to, _ := stacks(t, func(c *netstack.Config) { c.Routes = []netstack.Route{} })
		serve(t, to, "tcp", ":80")
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		local := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
		for _, c := range []struct {
			name             string
			ctx              context.Context
			d                dialer.Dialer
			network, address string
			want             error
			text             string
			timeout          bool
		}{
			{name: "reset", network: "tcp", address: "192.0.2.2:81", want: syscall.ECONNREFUSED},
			{name: "reset, IPv6", network: "tcp", address: "[2001:db8::2]:81", want: syscall.ECONNREFUSED},
			{name: "no answer", network: "tcp", address: "192.0.2.77:80", want: syscall.ETIMEDOUT, timeout: true},
			{name: "no route", network: "tcp", address: "203.0.113.1:80", want: syscall.ENETUNREACH},
			{name: "no route, UDP", network: "udp", address: "203.0.113.1:80", want: syscall.ENETUNREACH},
			{name: "not ours", d: dialer.Dialer{LocalAddr: local("192.0.2.55:0")}, network: "tcp", address: "192.0.2.2:80", want: syscall.EADDRNOTAVAIL},
			{name: "timeout", d: dialer.Dialer{Timeout: time.Second}, network: "tcp", address: "192.0.2.77:80", want: context.DeadlineExceeded, timeout: true},
			{name: "negative timeout", d: dialer.Dialer{Timeout: -1}, network: "tcp", address: "192.0.2.2:80", want: context.DeadlineExceeded, timeout: true},
			{name: "deadline", d: dialer.Dialer{Deadline: time.Unix(1, 0)}, network: "tcp", address: "192.0.2.2:80", want: context.DeadlineExceeded, timeout: true},
			{name: "canceled", ctx: canceled, network: "tcp", address: "192.0.2.2:80", want: context.Canceled},
			{name: "canceled, UDP", ctx: canceled, network: "udp", address: "192.0.2.2:80", want: context.Canceled},
			{name: "network", network: "tcp5", address: "192.0.2.2:80", want: net.UnknownNetworkError("tcp5")},
			{name: "no address", network: "tcp", address: "", text: "missing address"},
			{name: "no port", network: "tcp", address: "192.0.2.2", text: "missing port"},
			{name: "family", network: "tcp4", address: "[2001:db8::2]:80", text: "no suitable address"},
			{name: "local type", d: dialer.Dialer{LocalAddr: &net.UDPAddr{}}, network: "tcp", address: "192.0.2.2:80", text: "mismatched local address type"},
			{name: "local family", d: dialer.Dialer{LocalAddr: local("192.0.2.1:0")}, network: "tcp", address: "[2001:db8::2]:80", text: "no suitable address"},
		} {
			ctx := c.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			c.d.Stack = from
			nc, err := c.d.DialContext(ctx, c.network, c.address)
			require.Error(t, err, c.name)
			require.True(t, nc == nil, c.name)
			if c.want != nil {
				require.ErrorIs(t, err, c.want, c.name)
			}
			require.ErrorContains(t, err, c.text, c.name)
			oe, ok := err.(*net.OpError)
			require.True(t, ok, c.name)
			require.Equal(t, "dial", oe.Op, c.name)
			require.Equal(t, c.network, oe.Net, c.name)
			require.Equal(t, c.timeout, oe.Timeout(), c.name)
		}
		// The same four addresses and ports cannot be had twice.
		d := dialer.Dialer{Stack: from, LocalAddr: local("192.0.2.1:5555")}
		_, err := d.Dial("tcp", "192.0.2.2:80")
		require.NoError(t, err)
		_, err = d.Dial("tcp", "192.0.2.2:80")
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		_, err = listener.Listen(from, "tcp", ":5555")
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		_, err = new(dialer.Dialer).Dial("tcp", "192.0.2.2:80")
		require.ErrorContains(t, err, "Stack is nil")
	})
}

// TestNoRoom: the limits of a stack are reasons of their own.
func TestNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to, _ := stacks(t, func(c *netstack.Config) { c.Limits.Connections = 2 })
		serve(t, to, "tcp", ":80")
		d := dialer.Dialer{Stack: from}
		for range 2 {
			_, err := d.Dial("tcp", "192.0.2.2:80")
			require.NoError(t, err)
		}
		_, err := d.Dial("tcp", "192.0.2.2:80")
		require.ErrorIs(t, err, syscall.ENOBUFS)
	})
}

// TestNobodyAnswers: a host that is there and silent, and one that is not.
func TestNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, _, at := stacks(t)
		at.lose(everything)
		d := dialer.Dialer{Stack: from}
		start := time.Now()
		_, err := d.Dial("tcp", "192.0.2.2:80")
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		require.True(t, err.(net.Error).Timeout())
		// RFC 1122 4.2.3.5: "R2 for a SYN segment MUST be set large enough to
		// provide retransmission of the segment for at least 3 minutes."
		require.InDelta(t, 200, time.Since(start).Seconds(), 20)

		x, _, err := phy.Pipe(phy.PipeConfig{}) // Ethernet: nobody has that address
		require.NoError(t, err)
		st, err := netstack.New(netstack.Config{Device: x, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
		require.NoError(t, err)
		defer st.Close()
		d.Stack = st
		start = time.Now()
		_, err = d.Dial("tcp", "192.0.2.2:80")
		require.ErrorIs(t, err, syscall.EHOSTUNREACH)
		require.Less(t, time.Since(start), 5*time.Second)
	})
}

// TestCancelWhileConnecting: the half-open connection is gone at once.
func TestCancelWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, _, at := stacks(t)
		at.lose(everything)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		d := dialer.Dialer{Stack: from}
		start := time.Now()
		_, err := d.DialContext(ctx, "tcp", "192.0.2.2:80")
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, time.Second, time.Since(start))
		synctest.Wait()
		for s := range from.Sockets() {
			t.Errorf("left over: %v", s)
		}
	})
}

// names is a resolver's server on st: every name is 192.0.2.2 and 2001:db8::2.
func names(t testing.TB, st *netstack.Stack) (queries *atomic.Int32) {
	t.Helper()
	return serveDNS(t, st, netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2"))
}

func TestHappyEyeballs(t *testing.T) {
	blockIPv6 := func(f []byte) bool { return isIPv6(f) }
	for _, c := range []struct {
		name  string
		delay time.Duration
		lose  func([]byte) bool
		only4 bool // the server does not listen on IPv6: a reset comes
		want  string
		took  time.Duration
	}{
		{name: "both work", want: "2001:db8::2", took: 0},
		{name: "IPv6 is dead", lose: blockIPv6, want: "192.0.2.2", took: 300 * time.Millisecond},
		{name: "IPv6 is dead, longer delay", delay: time.Second, lose: blockIPv6, want: "192.0.2.2", took: time.Second},
		{name: "IPv6 refuses", only4: true, want: "192.0.2.2", took: 0},
		{name: "one after the other", delay: -1, lose: blockIPv6, want: "192.0.2.2", took: 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from, to, at := stacks(t)
				names(t, to)
				network := "tcp"
				if c.only4 {
					network = "tcp4"
				}
				serve(t, to, network, ":80")
				if c.lose != nil {
					at.lose(c.lose)
				}
				d := dialer.Dialer{Stack: from, FallbackDelay: c.delay, Timeout: 10 * time.Second}
				start := time.Now()
				nc, err := d.DialContext(t.Context(), "tcp", "www.example.org:80")
				require.NoError(t, err)
				require.Equal(t, c.want, nc.RemoteAddr().(*net.TCPAddr).IP.String())
				require.InDelta(t, c.took.Seconds(), time.Since(start).Seconds(), 0.05)
				synctest.Wait()
				left := 0
				for s := range from.Sockets() {
					if s.State == "ESTABLISHED" || s.State == "SYN-SENT" {
						left++
					}
				}
				require.Equal(t, 1, left, "the loser is closed")
			})
		})
	}
}

func TestResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to, _ := stacks(t)
		queries := names(t, to)
		r := dialer.Resolver(from)
		ips, err := r.LookupNetIP(t.Context(), "ip4", "www.example.org")
		require.NoError(t, err)
		require.Equal(t, "192.0.2.2", ips[0].Unmap().String())
		require.Positive(t, queries.Load())

		_, err = r.LookupNetIP(t.Context(), "ip4", "nx.example.org")
		var de *net.DNSError
		require.ErrorAs(t, err, &de)
		require.True(t, de.IsNotFound)

		ips, err = r.LookupNetIP(t.Context(), "ip4", "large.example.org") // cut over UDP, whole over TCP
		require.NoError(t, err)
		require.Len(t, ips, largeAnswer)
	})
}

// TestResolverLeavesDeadServers: a server that does not answer delays the first
// lookup and no other, although several names are looked up at once, each for
// both families.
func TestResolverLeavesDeadServers(t *testing.T) {
	servers := func(addrs ...string) func(*netstack.Config) {
		return func(cfg *netstack.Config) {
			cfg.DNS = nil
			for _, a := range addrs {
				cfg.DNS = append(cfg.DNS, netip.MustParseAddrPort(a))
			}
		}
	}
	lookup := func(t *testing.T, r *net.Resolver) (took time.Duration) {
		t.Helper()
		start := time.Now()
		ips, err := r.LookupNetIP(t.Context(), "ip", "www.example.org")
		require.NoError(t, err)
		require.Len(t, ips, 2)
		return time.Since(start)
	}
	t.Run("silent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			from, to, at := stacks(t, servers("192.0.2.2:9", "192.0.2.2:53"))
			names(t, to)
			at.lose(func(f []byte) bool { return !isIPv6(f) && f[9] == 17 && binary.BigEndian.Uint16(f[22:]) == 9 })
			r := dialer.Resolver(from)
			require.Positive(t, lookup(t, r), "how long is the machine's setting")
			for range 10 {
				require.Zero(t, lookup(t, r))
			}
		})
	})
	t.Run("refuses", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			from, to, _ := stacks(t, servers("192.0.2.2:9", "192.0.2.2:53"))
			names(t, to)
			r := dialer.Resolver(from)
			for range 10 {
				require.Zero(t, lookup(t, r))
			}
		})
	})
	t.Run("does not know", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			from, to, _ := stacks(t, servers("192.0.2.2:53", "192.0.2.1:53"))
			first, second := names(t, to), names(t, from)
			r := dialer.Resolver(from)
			_, err := r.LookupNetIP(t.Context(), "ip4", "fail.example.org.")
			require.Error(t, err)
			require.Equal(t, first.Load(), second.Load(), "both were asked")
			require.Positive(t, second.Load())
		})
	})
}

func TestHTTPClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to, _ := stacks(t)
		names(t, to)
		l, err := listener.Listen(to, "tcp", ":80")
		require.NoError(t, err)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })}
		go srv.Serve(l)
		d := &dialer.Dialer{Stack: from}
		tr := &http.Transport{DialContext: d.DialContext}
		client := http.Client{Transport: tr}
		resp, err := client.Get("http://www.example.org/")
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "www.example.org", string(b))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://192.0.2.99/", nil)
		require.NoError(t, err)
		_, err = client.Do(req)
		require.True(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
		tr.CloseIdleConnections()
		require.NoError(t, srv.Close())
	})
}

func Example() {
	x, y, _ := phy.Pipe(phy.PipeConfig{})
	server, _ := netstack.New(netstack.Config{Device: x, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
	client, _ := netstack.New(netstack.Config{Device: y, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}})
	defer server.Close()
	defer client.Close()
	l, _ := listener.Listen(server, "tcp", ":80")
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello ", r.URL.Path) }))

	d := &dialer.Dialer{Stack: client, Timeout: 10 * time.Second}
	web := &http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	resp, err := web.Get("http://192.0.2.1/world")
	if err != nil {
		fmt.Println(err)
		return
	}
	b, _ := io.ReadAll(resp.Body)
	fmt.Println(string(b))
	// Output: hello /world
}
