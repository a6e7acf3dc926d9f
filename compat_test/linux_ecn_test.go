//go:build linux

package compat

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/conn"
	"smolnet/dialer"
	"smolnet/internal/netns"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/phy"
	"smolnet/phy/hostside"
)

// ecnRules mark every so many of the packets that may be marked, in both directions.
const ecnRules = `table inet marks {
	chain in {
		type filter hook prerouting priority mangle
		ip ecn ect0 numgen inc mod 16 == 0 ip ecn set ce
		ip6 ecn ect0 numgen inc mod 16 == 0 ip6 ecn set ce
	}
	chain out {
		type filter hook postrouting priority mangle
		ip ecn ect0 numgen inc mod 16 == 0 ip ecn set ce
		ip6 ecn ect0 numgen inc mod 16 == 0 ip6 ecn set ce
	}
}`

// newECNPeer is a stack and the Linux of a namespace with the sysctl net.ipv4.tcp_ecn.
func newECNPeer(t *testing.T, medium phy.Medium, mode netstack.ECNMode, sysctl int) *linuxPeer {
	netns.NeedPrograms(t, "nft", "ss", "sysctl")
	p := &linuxPeer{ns: netns.New(t), name: "ecn0"}
	var dev phy.Device
	p.ns.Do(func() {
		var err error
		if medium == phy.MediumEthernet {
			dev, err = phy.OpenTAP(p.name, phy.TunConfig{})
		} else {
			dev, err = phy.OpenTUN(p.name, phy.TunConfig{})
		}
		require.NoError(t, err)
		require.NoError(t, hostside.Configure(p.name, hostside.Config{
			Addrs: []netip.Prefix{netip.MustParsePrefix(host4 + "/24"), netip.MustParsePrefix(host6 + "/64")},
			Up:    true,
		}))
	})
	p.ns.Output("sysctl", "-qw", fmt.Sprint("net.ipv4.tcp_ecn=", sysctl))
	p.ns.Output("nft", ecnRules)
	var err error
	p.st, err = netstack.New(netstack.Config{
		Device: dev, TCP: netstack.TCPConfig{ECN: mode},
		Addrs: []netip.Prefix{netip.MustParsePrefix(stack4 + "/24"), netip.MustParsePrefix(stack6 + "/64")},
	})
	require.NoError(t, err)
	t.Cleanup(func() { p.st.Close() })
	return p
}

// connect returns both ends of a connection: ours and the kernel's.
func (p *linuxPeer) connect(t *testing.T, v6, active bool) (ours *conn.TCP, kernels net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	host, stack := host4, stack4
	if v6 {
		host, stack = host6, stack6
	}
	if !active {
		l, err := listener.Listen(p.st, "tcp", net.JoinHostPort(stack, "7"))
		require.NoError(t, err)
		defer l.Close()
		kernels, err = p.dialHost(net.JoinHostPort(stack, "7"))
		require.NoError(t, err)
		c, err := l.Accept()
		require.NoError(t, err)
		return c.(*conn.TCP), kernels
	}
	var l net.Listener
	p.ns.Do(func() {
		var err error
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
		require.NoError(t, err)
	})
	defer l.Close()
	c, err := (&dialer.Dialer{Stack: p.st}).DialContext(ctx, "tcp", l.Addr().String())
	require.NoError(t, err)
	kernels, err = l.Accept()
	require.NoError(t, err)
	return c.(*conn.TCP), kernels
}

// copyHashed sends n bytes by w and compares what comes out of r.
func copyHashed(t *testing.T, w, r net.Conn, n int64) {
	t.Helper()
	go io.Copy(w, random(7, n))
	require.NoError(t, r.SetReadDeadline(time.Now().Add(30*time.Second)))
	require.Equal(t, hashOf(t, random(7, n)), hashOf(t, io.LimitReader(r, n)))
}

// TestLinuxECN: ECN is agreed on with Linux whoever opens, RFC 3168 6.1.1; marks on the way
// are echoed by either end, answered by the other one, and no byte is lost to that.
func TestLinuxECN(t *testing.T) {
	const size = 8 << 20
	for _, medium := range []phy.Medium{phy.MediumEthernet, phy.MediumIP} {
		for _, active := range []bool{false, true} {
			mode := netstack.ECNAccept
			if active {
				mode = netstack.ECNAsk
			}
			for _, v6 := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v/active %v/IPv6 %v", medium, active, v6), func(t *testing.T) {
					p := newECNPeer(t, medium, mode, 1)
					ours, kernels := p.connect(t, v6, active)
					defer ours.Close()
					defer kernels.Close()
					require.True(t, ours.Info().ECN)
					copyHashed(t, ours, kernels, size)
					copyHashed(t, kernels, ours, size)
					i := ours.Info()
					t.Logf("%d marks received, %d echoed, %d reductions, %d retransmits", i.MarksReceived, i.MarksEchoed, i.MarkReductions, i.Retransmits)
					require.Positive(t, i.MarksReceived)
					require.Positive(t, i.MarksEchoed)
					require.Positive(t, i.MarkReductions)
					require.LessOrEqual(t, i.MarkReductions, i.MarksEchoed)
					words := strings.Fields(p.ns.Output("ss", "-Htino"))
					require.Contains(t, words, "ecn", "the kernel has agreed")
					require.Contains(t, words, "ecnseen", "the kernel has received ECT or CE")
				})
			}
		}
	}
}

// TestLinuxECNRefused: who does not want ECN is talked to without.
func TestLinuxECNRefused(t *testing.T) {
	for _, tt := range []struct {
		mode   netstack.ECNMode
		sysctl int
		active bool
	}{{netstack.ECNOff, 1, false}, {netstack.ECNOff, 1, true}, {netstack.ECNAccept, 2, true}, {netstack.ECNAccept, 2, false}, {netstack.ECNAsk, 0, true}} {
		t.Run(fmt.Sprintf("%v/tcp_ecn %d/active %v", tt.mode, tt.sysctl, tt.active), func(t *testing.T) {
			p := newECNPeer(t, phy.MediumIP, tt.mode, tt.sysctl)
			ours, kernels := p.connect(t, false, tt.active)
			defer ours.Close()
			defer kernels.Close()
			copyHashed(t, ours, kernels, 100_000)
			copyHashed(t, kernels, ours, 100_000)
			i := ours.Info()
			require.Zero(t, i.MarksReceived+i.MarksEchoed+i.MarkReductions)
			require.False(t, i.ECN)
			require.NotContains(t, strings.Fields(p.ns.Output("ss", "-Htino")), "ecn")
		})
	}
}
