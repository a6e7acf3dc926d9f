//go:build linux

package compat

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

var (
	lossySize = flag.Int64("lossy-size", 8<<20, "bytes each way of the transfer over a bad link")
	lossyRTO  = flag.Duration("lossy-rto", 5*time.Millisecond, "smallest retransmission timeout of both sides on the bad link")
)

const (
	stack4, stack6 = "192.168.69.1", "fdaa::1"
	host4, host6   = "192.168.69.100", "fdaa::100"
)

// A linuxPeer is a stack and, at the other end of its TAP or TUN, the Linux of
// a namespace.
type linuxPeer struct {
	ns   *netns.NS
	st   *netstack.Stack
	name string
	pcap string // capture of what the stack saw, kept if the test fails
}

// onLinux runs fn with a TAP and with a TUN.
func onLinux(t *testing.T, fault phy.FaultConfig, fn func(t *testing.T, p *linuxPeer)) {
	t.Helper()
	onLinuxWith(t, phy.TunConfig{}, fault, fn)
}

func onLinuxWith(t *testing.T, cfg phy.TunConfig, fault phy.FaultConfig, fn func(t *testing.T, p *linuxPeer)) {
	for _, medium := range []phy.Medium{phy.MediumEthernet, phy.MediumIP} {
		name := map[phy.Medium]string{phy.MediumEthernet: "tap0", phy.MediumIP: "tun0"}[medium]
		t.Run(name, func(t *testing.T) { fn(t, newLinuxPeer(t, name, medium, cfg, fault)) })
	}
}

func newLinuxPeer(t *testing.T, name string, medium phy.Medium, cfg phy.TunConfig, fault phy.FaultConfig) *linuxPeer {
	t.Helper()
	p := &linuxPeer{ns: netns.New(t), name: name, pcap: filepath.Join(t.TempDir(), name+".pcap")}
	var dev phy.Device
	p.ns.Do(func() {
		var err error
		if medium == phy.MediumEthernet {
			dev, err = phy.OpenTAP(name, cfg)
		} else {
			dev, err = phy.OpenTUN(name, cfg)
		}
		require.NoError(t, err)
		require.NoError(t, hostside.Configure(name, hostside.Config{
			Addrs: []netip.Prefix{netip.MustParsePrefix(host4 + "/24"), netip.MustParsePrefix(host6 + "/64"), netip.MustParsePrefix("fe80::100/64")},
			Up:    true,
		}))
	})
	if fault != (phy.FaultConfig{}) {
		dev = phy.NewFault(dev, fault)
	}
	if captured(t) {
		f, err := os.Create(p.pcap)
		require.NoError(t, err)
		dev = phy.NewPcap(dev, f, phy.PcapConfig{})
		t.Cleanup(func() { f.Close(); p.keepCapture(t) })
	}
	st, err := netstack.New(netstack.Config{
		Device: dev,
		TCP:    tcpConfig(fault),
		Addrs:  []netip.Prefix{netip.MustParsePrefix(stack4 + "/24"), netip.MustParsePrefix(stack6 + "/64"), netip.MustParsePrefix("fe80::1/64")},
	})
	require.NoError(t, err)
	p.st = st
	t.Cleanup(func() { st.Close() })
	return p
}

// tcpConfig is the stack's default, but on a bad link.
func tcpConfig(fault phy.FaultConfig) netstack.TCPConfig {
	if fault == (phy.FaultConfig{}) {
		return netstack.TCPConfig{}
	}
	return netstack.TCPConfig{MinRTO: *lossyRTO}
}

// captured says which tests are small enough to be captured as a whole.
func captured(t *testing.T) bool { return !strings.Contains(t.Name(), "Bulk") }

// keepCapture copies the capture of a failed test to where it stays.
func (p *linuxPeer) keepCapture(t *testing.T) {
	if !t.Failed() {
		return
	}
	kept := filepath.Join(os.TempDir(), "smolnet-"+strings.ReplaceAll(t.Name(), "/", "-")+".pcap")
	if b, err := os.ReadFile(p.pcap); err == nil && os.WriteFile(kept, b, 0o644) == nil {
		t.Logf("capture: %s", kept)
	}
}

// dialHost is the kernel's dialer inside the namespace. addr must be an IP
// address and a port.
func (p *linuxPeer) dialHost(addr string) (c net.Conn, err error) {
	p.ns.Do(func() { c, err = net.DialTimeout("tcp", addr, time.Minute) })
	return c, err
}

