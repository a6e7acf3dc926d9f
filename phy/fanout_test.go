package phy_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/phy"
	"smolnet/phy/phytest"
)

// fanKey is the key of fanouts that must agree with one another, or with a
// table.
var fanKey = [16]byte{1, 2, 3}

// fanout returns n joined queues, and the other ends of the pipes below them.
func fanout(t testing.TB, n int, cfg phy.PipeConfig, key [16]byte) (f *phy.Fanout, peers []phy.Device) {
	t.Helper()
	queues := make([]phy.Device, n)
	peers = make([]phy.Device, n)
	for i := range n {
		queues[i], peers[i] = pipe(t, cfg)
	}
	f, err := phy.NewFanout(queues, phy.FanoutConfig{Key: key})
	require.NoError(t, err)
	return f, peers
}

// suiteOwner returns which device of f the frames of package phytest are for.
func suiteOwner(f *phy.Fanout) int {
	return f.Owner(netip.MustParseAddrPort("192.0.2.1:0"), netip.MustParseAddrPort("192.0.2.2:0"))
}

// TestFanoutDevice: each device of a Fanout is one.
func TestFanoutDevice(t *testing.T) {
	for _, n := range []int{1, 2, 4} {
		for below, cfg := range map[string]phy.PipeConfig{
			"ethernet": {Queue: 8},
			"offloads": {Medium: phy.MediumIP, TxChecksum: true, RxChecksum: true, MaxSuperFrame: 20000},
		} {
			suite := phytest.Suite{
				Frames: often(4000),
				Open: func(t *testing.T) (a, b phy.Device) {
					f, peers := fanout(t, n, cfg, fanKey)
					i := suiteOwner(f)
					return f.Devices()[i], peers[i]
				},
			}
			t.Run(fmt.Sprintf("%d/%s", n, below), suite.Run)
			suite.Virtual = true
			t.Run(fmt.Sprintf("%d/%s in virtual time", n, below), suite.Run)
		}
	}
	t.Run("facing each other", phytest.Suite{
		Frames: often(4000),
		Open: func(t *testing.T) (a, b phy.Device) {
			f, peers := fanout(t, 3, phy.PipeConfig{Medium: phy.MediumIP}, fanKey)
			g, err := phy.NewFanout(peers, phy.FanoutConfig{Key: fanKey})
			require.NoError(t, err)
			i := suiteOwner(f)
			require.Equal(t, i, suiteOwner(g))
			return f.Devices()[i], g.Devices()[i]
		},
	}.Run)
}

// A crossed device sends by one queue and receives by another.
type crossed struct {
	phy.Device // receives
	tx         phy.Device
}

func (c crossed) TxBuffer() ([]byte, error)           { return c.tx.TxBuffer() }
func (c crossed) Commit(n int, off phy.Offload) error { return c.tx.Commit(n, off) }
func (c crossed) Flush() error                        { return c.tx.Flush() }
func (c crossed) Close() error                        { return errors.Join(c.tx.Close(), c.Device.Close()) }
func (c crossed) Capabilities() phy.Capabilities      { return c.Device.Capabilities() }
func (c crossed) Wait(d time.Duration) error {
	if err := c.tx.Wait(0); err != nil {
		return err
	}
	return c.Device.Wait(d)
}

// TestFanoutHandover: a device is one also if all that it receives arrives at
// another queue, whose owner hands it over.
func TestFanoutHandover(t *testing.T) {
	suite := phytest.Suite{
		Frames: often(8000),
		Window: 100, // what is too much for an inbox is lost
		Open: func(t *testing.T) (a, b phy.Device) {
			f, peers := fanout(t, 2, phy.PipeConfig{Medium: phy.MediumIP, TxChecksum: true, MaxSuperFrame: 20000}, fanKey)
			i := suiteOwner(f)
			go drive(f.Devices()[1-i])
			return f.Devices()[i], crossed{Device: peers[i], tx: peers[1-i]}
		},
	}
	t.Run("time", suite.Run)
	suite.Virtual = true
	t.Run("virtual time", suite.Run)
}

// drive is the loop of a stack that has nothing to say and expects nothing.
func drive(d phy.Device) {
	for {
		for {
			if _, err := d.Receive(); errors.Is(err, phy.ErrClosed) {
				return
			} else if err != nil {
				break
			}
		}
		if d.Wait(-1) != nil {
			return
		}
	}
}

