//go:build linux

package compat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smolnet/conn"
	"smolnet/dialer"
	"smolnet/internal/netns"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/netstack/core"
	"smolnet/netstack/wire"
	"smolnet/phy"
	"smolnet/phy/hostside"
)

// strangers are how many SYNs fill the SYN queue for sure.
const strangers = 2 * core.DefaultHalfOpen

// newOptionsPeer is a stack on a TAP or TUN, all that passes being captured, and the
// Linux of a namespace with some of the settings below net.ipv4.
func newOptionsPeer(t *testing.T, medium phy.Medium, cfg netstack.TCPConfig, sysctls map[string]string) *linuxPeer {
	t.Helper()
	netns.NeedPrograms(t, "ss", "tshark")
	p := &linuxPeer{ns: netns.New(t), name: "opt0", pcap: filepath.Join(t.TempDir(), "opt0.pcap")}
	var dev phy.Device
	p.ns.Do(func() {
		var err error
		cfg := phy.TunConfig{TxQueueLen: 2 * strangers}
		if medium == phy.MediumEthernet {
			dev, err = phy.OpenTAP(p.name, cfg)
		} else {
			dev, err = phy.OpenTUN(p.name, cfg)
		}
		require.NoError(t, err)
		require.NoError(t, hostside.Configure(p.name, hostside.Config{
			Addrs: []netip.Prefix{netip.MustParsePrefix(host4 + "/24"), netip.MustParsePrefix(host6 + "/64")}, Up: true,
		}))
		for name, value := range sysctls {
			require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0o644))
		}
	})
	f, err := os.Create(p.pcap)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close(); p.keepCapture(t) })
	p.st, err = netstack.New(netstack.Config{
		Device: phy.NewPcap(dev, f, phy.PcapConfig{}), TCP: cfg,
		Addrs: []netip.Prefix{netip.MustParsePrefix(stack4 + "/24"), netip.MustParsePrefix(stack6 + "/64")},
	})
	require.NoError(t, err)
	t.Cleanup(func() { p.st.Close() })
	return p
}