func (p *linuxPeer) serveHello(t *testing.T) {
	t.Helper()
	l, err := listener.Listen(p.st, "tcp", ":80")
	require.NoError(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello from smolnet\n")
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
}

// TestLinuxPing: the very first echo request, which finds nobody's link
// address known, is answered.
func TestLinuxPing(t *testing.T) {
	netns.NeedPrograms(t, "ping")
	onLinux(t, phy.FaultConfig{}, func(t *testing.T, p *linuxPeer) {
		for _, addr := range []string{stack4, stack6} {
			out := p.ns.Output("ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", addr)
			require.Contains(t, out, "3 received", addr)
			out = p.ns.Output("ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", "-s", "1400", addr)
			require.Contains(t, out, "2 received", addr)
		}
	})
}

// TestLinuxClosedPort: what is closed says so at once, in both protocols.
func TestLinuxClosedPort(t *testing.T) {
	onLinux(t, phy.FaultConfig{}, func(t *testing.T, p *linuxPeer) {
		for _, host := range []string{stack4, stack6} {
			_, err := p.dialHost(net.JoinHostPort(host, "9"))
			require.ErrorContains(t, err, "connection refused")
			p.ns.Do(func() {
				c, err := net.Dial("udp", net.JoinHostPort(host, "9"))
				require.NoError(t, err)
				defer c.Close()
				_, err = c.Write([]byte("x"))
				require.NoError(t, err)
				require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
				_, err = c.Read(make([]byte, 1))
				require.ErrorContains(t, err, "connection refused")
			})
		}
	})
}

// TestLinuxCurl fetches from net/http on the stack, first try.
func TestLinuxCurl(t *testing.T) {
	netns.NeedPrograms(t, "curl")
	onLinux(t, phy.FaultConfig{}, func(t *testing.T, p *linuxPeer) {
		p.serveHello(t)
		for _, url := range []string{"http://" + stack4 + "/", "http://[" + stack6 + "]/"} {
			require.Equal(t, "hello from smolnet\n", p.ns.Output("curl", "-gsS", "--max-time", "5", url))
		}
	})
}

// TestLinuxCurlBadLink: slower, but every byte right.
func TestLinuxCurlBadLink(t *testing.T) {
	netns.NeedPrograms(t, "curl")
	onLinux(t, phy.FaultConfig{DropChance: 15, CorruptChance: 15, Seed: 1}, func(t *testing.T, p *linuxPeer) {
		p.serveHello(t)
		for _, url := range []string{"http://" + stack4 + "/", "http://[" + stack6 + "]/"} {
			require.Equal(t, "hello from smolnet\n", p.ns.Output("curl", "-gsS", "--max-time", "100", url))
		}
	})
}

// TestLinuxServer: the stack as the client of a server of the kernel's.
func TestLinuxServer(t *testing.T) {
	onLinux(t, phy.FaultConfig{}, func(t *testing.T, p *linuxPeer) {
		d := dialer.Dialer{Stack: p.st}
		for _, host := range []string{host4, host6} {
			var l net.Listener
			p.ns.Do(func() {
				var err error
				l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
				require.NoError(t, err)
			})
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "kernel") })}
			go srv.Serve(l)
			c := http.Client{Transport: &http.Transport{DialContext: d.DialContext}, Timeout: 10 * time.Second}
			resp, err := c.Get("http://" + l.Addr().String())
			require.NoError(t, err)
			b, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, "kernel", string(b))
			srv.Close()
			_, err = d.DialContext(t.Context(), "tcp", l.Addr().String())
			require.ErrorContains(t, err, "connection refused")
		}
	})
}

// serveEcho sends back what it receives, until l is closed.
func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	}
}

