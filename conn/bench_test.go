package conn_test

import (
	"io"
	"net"
	"runtime"
	"testing"

	"smolnet/conn"
	"smolnet/netstack"
	"smolnet/phy"
)

func BenchmarkReadReady(b *testing.B) {
	const size = 1 << 10
	chunk := make([]byte, 1024*size)
	c, s, _ := established(b, func(cfg *netstack.Config) { cfg.TCP.RecvBuffer = 2 * len(chunk) })
	buf := make([]byte, size)
	b.SetBytes(size)
	b.ReportAllocs()
	left := 0
	for b.Loop() {
		if left == 0 {
			b.StopTimer()
			if _, err := c.Write(chunk); err != nil {
				b.Fatal(err)
			}
			for s.Info().RecvQueue < len(chunk) {
				runtime.Gosched()
			}
			left = len(chunk) / size
			b.StartTimer()
		}
		if _, err := s.Read(buf); err != nil {
			b.Fatal(err)
		}
		left--
	}
}

func BenchmarkPingPong(b *testing.B) {
	for _, local := range []bool{false, true} {
		name := "pipe"
		if local {
			name = "loopback"
		}
		b.Run(name, func(b *testing.B) {
			l := connect(b, phy.PipeConfig{})
			if local {
				l.a = l.b
			}
			c, s := dialled(b, l.a, l.b, addrB)
			go io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{s})
			buf := make([]byte, 1)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(buf); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Read(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBulk(b *testing.B) {
	for _, link := range []struct {
		name  string
		cfg   phy.PipeConfig
		local bool
	}{
		{"mtu1500", phy.PipeConfig{}, false},
		{"mtu1500-ip-nochecksum", phy.PipeConfig{Medium: phy.MediumIP, TxChecksum: true, RxChecksum: true}, false},
		{"mtu1500-superframes", phy.PipeConfig{TxChecksum: true, RxChecksum: true, MaxSuperFrame: 65535}, false},
		{"mtu65535", phy.PipeConfig{MTU: 65535}, false},
		{"loopback", phy.PipeConfig{}, true},
	} {
		b.Run(link.name, func(b *testing.B) {
			l := connect(b, link.cfg)
			if link.local {
				l.a = l.b
			}
			c, s := dialled(b, l.a, l.b, addrB)
			const size = 128 << 10
			b.SetBytes(size)
			b.ReportAllocs()
			got := make(chan int64)
			go func() { got <- drain(s) }()
			buf := make([]byte, size)
			for b.Loop() {
				if _, err := c.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			c.CloseWrite()
			<-got
		})
	}
}

// drain reads to the end.
func drain(c *conn.TCP) (n int64) {
	buf := make([]byte, 128<<10)
	for {
		m, err := c.Read(buf)
		n += int64(m)
		if err != nil {
			return n
		}
	}
}

func BenchmarkConnect(b *testing.B) {
	// Without TIME-WAIT, or the ports would be used up.
	l := connect(b, phy.PipeConfig{}, func(cfg *netstack.Config) { cfg.TCP.TimeWait = -1 })
	b.ReportAllocs()
	ln := listenTCP(b, l.b)
	go func() {
		for {
			s, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			go func() {
				io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{s})
				s.Close()
			}()
		}
	}()
	buf := make([]byte, 1)
	for b.Loop() {
		c := dial(b, l.a, ln.Addr().(*net.TCPAddr).AddrPort())
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