// fields returns what tshark reads of some fields in the captured packets that match
// filter. The stack must have been closed.
func (p *linuxPeer) fields(t *testing.T, filter string, names ...string) (rows []map[string]string) {
	t.Helper()
	args := []string{"-n", "-r", p.pcap, "-Y", filter, "-T", "fields", "-E", "separator=;"}
	for _, name := range names {
		args = append(args, "-e", name)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "tshark", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	for line := range strings.Lines(string(out)) {
		values := strings.Split(strings.TrimSuffix(line, "\n"), ";")
		require.Len(t, values, len(names), line)
		row := make(map[string]string)
		for i, name := range names {
			row[strings.TrimPrefix(strings.TrimPrefix(name, "tcp."), "options.")] = values[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// handshakes returns the SYNs and SYN-ACKs that were captured, each once.
func (p *linuxPeer) handshakes(t *testing.T) []map[string]string {
	return p.fields(t, "tcp.flags.syn==1 && !tcp.analysis.retransmission",
		"tcp.flags", "tcp.len", "tcp.ack", "tcp.options.mss_val", "tcp.options.wscale.shift", "tcp.options.sack_perm",
		"tcp.options.timestamp.tsval", "tcp.options.timestamp.tsecr", "tcp.options.tfo.request", "tcp.options.tfo.cookie")
}

// ss returns the words that ss has for the only connection of the namespace.
func (p *linuxPeer) ss(t *testing.T) []string {
	t.Helper()
	out := p.ns.Output("ss", "-Htinop", "state", "established")
	require.Equal(t, 1, strings.Count(out, "cwnd:"), out)
	return strings.Fields(out)
}

// A service accepts connections at one side, and dial connects to it from the other.
type service struct {
	l    net.Listener
	dial func() (net.Conn, error)
}

// serve makes a service whose client is the stack, or Linux, with Fast Open at both.
func (p *linuxPeer) serve(t *testing.T, active, v6 bool) service {
	t.Helper()
	host, stack := host4, stack4
	if v6 {
		host, stack = host6, stack6
	}
	var s service
	var err error
	if active {
		p.ns.Do(func() {
			cfg := net.ListenConfig{Control: sockopt(tcpFastOpen, 16)}
			cfg.SetMultipathTCP(false) // with it Linux leaves timestamps out where there is a cookie
			s.l, err = cfg.Listen(context.Background(), "tcp", net.JoinHostPort(host, "0"))
		})
		d := dialer.Dialer{Stack: p.st, FastOpen: true, Timeout: 5 * time.Second}
		s.dial = func() (net.Conn, error) { return d.Dial("tcp", s.l.Addr().String()) }
	} else {
		cfg := listener.Config{Stack: p.st, FastOpen: true}
		s.l, err = cfg.ListenTCP("tcp", netip.AddrPortFrom(netip.MustParseAddr(stack), 80))
		s.dial = func() (c net.Conn, err error) {
			p.ns.Do(func() {
				d := net.Dialer{Timeout: 5 * time.Second, Control: sockopt(tcpFastOpenConnect, 1)}
				c, err = d.Dial("tcp", s.l.Addr().String())
			})
			return c, err
		}
	}
	require.NoError(t, err)
	t.Cleanup(func() { s.l.Close() })
	return s
}

// talk connects, writes a request, reads it at the other end, and sends it back.
func (s service) talk(t *testing.T, request string) (client, server net.Conn) {
	t.Helper()
	client, err := s.dial()
	require.NoError(t, err)
	deadline := time.Now().Add(10 * time.Second)
	require.NoError(t, client.SetDeadline(deadline))
	_, err = io.WriteString(client, request)
	require.NoError(t, err)
	server, err = s.l.Accept()
	require.NoError(t, err)
	require.NoError(t, server.SetDeadline(deadline))
	got := make([]byte, len(request))
	_, err = io.ReadFull(server, got)
	require.NoError(t, err)
	require.Equal(t, request, string(got))
	_, err = server.Write(got)
	require.NoError(t, err)
	_, err = io.ReadFull(client, got)
	require.NoError(t, err)
	require.Equal(t, request, string(got))
	return client, server
}

// ours returns the end that is the stack's.
func ours(active bool, client, server net.Conn) *conn.TCP {
	if active {
		return client.(*conn.TCP)
	}
	return server.(*conn.TCP)
}

// bothWays has the sides of the handshake in turn: who opens, by which version of IP.
func bothWays(t *testing.T, fn func(t *testing.T, active, v6 bool)) {
	for _, active := range []bool{false, true} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("active %v/IPv6 %v", active, v6), func(t *testing.T) { fn(t, active, v6) })
		}
	}
}

// TestLinuxOptions: everything that can be agreed on is, whoever opens: the capture has
// it, the kernel says so, and so do we. The first connection brings a cookie of Fast
// Open, the second has its request on the SYN.
func TestLinuxOptions(t *testing.T) {
	const request = "what is on the SYN"
	const asks, agrees = "0x00c2", "0x0052" // RFC 3168 6.1.1: SYN with ECE and CWR; SYN, ACK, ECE
	bothWays(t, func(t *testing.T, active, v6 bool) {
		p := newOptionsPeer(t, phy.MediumEthernet, netstack.TCPConfig{ECN: netstack.ECNAsk},
			map[string]string{"tcp_ecn": "1", "tcp_fastopen": fastOpenBoth})
		s := p.serve(t, active, v6)
		client, server := s.talk(t, request)
		require.NoError(t, client.Close())
		require.NoError(t, server.Close())
		client, server = s.talk(t, request)
		i, words := ours(active, client, server).Info(), p.ss(t)
		client.Close()
		server.Close()
		require.NoError(t, p.st.Close())

		require.True(t, i.Timestamps && i.WindowScaling && i.SelectiveAck && i.ECN, "%+v", i)
		require.Subset(t, words, []string{"ts", "sack", "ecn", "fastopen", fmt.Sprintf("wscale:%d,%d", i.RecvScale, i.SendScale)})
		mss := "1460"
		if v6 {
			mss = "1440"
		}
		rows := p.handshakes(t)
		require.Len(t, rows, 4)
		for n, row := range rows {
			require.Equal(t, mss, row["mss_val"], "packet %d", n)
			require.NotEmpty(t, row["sack_perm"], "packet %d", n)
			require.NotEmpty(t, row["timestamp.tsval"], "packet %d", n)
			require.Equal(t, []string{asks, agrees}[n%2], row["flags"], "packet %d", n)
			scale := i.SendScale // the peer's
			if (n%2 == 0) == active {
				scale = i.RecvScale
			}
			require.Equal(t, fmt.Sprint(scale), row["wscale.shift"], "packet %d", n)
		}
		require.Equal(t, rows[0]["timestamp.tsval"], rows[1]["timestamp.tsecr"])
		require.Equal(t, rows[2]["timestamp.tsval"], rows[3]["timestamp.tsecr"])

		require.NotEmpty(t, rows[0]["tfo.request"], "RFC 7413 4.1.1: an empty option asks for a cookie")
		require.Equal(t, "0", rows[0]["len"])
		cookie := rows[1]["tfo.cookie"]
		require.GreaterOrEqual(t, len(cookie), 8, "4 bytes at least")
		require.Equal(t, cookie, rows[2]["tfo.cookie"])
		require.Equal(t, fmt.Sprint(len(request)), rows[2]["len"])
		require.Equal(t, fmt.Sprint(1+len(request)), rows[3]["ack"], "the SYN and its text are acknowledged")
	})
}

// TestLinuxOptionsRefused: what one side does not want is not in what the other one
// answers, nor used, and data arrives without it.
func TestLinuxOptionsRefused(t *testing.T) {
	const size = 1 << 20
	off := map[string]string{"tcp_sack": "0", "tcp_timestamps": "0", "tcp_window_scaling": "0"}
	for _, who := range []string{"Linux", "stack"} {
		for _, active := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/active %v", who, active), func(t *testing.T) {
				cfg, sysctls := netstack.TCPConfig{}, off
				if who == "stack" {
					cfg, sysctls = netstack.TCPConfig{NoSACK: true, NoTimestamps: true, NoWindowScale: true}, nil
				}
				p := newOptionsPeer(t, phy.MediumIP, cfg, sysctls)
				our, kernels := p.connect(t, false, active)
				copyHashed(t, our, kernels, size)
				copyHashed(t, kernels, our, size)
				i, words := our.Info(), p.ss(t)
				our.Close()
				kernels.Close()
				require.NoError(t, p.st.Close())

				require.False(t, i.Timestamps || i.WindowScaling || i.SelectiveAck || i.ECN, "%+v", i)
				require.NotContains(t, words, "ts")
				require.NotContains(t, words, "sack")
				rows := p.handshakes(t)
				require.Len(t, rows, 2)
				asked := active == (who == "Linux") // by a client that wants all of it
				for n, row := range rows {
					for _, option := range []string{"wscale.shift", "sack_perm", "timestamp.tsval"} {
						require.Equal(t, asked && n == 0, row[option] != "", "packet %d, %s", n, option)
					}
				}
			})
		}
	}
}

