package env

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/internal/netns"
)

// links are one of each kind.
var links = []Link{
	{MTU: 1500, Checksums: true},
	{MTU: 9000},
	{MTU: 65535, Checksums: true},
	{MTU: 1500, SuperFrames: true},
	{Loopback: true},
}

// each runs a test on every stack and link that there is on this machine.
func each(t *testing.T, cfg Config, test func(t *testing.T, p *Pair)) {
	for _, name := range Names() {
		for _, l := range links {
			t.Run(name+"/"+l.String(), func(t *testing.T) {
				cfg.Link = l
				p, err := Make(name, cfg)
				if errors.Is(err, ErrUnavailable) {
					netns.Skip(t, "%v", err)
				}
				require.NoError(t, err)
				require.Equal(t, name, p.Name())
				require.Equal(t, l.Loopback || (name == Kernel && l.MTU == 65535), p.Client.Addr() == p.Server.Addr())
				test(t, p)
				require.NoError(t, p.Close())
				require.NoError(t, p.Close(), "again")
			})
		}
	}
}

// TestStream carries bytes both ways, by a listener that is closed in the end.
func TestStream(t *testing.T) {
	for _, buffers := range []int{0, 64 << 10} {
		each(t, Config{Buffers: buffers}, func(t *testing.T, p *Pair) {
			l, err := p.Server.Listen("tcp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
			require.NoError(t, err)
			served := make(chan error, 1)
			go func() {
				c, err := l.Accept()
				if err == nil {
					_, err = io.Copy(c, c)
					c.Close()
				}
				served <- err
			}()
			c, err := p.Client.Dial(context.Background(), "tcp4", l.Addr().String())
			require.NoError(t, err)
			want := make([]byte, 300_000)
			for i := range want {
				want[i] = byte(i * i >> 8)
			}
			go c.Write(want)
			got := make([]byte, len(want))
			_, err = io.ReadFull(c, got)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.NoError(t, c.Close())
			require.NoError(t, <-served)
			go func() {
				_, err := l.Accept()
				served <- err
			}()
			require.NoError(t, l.Close())
			require.Error(t, <-served, "Accept of a closed listener")
		})
	}
}

func TestDatagrams(t *testing.T) {
	each(t, Config{}, func(t *testing.T, p *Pair) {
		s, err := p.Server.ListenPacket("udp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
		require.NoError(t, err)
		c, err := p.Client.ListenPacket("udp4", netip.AddrPortFrom(p.Client.Addr(), 0).String())
		require.NoError(t, err)
		_, err = c.WriteTo([]byte("hello"), s.LocalAddr())
		require.NoError(t, err)
		b := make([]byte, 100)
		n, from, err := s.ReadFrom(b)
		require.NoError(t, err)
		require.Equal(t, "hello", string(b[:n]))
		require.Equal(t, c.LocalAddr().(*net.UDPAddr).AddrPort().Port(), from.(*net.UDPAddr).AddrPort().Port())
		require.NoError(t, errors.Join(c.Close(), s.Close()))
	})
}

func TestRefused(t *testing.T) {
	each(t, Config{}, func(t *testing.T, p *Pair) {
		_, err := p.Client.Dial(context.Background(), "tcp4", netip.AddrPortFrom(p.Server.Addr(), 9).String())
		require.Error(t, err)
	})
}

func TestNoSuchStack(t *testing.T) {
	_, err := Make("abc", Config{})
	require.ErrorContains(t, err, `"abc"`)
}

func TestBare(t *testing.T) {
	p := Bare(GVisor)
	require.Equal(t, GVisor, p.Name())
	require.NoError(t, p.Close())
}
