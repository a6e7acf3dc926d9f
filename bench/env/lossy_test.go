package env

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/bench/link"
	"smolnet/conn"
	"smolnet/internal/netns"
)

// stalled is how long a transfer of some megabytes may take.
const stalled = time.Minute

// echoes sends to the pair's server, which sends it back.
func echoes(t *testing.T, p *Pair, size int) {
	require.NoError(t, echo(t, p, size))
}

// echo is echoes, and returns an error if the transfer stalls.
func echo(t *testing.T, p *Pair, size int) error {
	l, err := p.Server.Listen("tcp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.SetDeadline(time.Now().Add(stalled))
			_, err = io.Copy(c, c)
			c.Close()
		}
		served <- err
	}()
	c, err := p.Client.Dial(context.Background(), "tcp4", l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, c.SetDeadline(time.Now().Add(stalled)))
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i * i >> 8)
	}
	go c.Write(want)
	got := make([]byte, len(want))
	if _, err = io.ReadFull(c, got); err == nil {
		require.Equal(t, want, got)
	}
	c.Close()
	err = errors.Join(err, <-served)
	require.NoError(t, l.Close())
	return err
}

func TestLossy(t *testing.T) {
	for _, name := range LossyNames() {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, Names(), Base(name))
			cfg := link.Config{Delay: 2 * time.Millisecond, Rate: 100e6}
			there := cfg
			there.Loss, there.Seed = 0.02, 1
			p, err := MakeLossy(name, Config{}, there, cfg)
			if errors.Is(err, ErrUnavailable) {
				netns.Skip(t, "%v", err)
			}
			require.NoError(t, err)
			require.Equal(t, Base(name), p.Name())
			echoes(t, p.Pair, 200_000)
			require.NoError(t, p.Close())
			require.NoError(t, p.Close(), "again")
			lost, kept := p.Link.Stats()
			require.Positive(t, lost.Lost)
			require.Zero(t, lost.TooLong+lost.Overflow+kept.TooLong+kept.Overflow+kept.Lost)
			require.Greater(t, kept.Delivered, uint64(100))
		})
	}
}

// TestLossyBetween has a stack at one end and another one at the other.
func TestLossyBetween(t *testing.T) {
	for _, names := range [][2]string{{Smolnet, Kernel}, {KernelBBR, SmolnetBBR}, {GVisor, Smolnet}} {
		t.Run(names[0]+" "+names[1], func(t *testing.T) {
			cfg := link.Config{Delay: 2 * time.Millisecond, Rate: 100e6}
			p, err := MakeLossyBetween(names[0], names[1], Config{}, cfg, cfg)
			if errors.Is(err, ErrUnavailable) {
				netns.Skip(t, "%v", err)
			}
			require.NoError(t, err)
			require.Equal(t, Base(names[0]), p.Client.Name())
			require.Equal(t, Base(names[1]), p.Server.Name())
			echoes(t, p.Pair, 200_000)
			require.NoError(t, p.Close())
			require.Zero(t, p.Lost())
		})
	}
}

// TestLossyControl: a variant has the congestion control that its name says.
func TestLossyControl(t *testing.T) {
	for name, want := range map[string]string{Smolnet: "cubic", SmolnetBBR: "bbr"} {
		p, err := MakeLossy(name, Config{}, link.Config{}, link.Config{})
		require.NoError(t, err)
		l, err := p.Server.Listen("tcp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
		require.NoError(t, err)
		c, err := p.Client.Dial(context.Background(), "tcp4", l.Addr().String())
		require.NoError(t, err)
		require.Equal(t, want, c.(*conn.TCP).Info().CongestionControl)
		require.NoError(t, p.Close())
	}
}

func TestVariant(t *testing.T) {
	require.Equal(t, KernelBBR, Variant(Kernel, SmolnetBBR))
	require.Equal(t, Smolnet, Variant(Smolnet, Kernel))
}

func TestLossyErrors(t *testing.T) {
	_, err := MakeLossy("abc", Config{}, link.Config{}, link.Config{})
	require.ErrorContains(t, err, `"abc"`)
	_, err = MakeLossy(Smolnet, Config{}, link.Config{Loss: 2}, link.Config{})
	require.ErrorContains(t, err, "loss 2")
	_, err = MakeLossyBetween(Smolnet, "gvisor-bbr", Config{}, link.Config{}, link.Config{})
	require.ErrorContains(t, err, `"gvisor-bbr"`)
}

// TestTUN carries more than the queue of the interface holds, out and in, and
// ends while the kernel still sends.
func TestTUN(t *testing.T) {
	for _, name := range TUNNames() {
		for _, tun := range []TUN{{}, {Inward: true}, {Offload: true}, {Offload: true, Inward: true}} {
			side := " out"
			if tun.Inward {
				side = " in"
			}
			t.Run(name+"/"+tun.String()+side, func(t *testing.T) {
				p, err := MakeTUN(name, Config{}, tun)
				if errors.Is(err, ErrUnavailable) {
					netns.Skip(t, "%v", err)
				}
				require.NoError(t, err)
				require.Equal(t, tun.Inward, p.Client.Name() == Kernel)
				require.Equal(t, tun.Inward, p.Server.Name() == name)
				err = echo(t, p, 5_000_000)
				if err != nil && name == GVisor {
					// It stops for good now and then on a busy machine; that is no fault of
					// what is tested here. Nobody else gets a second try.
					t.Logf("%s stalled, once more: %v", name, err)
					require.NoError(t, p.Close())
					p, err = MakeTUN(name, Config{}, tun)
					require.NoError(t, err)
					err = echo(t, p, 5_000_000)
				}
				require.NoError(t, err)
				flood(t, p)
				require.NoError(t, p.Close())
				require.NoError(t, p.Close(), "again")
			})
		}
	}
}

// flood has the client send, without an end.
func flood(t *testing.T, p *Pair) {
	l, err := p.Server.Listen("tcp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
	require.NoError(t, err)
	c, err := p.Client.Dial(context.Background(), "tcp4", l.Addr().String())
	require.NoError(t, err)
	s, err := l.Accept()
	require.NoError(t, err)
	go func() {
		for {
			if _, err := c.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}()
	_, err = io.CopyN(io.Discard, s, 1_000_000)
	require.NoError(t, err)
	go io.Copy(io.Discard, s)
	t.Cleanup(func() {
		c.Close()
		s.Close()
		l.Close()
	})
}

func TestTUNErrors(t *testing.T) {
	_, err := MakeTUN("abc", Config{}, TUN{})
	if errors.Is(err, ErrUnavailable) {
		netns.Skip(t, "%v", err)
	}
	require.ErrorContains(t, err, `"abc"`)
}
