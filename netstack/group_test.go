package netstack_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack"
	"smolnet/netstack/core"
	"smolnet/phy"
)

// newGroup returns a group of n stacks on Ethernet, and the other ends of its
// queues.
func newGroup(t testing.TB, n int, cfg netstack.Config) (*netstack.Group, []phy.Device) {
	t.Helper()
	f, peers := newFanout(t, n)
	g, err := netstack.NewGroup(cfg, f)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close()) })
	return g, peers
}

func newFanout(t testing.TB, n int) (*phy.Fanout, []phy.Device) {
	t.Helper()
	queues, peers := make([]phy.Device, n), make([]phy.Device, n)
	var err error
	for i := range n {
		queues[i], peers[i], err = phy.Pipe(phy.PipeConfig{})
		require.NoError(t, err)
	}
	f, err := phy.NewFanout(queues, phy.FanoutConfig{})
	require.NoError(t, err)
	return f, peers
}

func TestNewGroupRefuses(t *testing.T) {
	f, _ := newFanout(t, 2)
	dev := f.Devices()[0]
	for _, c := range []struct {
		cfg  netstack.Config
		f    *phy.Fanout
		want string
	}{
		{netstack.Config{}, nil, "Fanout is required"},
		{netstack.Config{Device: dev}, f, "has a Device"},
		{netstack.Config{HopLimit: 300}, f, "HopLimit"},
		{netstack.Config{HardwareAddr: net.HardwareAddr{1}}, f, "HardwareAddr"},
		{netstack.Config{Rand: bytes.NewReader(make([]byte, 40))}, f, "Rand"},
	} {
		_, err := netstack.NewGroup(c.cfg, c.f)
		require.ErrorContains(t, err, c.want)
	}
	require.NoError(t, dev.Flush(), "no device was closed")
}

// TestGroupIsOneHost: the stacks have the same addresses, and change them
// together.
func TestGroupIsOneHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("fd00::1/64")
		g, peers := newGroup(t, 3, netstack.Config{Addrs: []netip.Prefix{a}})
		require.Len(t, g.Stacks(), 3)
		require.NoError(t, g.AddAddr(b))
		route := netstack.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.254")}
		require.NoError(t, g.AddRoute(route))
		for _, st := range g.Stacks() {
			require.Equal(t, g.Addrs(), st.Addrs(), "the link-local one, too: it comes from the hardware address")
			require.Equal(t, g.Routes(), st.Routes())
		}
		require.Contains(t, g.Addrs(), a)
		require.Contains(t, g.Addrs(), b)
		require.Error(t, g.AddAddr(netip.MustParsePrefix("224.0.0.1/24")))
		require.NoError(t, g.RemoveAddr(b.Addr()))
		require.NoError(t, g.RemoveRoute(route.Prefix))
		require.NoError(t, g.SetRoutes([]netstack.Route{route}))
		for _, st := range g.Stacks() {
			require.NotContains(t, st.Addrs(), b)
			require.Equal(t, g.Routes(), st.Routes())
		}
		require.Equal(t, a.Addr(), g.SourceFor(netip.MustParseAddr("198.51.100.1")))
		require.False(t, g.SourceFor(netip.MustParseAddr("2001:db8::1")).IsValid())

		to := netip.MustParseAddrPort("198.51.100.1:80")
		local := netip.AddrPortFrom(a.Addr(), 4000)
		require.Same(t, g.Stacks()[g.OwnerIndex(local, to)], g.Owner(netip.AddrPortFrom(netip.Addr{}, 4000), to))
		any := map[*netstack.Stack]bool{}
		for range 200 {
			any[g.Any()] = true
		}
		require.Len(t, any, 3)
		synctest.Wait()
		senders := map[string]int{} // each queue carries what its stack announces
		for _, p := range peers {
			f, err := p.Receive()
			require.NoError(t, err)
			senders[string(f.Data[6:12])]++
		}
		require.Len(t, senders, 1, "one hardware address")
	})
}

// TestGroupStats: the sum has every number of the parts in it.
func TestGroupStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newGroup(t, 3, netstack.Config{Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
		synctest.Wait()
		want := core.Stats{}
		for _, st := range g.Stacks() {
			s := st.Stats()
			want.FramesOut += s.FramesOut
			want.ARPOut += s.ARPOut
			want.BytesOut += s.BytesOut
		}
		require.NotZero(t, want.ARPOut)
		sum := g.Stats()
		require.Equal(t, want.FramesOut, sum.FramesOut)
		require.Equal(t, want.ARPOut, sum.ARPOut)
		require.Equal(t, want.BytesOut, sum.BytesOut)
	})
	// The kinds of numbers that addNumbers knows are all there are.
	var known func(typ reflect.Type)
	known = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				known(typ.Field(i).Type)
			}
		case reflect.Array:
			known(typ.Elem())
		case reflect.Int, reflect.Int64, reflect.Uint64:
		default:
			t.Errorf("Group.Stats does not add up numbers of type %v", typ)
		}
	}
	known(reflect.TypeFor[core.Stats]())
}

// TestGroupClose: from anywhere, more than once, on all loops at a time.
func TestGroupClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, peers := newGroup(t, 3, netstack.Config{})
		require.NoError(t, g.Err())
		for _, st := range g.Stacks() {
			go func() { _ = st.Do(func(*core.Core) { g.Close() }) }()
		}
		<-g.Done()
		<-g.Closing()
		require.ErrorIs(t, g.Err(), net.ErrClosed)
		require.NoError(t, g.Close())
		require.ErrorIs(t, g.Shutdown(t.Context()), net.ErrClosed)
		require.ErrorIs(t, g.AddAddr(netip.MustParsePrefix("192.0.2.1/24")), net.ErrClosed)
		for _, p := range peers {
			for err := error(nil); !errors.Is(err, phy.ErrClosed); _, err = p.Receive() {
				require.NoError(t, err)
			}
		}
		called := false
		g.OnShutdown(func() { called = true })()
		require.False(t, called)
	})
}

// TestGroupEndsTogether: a stack whose device has failed takes the others with
// it.
func TestGroupEndsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, peers := newGroup(t, 3, netstack.Config{})
		require.NoError(t, peers[1].Close())
		<-g.Done()
		require.ErrorIs(t, g.Err(), phy.ErrClosed)
		for _, st := range g.Stacks() {
			<-st.Done()
		}
	})
}

func TestGroupShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newGroup(t, 3, netstack.Config{})
		calls := 0
		g.OnShutdown(func() { calls++ })
		g.OnShutdown(func() { calls++ })() // and taken back
		g.Stacks()[2].OnShutdown(func() { calls += 10 })
		require.ErrorIs(t, onLoop(t, g.Stacks()[0], func() error { return g.Shutdown(context.Background()) }), netstack.ErrOnLoop)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, g.Shutdown(ctx))
		require.Equal(t, 11, calls)
		<-g.Done()
	})
}

// onLoop calls fn in a command.
func onLoop(t *testing.T, st *netstack.Stack, fn func() error) (err error) {
	require.NoError(t, st.Do(func(*core.Core) { err = fn() }))
	return err
}