func TestNewFanoutRefuses(t *testing.T) {
	a, _ := pipe(t, phy.PipeConfig{})
	b, _ := pipe(t, phy.PipeConfig{MTU: 1400})
	for _, c := range []struct {
		queues []phy.Device
		want   string
	}{
		{nil, "between 1 and 256"},
		{make([]phy.Device, phy.MaxFanout+1), "between 1 and 256"},
		{[]phy.Device{a, nil}, "nil"},
		{[]phy.Device{a, b}, "queue 1"},
	} {
		_, err := phy.NewFanout(c.queues, phy.FanoutConfig{})
		require.ErrorContains(t, err, c.want)
	}
}

// TestFanoutOwner: both directions have the same owner, each device has its
// share, and who does not know the key knows nothing.
func TestFanoutOwner(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	const flows, n = 20000, 5
	f, _ := fanout(t, n, phy.PipeConfig{}, fanKey)
	g, _ := fanout(t, n, phy.PipeConfig{}, [16]byte{9})
	same, share := 0, [2][n]int{}
	for i := range flows {
		a := netip.AddrFrom4([4]byte{10, 0, 0, 1})
		b := netip.AddrFrom4([4]byte{10, 0, byte(r.Uint32() % 4), byte(r.Uint32())})
		if i%2 == 1 {
			a, b = netip.MustParseAddr("fd00::1%eth0"), netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(r.Uint32())})
		}
		x, y := netip.AddrPortFrom(a, 443), netip.AddrPortFrom(b, uint16(r.Uint32()))
		owner := f.Owner(x, y)
		require.Equal(t, owner, f.Owner(y, x))
		require.Equal(t, owner, f.Owner(netip.AddrPortFrom(a.WithZone(""), 443), y), "zones are not in packets")
		if i%2 == 0 {
			require.Equal(t, owner, f.Owner(netip.AddrPortFrom(netip.AddrFrom16(a.As16()), 443), y))
		}
		if owner == g.Owner(x, y) {
			same++
		}
		share[i%2][owner]++
	}
	for _, family := range share {
		for _, got := range family {
			require.InDelta(t, flows/2/n, got, 250) // 6 standard deviations
		}
	}
	require.InDelta(t, flows/n, same, 400)
	random := map[int]bool{}
	for range 64 {
		f, _ := fanout(t, n, phy.PipeConfig{}, [16]byte{})
		random[suiteOwner(f)] = true
	}
	require.Greater(t, len(random), 1, "without a Key there is a random one")
}

// TestFanoutClosedQueue: what is for a device that was closed is lost, and
// counted; the others go on.
func TestFanoutClosedQueue(t *testing.T) {
	f, peers := fanout(t, 2, phy.PipeConfig{Medium: phy.MediumIP}, fanKey)
	devs := f.Devices()
	flows := flowsOf(f, 2)
	send(t, peers[0], flows[1])
	_, err := devs[0].Receive()
	require.ErrorIs(t, err, phy.ErrWouldBlock)
	require.Equal(t, phy.FanoutStats{HandedOver: 1}, f.Stats())

	require.NoError(t, devs[1].Close())
	_, err = devs[1].Receive()
	require.ErrorIs(t, err, phy.ErrClosed, "also if something was handed over before")
	send(t, peers[0], flows[1])
	send(t, peers[0], flows[0])
	fr, err := devs[0].Receive()
	require.NoError(t, err)
	require.Equal(t, flows[0], fr.Data)
	require.Equal(t, phy.FanoutStats{HandedOver: 1, Dropped: 1}, f.Stats())
}

// TestFanoutBounds: an inbox that nobody empties takes what it can hold, and
// those who fill it are not held up.
func TestFanoutBounds(t *testing.T) {
	f, peers := fanout(t, 2, phy.PipeConfig{Medium: phy.MediumIP, Queue: 128}, fanKey)
	devs, flows := f.Devices(), flowsOf(f, 2)
	const sent = 6000
	for range sent {
		send(t, peers[0], flows[1])
		_, err := devs[0].Receive()
		require.ErrorIs(t, err, phy.ErrWouldBlock)
	}
	require.Equal(t, phy.FanoutStats{HandedOver: 4096, Dropped: sent - 4096}, f.Stats())
	for range 4096 {
		fr, err := devs[1].Receive()
		require.NoError(t, err)
		require.Equal(t, flows[1], fr.Data)
	}
	_, err := devs[1].Receive()
	require.ErrorIs(t, err, phy.ErrWouldBlock)
}

