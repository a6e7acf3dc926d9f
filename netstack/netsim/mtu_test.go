package netsim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/netsim"
	"smolnet/netstack/tcp"
)

// What segments the path takes, found out while data flows.

const (
	mtuBytes  = 16 << 20
	mtuHeader = 20 + 20 + 12 // IPv4, TCP and timestamps
)

// An mtuTest is a path of two links with a router, one way of which changes.
type mtuTest struct {
	path   netsim.Path // of the second link
	change []mtuChange
	ipv6   bool
	bytes  int64
	seed   uint64
	cfg    func(*tcp.Config)
}

// An mtuChange makes the second link another one after some time.
type mtuChange struct {
	at   time.Duration
	path netsim.Path
}

// run returns what the sender knew of itself last, and the time without progress
// that was the longest.
func (m *mtuTest) run(t *testing.T, c controller) (info tcp.Info, stall time.Duration, f *netsim.Flow) {
	cfg := patient(realTimeBuffer)
	c.use(&cfg)
	if m.cfg != nil {
		m.cfg(&cfg)
	}
	if m.bytes == 0 {
		m.bytes = mtuBytes
	}
	s := netsim.New(*first + m.seed)
	a, r, b := newHost(s, "a", cfg), s.Router(""), newHost(s, "b", cfg)
	near := netsim.Path{Delay: 10 * time.Millisecond, Rate: 100e6}
	s.MustLink(a, r, near, near)
	far, _ := s.MustLink(r, b, m.path, near)
	for _, ch := range m.change {
		s.After(ch.at, func() { require.NoError(t, far.SetPath(ch.path)) })
	}
	f = s.MustFlow(netsim.FlowConfig{From: a, To: b, IPv6: m.ipv6, Client: netsim.App{Bytes: m.bytes}})
	last, at := int64(0), time.Duration(0)
	var look func()
	look = func() {
		a.Core().Sockets(func(k core.SocketInfo) bool {
			if k.TCP.State == tcp.StateEstablished || k.TCP.State == tcp.StateFinWait1 {
				info = k.TCP
			}
			return true
		})
		if n := f.Sent().Bytes; n != last || f.Done() {
			last, at = n, s.Elapsed()
		}
		stall = max(stall, s.Elapsed()-at)
		if !f.Done() {
			s.After(time.Millisecond, look)
		}
	}
	s.After(50*time.Millisecond, look)
	require.NoError(t, s.Settle(time.Hour), "%v", f)
	require.NoError(t, f.Check())
	return info, stall, f
}

// hole returns a path of 100 Mbit/s that takes packets of up to mtu bytes, and says
// nothing of others.
func hole(mtu int) netsim.Path {
	return netsim.Path{Delay: 10 * time.Millisecond, Rate: 100e6, MTU: mtu, BlackHole: true}
}

// RFC 4821 7.7: a path that has swallowed large packets without a word from the beginning is
// found out by the first time-out, and what it takes soon after.
func TestBlackHole(t *testing.T) {
	for _, c := range controllers() {
		for _, tt := range []struct {
			mtu, least int // least that is good enough, IPv4
			timeouts   uint64
		}{{1492, 1492, 1}, {1400, 1400, 1}, {1300, 1290, 1}, {1000, 990, 3}, {576, 576, 5}} {
			m := mtuTest{path: hole(tt.mtu)}
			info, stall, f := m.run(t, c)
			what := fmt.Sprintf("%s, %d bytes", c.name, tt.mtu)
			t.Logf("%s: segments of %d, %v without progress, %.1f Mbit/s, %d time-outs, %d probes",
				what, info.SendMSS, stall, f.Sent().Goodput()*8/1e6, info.Timeouts, info.PathMTUProbes)
			require.LessOrEqual(t, info.SendMSS, tt.mtu-mtuHeader, what)
			require.GreaterOrEqual(t, info.SendMSS, tt.least-mtuHeader, what)
			require.LessOrEqual(t, info.Timeouts, tt.timeouts, what)
			// A time-out after a tail loss probe; where not even 1200 bytes get through there
			// are two more, the second one twice as long, and so on.
			require.Less(t, stall, 4*info.RTO, what)
			if tt.timeouts == 1 {
				require.Less(t, stall, 2*info.RTO, what)
			}
			require.Greater(t, f.Sent().Goodput()*8/1e6, 8.0, what)
		}
	}
}

