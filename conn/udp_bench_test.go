package conn_test

import (
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/ipv4"

	"smolnet/conn"
	"smolnet/phy"
)

// udpWindow is how many datagrams a benchmark's sender may be ahead of its
// receiver, in steps of udpStep, so that the receiver's queue never overflows.
const (
	udpWindow = 768
	udpStep   = 32
	udpSize   = 1200
)

// benchmarkUDP has send and receive move b.N datagrams from one stack to
// another. Each is told how many it may move at most, and returns how many it did.
func benchmarkUDP(b *testing.B, send func(c *conn.UDP, to netip.AddrPort, n int) (int, error), receive func(s *conn.UDP, n int) (int, error)) {
	l := connect(b, phy.PipeConfig{})
	s := listenUDP(b, l.b, "udp", addrB)
	c := listenUDP(b, l.a, "udp", addrA)
	require.NoError(b, s.SetReadBuffer(4<<20))
	to := addrPort(s)
	// The neighbour is asked for with the first datagram.
	_, err := c.WriteToUDPAddrPort(nil, to)
	require.NoError(b, err)
	_, err = s.Read(make([]byte, 1))
	require.NoError(b, err)
	credit := make(chan struct{}, udpWindow/udpStep)
	for range cap(credit) {
		credit <- struct{}{}
	}
	b.SetBytes(udpSize)
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for left := b.N; left > 0; {
			<-credit
			for step := min(udpStep, left); step > 0; {
				n, err := send(c, to, step)
				if err != nil {
					b.Error(err)
					return
				}
				step -= n
				left -= n
			}
		}
	}()
	for got, step := 0, 0; got < b.N; {
		n, err := receive(s, min(udpStep, b.N-got))
		if err != nil {
			b.Fatal(err)
		}
		got += n
		for step += n; step >= udpStep; step -= udpStep {
			credit <- struct{}{}
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e3, "kpkt/s")
}

func BenchmarkUDP(b *testing.B) {
	out, in := make([]byte, udpSize), make([]byte, udpSize)
	b.Run("addrport", func(b *testing.B) {
		benchmarkUDP(b, func(c *conn.UDP, to netip.AddrPort, _ int) (int, error) {
			_, err := c.WriteToUDPAddrPort(out, to)
			return 1, err
		}, func(s *conn.UDP, _ int) (int, error) {
			_, _, err := s.ReadFromUDPAddrPort(in)
			return 1, err
		})
	})
	b.Run("net.Addr", func(b *testing.B) {
		var addr *net.UDPAddr
		benchmarkUDP(b, func(c *conn.UDP, to netip.AddrPort, _ int) (int, error) {
			if addr == nil || addr.Port != int(to.Port()) {
				addr = net.UDPAddrFromAddrPort(to)
			}
			_, err := c.WriteTo(out, addr)
			return 1, err
		}, func(s *conn.UDP, _ int) (int, error) {
			_, _, err := s.ReadFrom(in)
			return 1, err
		})
	})
	for _, size := range []int{8, 32} {
		b.Run("batch"+strconv.Itoa(size), func(b *testing.B) {
			ws, rs := make([]ipv4.Message, size), make([]ipv4.Message, size)
			for i := range ws {
				ws[i].Buffers = [][]byte{out}
				rs[i].Buffers = [][]byte{make([]byte, udpSize)}
			}
			benchmarkUDP(b, func(c *conn.UDP, to netip.AddrPort, n int) (int, error) {
				if ws[0].Addr == nil || ws[0].Addr.(*net.UDPAddr).Port != int(to.Port()) {
					for i := range ws {
						ws[i].Addr = net.UDPAddrFromAddrPort(to)
					}
				}
				return c.WriteBatch(ws[:min(n, size)], 0)
			}, func(s *conn.UDP, n int) (int, error) {
				return s.ReadBatch(rs[:min(n, size)], 0)
			})
		})
	}
	b.Run("segments", func(b *testing.B) {
		oob := make([]byte, 24)
		long := make([]byte, udpStep*udpSize)
		in := make([]byte, udpStep*udpSize)
		benchmarkUDP(b, func(c *conn.UDP, to netip.AddrPort, n int) (int, error) {
			if err := c.SetSegmentSize(udpSize); err != nil {
				return 0, err
			}
			_, err := c.WriteToUDPAddrPort(long[:n*udpSize], to)
			return n, err
		}, func(s *conn.UDP, n int) (int, error) {
			if err := s.SetReceiveSegments(true); err != nil {
				return 0, err
			}
			got, _, _, _, err := s.ReadMsgUDPAddrPort(in[:n*udpSize], oob)
			return got / udpSize, err
		})
	})
}