// TestLinuxSelectiveAck: on a link that loses, both ends say what has arrived beyond a
// gap (RFC 2018), and every segment but a reset has timestamps (RFC 7323 3.2).
func TestLinuxSelectiveAck(t *testing.T) {
	netns.NeedPrograms(t, "tshark")
	onLinux(t, phy.FaultConfig{DropChance: 3, Seed: 1}, func(t *testing.T, p *linuxPeer) {
		kernels, ours := p.pair(t)
		exchange(t, kernels, ours, 2<<20)
		require.NoError(t, p.st.Close())
		seen := make(map[string]int)
		for _, row := range p.fields(t, "tcp.options.sack", "ip.src", "tcp.options.sack.count") {
			seen[row["ip.src"]]++
		}
		t.Logf("segments with blocks: %v", seen)
		require.Positive(t, seen[stack4])
		require.Positive(t, seen[host4])
		require.Empty(t, p.fields(t, "tcp && tcp.flags.reset==0 && !tcp.options.timestamp", "frame.number"))
	})
}

// floodSYNs sends n SYNs to addr, each from an address of its own, of which the
// namespace knows nothing: answers to them end there.
func (p *linuxPeer) floodSYNs(t *testing.T, addr netip.AddrPort, n int) {
	t.Helper()
	p.ns.Do(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		require.NoError(t, err)
		defer unix.Close(fd)
		for i := range n {
			b := synFrom(netip.AddrFrom4([4]byte{10, 1 + byte(i>>16), byte(i >> 8), byte(i)}), addr)
			for err = unix.EAGAIN; err == unix.EAGAIN || err == unix.ENOBUFS; {
				err = unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: addr.Addr().As4()})
			}
			require.NoError(t, err)
		}
	})
}

