package phy_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/dialer"
	"smolnet/internal/netns"
	"smolnet/netstack"
	"smolnet/phy"
)

// A gauge is a device that notes what passes.
type gauge struct {
	phy.Device
	rxSuper, txSuper, rxPartial, txPartial uint64
	longest                                int
}

func (g *gauge) Receive() (phy.Frame, error) {
	f, err := g.Device.Receive()
	if err == nil {
		count(&f.Offload, &g.rxSuper, &g.rxPartial)
		g.longest = max(g.longest, len(f.Data))
	}
	return f, err
}

func (g *gauge) Commit(n int, off phy.Offload) error {
	count(&off, &g.txSuper, &g.txPartial)
	return g.Device.Commit(n, off)
}

func count(off *phy.Offload, super, partial *uint64) {
	if off.GSOType != phy.GSONone {
		*super++
	}
	if off.NeedsChecksum {
		*partial++
	}
}

// kernelTCP connects a stack on a TUN interface, in a namespace of its own, to
// the kernel's TCP, and returns both ends of a connection.
func kernelTCP(t testing.TB, v6 bool, cfg phy.TunConfig) (ours, kernels net.Conn, g *gauge, d *phy.TunTap) {
	at := 0
	if v6 {
		at = 1
	}
	var l net.Listener
	netns.New(t).Do(func() {
		d = openNet(t, "a", cfg)
		var err error
		l, err = net.Listen("tcp", netip.AddrPortFrom(networks["a"].Addrs[at].Addr(), 0).String())
		require.NoError(t, err)
	})
	defer l.Close()
	g = &gauge{Device: d}
	prefixes := []netip.Prefix{netip.PrefixFrom(peers4[0], 24), netip.PrefixFrom(peers6[0], 64)}
	st, err := netstack.New(netstack.Config{Device: g, Addrs: prefixes})
	require.NoError(t, err)
	t.Cleanup(func() { st.Close() })
	ours, err = (&dialer.Dialer{Stack: st, Timeout: giveUp}).Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	kernels, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { kernels.Close() })
	return ours, kernels, g, d
}

// TestKernelTCP sends bytes both ways: in super-frames, without checksums, as
// far as the interface has them.
func TestKernelTCP(t *testing.T) {
	const total = 8 << 20
	for _, v6 := range []bool{false, true} {
		for _, noOffload := range []bool{false, true} {
			t.Run(fmt.Sprintf("IPv6=%v,NoOffload=%v", v6, noOffload), func(t *testing.T) {
				ours, kernels, g, d := kernelTCP(t, v6, phy.TunConfig{NoOffload: noOffload})
				want := pattern(total)
				send := func(c net.Conn, sent chan error) {
					_, err := c.Write(want)
					sent <- err
				}
				for _, way := range [][2]net.Conn{{ours, kernels}, {kernels, ours}} {
					sent := make(chan error, 1)
					go send(way[0], sent)
					got := make([]byte, total)
					require.NoError(t, way[1].SetReadDeadline(time.Now().Add(giveUp)))
					_, err := io.ReadFull(way[1], got)
					require.NoError(t, err)
					require.NoError(t, <-sent)
					require.Equal(t, string(want), string(got))
				}
				require.NoError(t, d.Close()) // the gauge is read at rest
				require.Zero(t, d.Stats().TxLost+d.Stats().RxBad)
				if noOffload {
					require.Zero(t, g.txSuper+g.rxSuper+g.txPartial+g.rxPartial)
					require.LessOrEqual(t, g.longest, 1500)
					return
				}
				require.NotZero(t, g.txSuper)
				require.NotZero(t, g.rxSuper)
				require.NotZero(t, g.txPartial)
				require.Greater(t, g.longest, 1500)
			})
		}
	}
}

// BenchmarkKernelTCP is bulk to and from the kernel's TCP over a TUN interface.
func BenchmarkKernelTCP(b *testing.B) {
	for _, noOffload := range []bool{false, true} {
		for _, out := range []bool{true, false} {
			b.Run(fmt.Sprintf("NoOffload=%v,out=%v", noOffload, out), func(b *testing.B) {
				ours, kernels, _, d := kernelTCP(b, false, phy.TunConfig{NoOffload: noOffload})
				from, to := ours, kernels
				if !out {
					from, to = kernels, ours
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					buf := make([]byte, 256<<10)
					for {
						if _, err := to.Read(buf); err != nil {
							return
						}
					}
				}()
				buf := make([]byte, 128<<10)
				b.SetBytes(int64(len(buf)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := from.Write(buf); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				from.Close()
				<-done
				s := d.Stats()
				b.ReportMetric(float64(s.TxFrames)/float64(b.N), "tx/op")
				b.ReportMetric(float64(s.RxFrames)/float64(b.N), "rx/op")
			})
		}
	}
}