func TestBlackHoleIPv6(t *testing.T) {
	for _, c := range controllers() {
		m := mtuTest{path: hole(1420), ipv6: true}
		info, _, _ := m.run(t, c)
		require.Equal(t, 1420-mtuHeader-20, info.SendMSS, c.name)
		require.EqualValues(t, 1, info.Timeouts, c.name)
	}
}

// Without probing the bytes trickle at best.
func TestBlackHoleWithoutProbing(t *testing.T) {
	m := mtuTest{path: hole(1400), bytes: 20_000, cfg: func(c *tcp.Config) { c.NoMTUProbing = true }}
	info, _, _ := m.run(t, controllers()[0])
	require.Zero(t, info.PathMTUProbes)
	require.Equal(t, 1500-mtuHeader, info.SendMSS)
	require.Greater(t, info.Timeouts, uint64(10))
}

// A path that becomes narrower while data flows, and wide again. RFC 8899 5.1.1: more
// is tried ten minutes later.
func TestPathChanges(t *testing.T) {
	for _, c := range controllers() {
		m := mtuTest{path: hole(1500), change: []mtuChange{{300 * time.Millisecond, hole(1400)}}}
		info, stall, _ := m.run(t, c)
		require.Equal(t, 1400-mtuHeader, info.SendMSS, c.name)
		require.LessOrEqual(t, info.Timeouts, uint64(3), c.name)
		require.Less(t, stall, 4*info.RTO, c.name)

		slow := netsim.Path{Delay: 10 * time.Millisecond, Rate: 1e5, MTU: 1280, BlackHole: true, Queue: 10}
		wide := slow
		wide.MTU = 1500
		m = mtuTest{path: slow, change: []mtuChange{{100 * time.Second, wide}}, bytes: 12e6}
		info, _, f := m.run(t, c)
		require.Equal(t, 1500-mtuHeader, info.SendMSS, c.name)
		t.Logf("%s: %v, %d probes", c.name, f.Sent().Last.Sub(f.Sent().Start), info.PathMTUProbes)
	}
}

// Routers that do speak: nothing vanishes.
func TestPathMTUByICMP(t *testing.T) {
	for _, c := range controllers() {
		path := hole(1400)
		path.BlackHole = false
		m := mtuTest{path: path}
		info, stall, _ := m.run(t, c)
		require.Equal(t, 1400-mtuHeader, info.SendMSS, c.name)
		require.Zero(t, info.Timeouts, c.name)
		require.Zero(t, info.BlackHoles, c.name)
		require.Less(t, stall, 200*time.Millisecond, c.name)
	}
}

// An outage and losses look like a black hole for a moment, and leave nothing behind.
func TestNoBlackHole(t *testing.T) {
	for _, c := range controllers() {
		for _, d := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 3 * time.Second, time.Minute} {
			path := hole(1500)
			path.Outages = []netsim.Outage{{From: 300 * time.Millisecond, To: 300*time.Millisecond + d}}
			m := mtuTest{path: path}
			info, _, _ := m.run(t, c)
			require.Equal(t, 1500-mtuHeader, info.SendMSS, "%s, %v", c.name, d)
			require.LessOrEqual(t, info.PathMTUProbes, uint64(2), "%s, %v", c.name, d)
		}
	}
}

// Where much is lost, segments are small for a short time at most: no connection
// settles for them. Those whose flow ends meanwhile had nothing more to try with.
func TestNoBlackHoleByLoss(t *testing.T) {
	const all = 20
	for _, c := range controllers() {
		for _, loss := range []float64{0.1, 0.3} {
			small, holes := 0, uint64(0)
			for i := range all {
				path := hole(1500)
				path.Loss = loss
				m := mtuTest{path: path, bytes: 1 << 20, seed: uint64(i)}
				info, _, _ := m.run(t, c)
				holes += info.BlackHoles
				if info.PathMTU < info.PathMTULimit && info.PathMTUState == tcp.MTUComplete {
					small++
				}
			}
			t.Logf("%s, loss of %v: %d of %d flows settle for small segments, %d black holes", c.name, loss, small, all, holes)
			require.LessOrEqual(t, small, all/20)
		}
	}
}