// synFrom returns an IPv4 packet with a SYN.
func synFrom(src netip.Addr, dst netip.AddrPort) []byte {
	tcp := wire.TCP{SrcPort: 1024, DstPort: dst.Port(), Flags: wire.SYN, Window: 65535, Options: wire.TCPOptions{MSS: 1460}}
	n := wire.IPv4Len + tcp.HeaderLen()
	ip := wire.IPv4{TotalLen: uint16(n), TTL: 64, Protocol: wire.ProtoTCP, Src: src, Dst: dst.Addr()}
	b := make([]byte, n)
	ip.Put(b)
	tcp.Put(b[wire.IPv4Len:])
	wire.SetChecksum(src, dst.Addr(), wire.ProtoTCP, b[wire.IPv4Len:], 16)
	return b
}

// TestLinuxOptionsOfCookie: strangers have filled the SYN queue; who comes then, and
// gets in by a cookie (RFC 4987 3.6), has what he and we agreed on all the same.
func TestLinuxOptionsOfCookie(t *testing.T) {
	const size = 1 << 20
	for _, stamps := range []string{"1", "0"} {
		t.Run("timestamps "+stamps, func(t *testing.T) {
			p := newOptionsPeer(t, phy.MediumIP, netstack.TCPConfig{}, map[string]string{"tcp_timestamps": stamps})
			l, err := listener.Listen(p.st, "tcp", stack4+":80")
			require.NoError(t, err)
			defer l.Close()
			p.floodSYNs(t, netip.MustParseAddrPort(stack4+":80"), strangers)
			require.Eventually(t, func() bool { return p.st.Stats().TCPCookiesSent > 0 }, 10*time.Second, 10*time.Millisecond)

			kernels, err := p.dialHost(stack4 + ":80")
			require.NoError(t, err)
			defer kernels.Close()
			c, err := l.Accept()
			require.NoError(t, err)
			defer c.Close()
			require.EqualValues(t, 1, p.st.Stats().TCPCookiesAccepted)
			i, words := c.(*conn.TCP).Info(), p.ss(t)
			t.Logf("%d cookies; scales %d and %d; ss: %v", p.st.Stats().TCPCookiesSent, i.SendScale, i.RecvScale, words)
			require.True(t, i.WindowScaling && i.SelectiveAck)
			require.Equal(t, stamps == "1", i.Timestamps)
			require.Subset(t, words, []string{"sack", fmt.Sprintf("wscale:%d,%d", i.RecvScale, i.SendScale)})
			require.Equal(t, stamps == "1", slices.Contains(words, "ts"))
			copyHashed(t, c, kernels, size)
			copyHashed(t, kernels, c, size)
		})
	}
}