// TestLinuxSocat: socat's TCP and UDP against echo services, half-close
// included.
func TestLinuxSocat(t *testing.T) {
	netns.NeedPrograms(t, "socat")
	onLinux(t, phy.FaultConfig{}, func(t *testing.T, p *linuxPeer) {
		l, err := listener.Listen(p.st, "tcp", ":7")
		require.NoError(t, err)
		defer l.Close()
		go serveEcho(l)
		pc, err := listener.ListenPacket(p.st, "udp", ":7")
		require.NoError(t, err)
		defer pc.Close()
		go func() {
			b := make([]byte, 2000)
			for {
				n, from, err := pc.ReadFrom(b)
				if err != nil {
					return
				}
				pc.WriteTo(b[:n], from)
			}
		}()
		data := strings.Repeat("0123456789", 50_000)
		for _, target := range []string{"TCP:" + stack4 + ":7", "TCP:[" + stack6 + "]:7"} {
			cmd := p.ns.Command("socat", "-t", "10", "-", target)
			cmd.Stdin = strings.NewReader(data)
			out, err := cmd.Output()
			require.NoError(t, err)
			require.Equal(t, len(data), len(out))
			require.True(t, string(out) == data)
		}
		for _, target := range []string{"UDP:" + stack4 + ":7", "UDP:[" + stack6 + "]:7"} {
			cmd := p.ns.Command("socat", "-t", "1", "-", target)
			cmd.Stdin = strings.NewReader("a datagram")
			out, err := cmd.Output()
			require.NoError(t, err)
			require.Equal(t, "a datagram", string(out))
		}
	})
}

// TestLinuxIperf3: iperf3's client and server, each talking to the stack,
// which relays between them.
func TestLinuxIperf3(t *testing.T) {
	netns.NeedPrograms(t, "iperf3")
	onLinux(t, phy.FaultConfig{}, func(t *testing.T, p *linuxPeer) {
		server := p.ns.Command("iperf3", "-s", "-1", "--forceflush")
		var out bytes.Buffer
		stdout, err := server.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, server.Start())
		t.Cleanup(func() { server.Process.Kill(); server.Wait() })
		awaitLine(t, io.TeeReader(stdout, &out), "listening")
		go io.Copy(io.Discard, stdout)

		l, err := listener.Listen(p.st, "tcp", ":5201")
		require.NoError(t, err)
		defer l.Close()
		d := dialer.Dialer{Stack: p.st}
		go relayAll(l, func() (net.Conn, error) { return d.DialContext(t.Context(), "tcp", host4+":5201") })
		report := p.ns.Output("iperf3", "-c", stack4, "-n", "64M", "-P", "2", "--connect-timeout", "5000")
		require.Contains(t, report, "iperf Done.")
		t.Logf("%s", report[strings.Index(report, "[SUM]"):])
	})
}

func awaitLine(t *testing.T, r io.Reader, text string) {
	t.Helper()
	var seen []byte
	b := make([]byte, 1)
	for !bytes.Contains(seen, []byte(text)) {
		_, err := r.Read(b)
		require.NoError(t, err, "output so far: %s", seen)
		seen = append(seen, b...)
	}
}

func relayAll(l net.Listener, dial func() (net.Conn, error)) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := dial()
			if err != nil {
				return
			}
			defer out.Close()
			var wg sync.WaitGroup
			for _, d := range [][2]net.Conn{{in, out}, {out, in}} {
				wg.Go(func() {
					io.Copy(d[0], d[1])
					d[0].(interface{ CloseWrite() error }).CloseWrite()
				})
			}
			wg.Wait()
		}()
	}
}

// linuxPair returns a connection between the kernel and the stack.
func (p *linuxPeer) pair(t *testing.T) (kernel, ours net.Conn) {
	t.Helper()
	l, err := listener.Listen(p.st, "tcp", ":0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	kernel, err = p.dialHost(net.JoinHostPort(stack4, port))
	require.NoError(t, err)
	ours, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { kernel.Close(); ours.Close() })
	return kernel, ours
}

// TestLinuxBulk carries 256 MiB each way and compares hashes.
func TestLinuxBulk(t *testing.T) {
	onLinux(t, phy.FaultConfig{}, func(t *testing.T, p *linuxPeer) {
		kernel, ours := p.pair(t)
		start := time.Now()
		exchange(t, kernel, ours, bulkSize)
		t.Logf("%d MiB each way in %v", bulkSize>>20, time.Since(start).Round(time.Millisecond))
	})
}