// TestFanoutNoStarvation: neither a full inbox nor a flood for others keeps a
// device from its own queue for long.
func TestFanoutNoStarvation(t *testing.T) {
	f, peers := fanout(t, 2, phy.PipeConfig{Medium: phy.MediumIP, Queue: 1024}, fanKey)
	devs, flows := f.Devices(), flowsOf(f, 2)
	for range 500 {
		send(t, peers[0], flows[1])
	}
	for range 500/64 + 1 {
		_, err := devs[0].Receive()
		require.ErrorIs(t, err, phy.ErrWouldBlock)
		require.NoError(t, devs[0].Wait(0))
	}
	require.EqualValues(t, 500, f.Stats().HandedOver)
	own := append([]byte(nil), flows[1]...)
	own[20+8] = 1 // the first octet of its data
	send(t, peers[1], own)
	before := 0
	for ; ; before++ {
		fr, err := devs[1].Receive()
		require.NoError(t, err)
		if fr.Data[20+8] == 1 {
			break
		}
	}
	require.Equal(t, 64, before)
}

// TestFanoutOrder: flows for all devices arrive at every queue: nothing is lost,
// doubled or out of order. The frames are so few that an inbox could hold all
// that is for it.
func TestFanoutOrder(t *testing.T) {
	const n, each = 4, 1300
	f, peers := fanout(t, n, phy.PipeConfig{Medium: phy.MediumIP}, fanKey)
	flows := flowsOf(f, n)
	results := make(chan error, n)
	for i, d := range f.Devices() {
		go func() { results <- expect(d, i, n, each) }()
	}
	for i, d := range peers {
		go func() { results <- storm(d, flows, byte(i), each) }()
	}
	for range 2 * n {
		require.NoError(t, <-results)
	}
	require.Zero(t, f.Stats().Dropped)
}

// storm sends each frames of every flow by d, with who and a number in them.
func storm(d phy.Device, flows [][]byte, who byte, each int) error {
	for i := 0; i < each; i++ {
		for _, flow := range flows {
			b, err := d.TxBuffer()
			for ; errors.Is(err, phy.ErrWouldBlock); b, err = d.TxBuffer() {
				if err := d.Wait(-1); err != nil {
					return err
				}
			}
			if err != nil {
				return err
			}
			n := copy(b, flow)
			b[28], b[29], b[30] = who, byte(i>>8), byte(i)
			if err := d.Commit(n, phy.Offload{}); err != nil {
				return err
			}
		}
	}
	return d.Flush()
}

// expect receives what n storms send to device number own, and looks after the
// rest of its queue until all has come.
func expect(d phy.Device, own, n, each int) error {
	next := make([]int, n)
	for left := n * each; left > 0; {
		fr, err := d.Receive()
		if errors.Is(err, phy.ErrWouldBlock) {
			if err := d.Wait(-1); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		who, i := fr.Data[28], int(fr.Data[29])<<8|int(fr.Data[30])
		if int(fr.Data[31]) != own || next[who] != i {
			return fmt.Errorf("device %d: from queue %d came %d of flow %d, want %d", own, who, i, fr.Data[31], next[who])
		}
		next[who]++
		left--
	}
	// The others may still need what arrives here.
	go drive(d)
	return nil
}

// TestFanoutBelowMiddleware: queues may be wrapped.
func TestFanoutBelowMiddleware(t *testing.T) {
	x, y := pipe(t, phy.PipeConfig{})
	u, _ := pipe(t, phy.PipeConfig{})
	f, err := phy.NewFanout([]phy.Device{
		phy.NewPcap(x, io.Discard, phy.PcapConfig{}), phy.NewPcap(u, io.Discard, phy.PcapConfig{}),
	}, phy.FanoutConfig{})
	require.NoError(t, err)
	require.Len(t, f.Devices(), 2)
	frame := make([]byte, 60)
	frame[12] = 0x88 // no protocol that a stack knows
	send(t, y, frame)
	fr, err := f.Devices()[0].Receive()
	require.NoError(t, err)
	require.Equal(t, frame, fr.Data)
}