// TestLinuxBulkBadLink is the same at 5 % loss and 5 % corruption each way, of
// -lossy-size bytes. With every tenth segment lost and no selective
// acknowledgments nearly all the time goes into retransmission timeouts, so
// both sides are set to ones that fit the link's round-trip time of less than a
// millisecond.
func TestLinuxBulkBadLink(t *testing.T) {
	onLinux(t, phy.FaultConfig{DropChance: 5, CorruptChance: 5, Seed: 1}, func(t *testing.T, p *linuxPeer) {
		p.ns.Output("ip", "route", "replace", "192.168.69.0/24", "dev", p.name, "src", host4, "rto_min", lossyRTO.String())
		kernel, ours := p.pair(t)
		start := time.Now()
		exchange(t, kernel, ours, *lossySize)
		t.Logf("%d bytes each way in %v", *lossySize, time.Since(start).Round(time.Millisecond))
	})
}

// TestLinuxConnections: the kernel opens and closes a thousand connections in
// parallel; not one may fail.
func TestLinuxConnections(t *testing.T) {
	const total, parallel = 1000, 1000
	onLinux(t, phy.FaultConfig{}, func(t *testing.T, p *linuxPeer) {
		l, err := listener.Listen(p.st, "tcp", ":80")
		require.NoError(t, err)
		defer l.Close()
		go serveEcho(l)
		var wg sync.WaitGroup
		for worker := range parallel {
			wg.Go(func() {
				for i := range total / parallel {
					if err := p.visit(fmt.Sprintf("worker %d visit %d", worker, i)); err != nil {
						t.Errorf("worker %d, visit %d: %v", worker, i, err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// visit connects, has a message echoed, and closes.
func (p *linuxPeer) visit(message string) error {
	c, err := p.dialHost(net.JoinHostPort(stack4, "80"))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, message); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err == nil && string(b) != message {
		err = fmt.Errorf("got %q", b)
	}
	return err
}

// TestLinuxCapture: tshark finds neither a malformed packet nor a bad checksum
// in what the stack sent and received. With offloads, transport checksums are
// not there yet when a frame is captured.
func TestLinuxCapture(t *testing.T) {
	netns.NeedPrograms(t, "tshark", "curl", "ping")
	t.Run("offloads", func(t *testing.T) {
		onLinux(t, phy.FaultConfig{}, func(t *testing.T, p *linuxPeer) { testCapture(t, p, "FALSE") })
	})
	t.Run("complete", func(t *testing.T) {
		onLinuxWith(t, phy.TunConfig{NoOffload: true}, phy.FaultConfig{}, func(t *testing.T, p *linuxPeer) { testCapture(t, p, "TRUE") })
	})
}

// testCapture exchanges a few packets of every kind and looks at the capture.
// transport says whether transport checksums are looked at.
func testCapture(t *testing.T, p *linuxPeer, transport string) {
	p.serveHello(t)
	p.ns.Output("curl", "-gsS", "--max-time", "5", "http://"+stack4+"/")
	p.ns.Output("curl", "-gsS", "--max-time", "5", "http://["+stack6+"]/")
	p.ns.Output("ping", "-n", "-c", "1", "-W", "2", stack4)
	p.ns.Output("ping", "-n", "-c", "1", "-W", "2", stack6)
	_, err := p.dialHost(stack4 + ":9")
	require.Error(t, err)
	c, err := (&dialer.Dialer{Stack: p.st}).DialContext(t.Context(), "udp", host4+":9")
	require.NoError(t, err)
	_, err = c.Write([]byte("to a closed port"))
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	require.ErrorContains(t, err, "refused")
	c.Close()
	require.NoError(t, p.st.Close()) // flushes the capture

	require.NotEmpty(t, tshark(t, p.pcap, transport, "tcp.flags.syn==1 && tcp.flags.ack==1"))
	require.NotEmpty(t, tshark(t, p.pcap, transport, "icmp.type==0 || icmpv6.type==129"))
	require.Empty(t, tshark(t, p.pcap, transport, "_ws.malformed || _ws.expert.severity >= 8388608"), "malformed")
	require.Empty(t, tshark(t, p.pcap, transport, strings.Join([]string{
		"ip.checksum.status==0", "tcp.checksum.status==0", "udp.checksum.status==0", "icmp.checksum.status==0", "icmpv6.checksum.status==0",
	}, " || ")), "bad checksum")
}

// tshark returns its one-line summaries of the packets that match filter.
// transport, TRUE or FALSE, says whether it computes transport checksums.
func tshark(t *testing.T, file, transport, filter string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "tshark", "-n", "-r", file, "-Y", filter,
		"-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:"+transport, "-o", "udp.check_checksum:"+transport)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	return string(out)
}
