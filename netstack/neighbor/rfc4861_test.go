package neighbor

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/packet"
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

const t0 clock.Time = 1_000_000_000

var (
	peer = netip.MustParseAddr("fe80::1")
	hwA  = wire.HardwareAddr{2, 0, 0, 0, 0, 0xa}
	hwB  = wire.HardwareAddr{2, 0, 0, 0, 0, 0xb}
	none wire.HardwareAddr
)

// absent stands for "no entry" in tables of states.
const absent = numStates

type cache struct {
	*Cache[int]
	t      *testing.T
	now    clock.Time
	budget *stream.Pool
}

func newCache(t *testing.T, cfg Config) *cache {
	budget := stream.NewPool(0)
	cfg.Packets = packet.NewPool(budget)
	return &cache{Cache: New[int](cfg), t: t, now: t0, budget: budget}
}

func (c *cache) state(a netip.Addr) State {
	if e := c.entries[a]; e != nil {
		return e.state
	}
	return absent
}

// in brings the entry of peer, with link address hwA, to state s.
func (c *cache) in(s State) *cache {
	switch s {
	case absent:
	case Permanent:
		require.True(c.t, c.Add(c.now, peer, hwA))
	case Incomplete, Invalid:
		c.Lookup(c.now, peer)
		if s == Invalid {
			c.sleep(MaxMulticastSolicit * RetransTimer)
		}
	case Reachable:
		c.Lookup(c.now, peer)
		c.Learn(c.now, peer, hwA, Solicited|Override)
	default: // Stale, Delay, Probe
		c.Learn(c.now, peer, hwA, Override|Create)
		if s != Stale {
			c.Lookup(c.now, peer)
		}
		if s == Probe {
			c.sleep(DelayFirstProbe)
		}
	}
	require.Equal(c.t, s, c.state(peer))
	for _, ok := c.Drain(); ok; _, ok = c.Drain() {
	}
	return c
}

// sleep lets d pass, running timers at their instants, and returns the
// solicitations.
func (c *cache) sleep(d time.Duration) (sent []Solicitation) {
	end := c.now.Add(d)
	for {
		for s, ok := c.Next(c.now); ok; s, ok = c.Next(c.now) {
			sent = append(sent, s)
		}
		next := c.Deadline()
		if !next.IsSet() || next > end {
			c.now = end
			return sent
		}
		require.Greater(c.t, next, c.now, "nothing that is due is left")
		c.now = next
	}
}

// RFC 4861 7.2.5 and 7.2.3, appendix C: what a packet does in each state.
func TestLearn(t *testing.T) {
	const (
		na  = NotRouter                    // advertisement, no flags
		naO = Override | NotRouter         // unsolicited announcement
		naS = Solicited | NotRouter        // answer, cache must not be overridden
		nSO = Solicited | Override         // answer; ARP reply
		ns  = Override | Create            // solicitation to us; ARP request for us
		rtr = Override | Create | IsRouter // router advertisement
	)
	tests := []struct {
		from  State
		hw    wire.HardwareAddr
		flags Flags
		want  State
		hwant wire.HardwareAddr
	}{
		{absent, hwB, na, absent, none},
		{absent, hwB, naO, absent, none},
		{absent, hwB, nSO, absent, none},
		{absent, none, ns, absent, none},
		{absent, hwB, ns, Stale, hwB},
		{absent, hwB, rtr, Stale, hwB},

		{Incomplete, none, nSO, Incomplete, none},
		{Incomplete, hwB, na, Stale, hwB},
		{Incomplete, hwB, naO, Stale, hwB},
		{Incomplete, hwB, naS, Reachable, hwB},
		{Incomplete, hwB, nSO, Reachable, hwB},
		{Incomplete, hwB, ns, Stale, hwB},
		{Incomplete, none, ns, Incomplete, none},

		{Invalid, none, nSO, Invalid, none},
		{Invalid, hwB, naO, Stale, hwB},
		{Invalid, hwB, nSO, Reachable, hwB},
		{Invalid, hwB, ns, Stale, hwB},

		// Rule I: not overridden.
		{Reachable, hwB, na, Stale, hwA},
		{Reachable, hwB, naS, Stale, hwA},
		{Stale, hwB, na, Stale, hwA},
		{Stale, hwB, naS, Stale, hwA},
		{Delay, hwB, naS, Delay, hwA},
		{Probe, hwB, na, Probe, hwA},
		{Probe, hwB, naS, Probe, hwA},

		// Rule II: the same address, or none.
		{Reachable, hwA, na, Reachable, hwA},
		{Reachable, hwA, naO, Reachable, hwA},
		{Reachable, none, naS, Reachable, hwA},
		{Reachable, hwA, ns, Reachable, hwA},
		{Stale, hwA, na, Stale, hwA},
		{Stale, hwA, naS, Reachable, hwA},
		{Stale, none, naS, Reachable, hwA},
		{Stale, hwA, ns, Stale, hwA},
		{Delay, hwA, naO, Delay, hwA},
		{Delay, hwA, nSO, Reachable, hwA},
		{Delay, none, naS, Reachable, hwA},
		{Probe, hwA, na, Probe, hwA},
		{Probe, none, na, Probe, hwA},
		{Probe, none, naS, Reachable, hwA},
		{Probe, hwA, nSO, Reachable, hwA},
		{Probe, hwA, ns, Probe, hwA},

		// Rule II: overridden.
		{Reachable, hwB, naO, Stale, hwB},
		{Reachable, hwB, nSO, Reachable, hwB},
		{Reachable, hwB, ns, Stale, hwB},
		{Stale, hwB, naO, Stale, hwB},
		{Stale, hwB, nSO, Reachable, hwB},
		{Stale, hwB, ns, Stale, hwB},
		{Delay, hwB, naO, Stale, hwB},
		{Delay, hwB, nSO, Reachable, hwB},
		{Delay, hwB, rtr, Stale, hwB},
		{Probe, hwB, naO, Stale, hwB},
		{Probe, hwB, nSO, Reachable, hwB},
		{Probe, hwB, ns, Stale, hwB},

		{Permanent, hwB, naO, Permanent, hwA},
		{Permanent, hwB, nSO, Permanent, hwA},
		{Permanent, hwB, ns, Permanent, hwA},
	}
	for _, tt := range tests {
		c := newCache(t, Config{}).in(tt.from)
		c.Learn(c.now, peer, tt.hw, tt.flags)
		require.Equal(t, tt.want, c.state(peer), "%v %v %05b", tt.from, tt.hw, tt.flags)
		if e := c.entries[peer]; e != nil {
			require.Equal(t, tt.hwant, e.hw, "%v %v %05b", tt.from, tt.hw, tt.flags)
		}
	}
}

func TestGroupAddressIsNotBelieved(t *testing.T) {
	for _, s := range []State{absent, Incomplete, Reachable, Stale} {
		c := newCache(t, Config{}).in(s)
		for _, hw := range []wire.HardwareAddr{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0x5e, 0, 0, 1}} {
			c.Learn(c.now, peer, hw, Solicited|Override|Create)
			require.Equal(t, s, c.state(peer))
			require.False(t, c.Add(c.now, peer, hw))
		}
	}
}

// RFC 4861 7.2.5: the IsRouter flag follows the R bit, and its loss is told.
func TestRouterFlag(t *testing.T) {
	c := newCache(t, Config{}).in(Reachable)
	router := func() bool { return c.entries[peer].router }
	require.False(t, c.Learn(c.now, peer, hwA, Override|IsRouter))
	require.True(t, router())
	require.False(t, c.Learn(c.now, peer, hwA, Override), "a solicitation does not say")
	require.True(t, router())
	require.False(t, c.Learn(c.now, peer, hwB, NotRouter), "rule I: not updated in any other way")
	require.True(t, router())
	require.True(t, c.Learn(c.now, peer, hwA, NotRouter))
	require.False(t, router())
	require.False(t, c.Learn(c.now, peer, hwA, NotRouter))
}

// RFC 4861 7.2.2, 10: three solicitations, a second apart, then failure.
func TestResolutionFails(t *testing.T) {
	c := newCache(t, Config{})
	_, res := c.Lookup(c.now, peer)
	require.Equal(t, Wait, res)
	require.Equal(t, c.now, c.Deadline(), "the first is due at once")
	want := []Solicitation{{Addr: peer}}
	require.Equal(t, want, c.sleep(0))
	require.True(t, c.Wait(peer, 7))
	require.Empty(t, c.sleep(RetransTimer-1))
	require.Equal(t, want, c.sleep(1))
	require.Equal(t, want, c.sleep(RetransTimer))
	require.Empty(t, c.sleep(RetransTimer-1))
	require.Equal(t, Incomplete, c.state(peer))
	_, ok := c.Drain()
	require.False(t, ok)
	require.Empty(t, c.sleep(1))
	o, ok := c.Drain()
	require.True(t, ok)
	require.Equal(t, Outcome[int]{Addr: peer, Reason: Unanswered, Waiters: []int{7}}, o)

	// Failed for a moment, without new solicitations, then anew.
	_, res = c.Lookup(c.now, peer)
	require.Equal(t, Failed, res)
	require.False(t, c.Wait(peer, 1))
	require.False(t, c.Queue(peer, []byte{1}))
	require.Empty(t, c.sleep(FailedHold-1))
	_, res = c.Lookup(c.now, peer)
	require.Equal(t, Failed, res)
	c.now = c.now.Add(1) // Next is not called
	_, res = c.Lookup(c.now, peer)
	require.Equal(t, Wait, res)
	require.Equal(t, want, c.sleep(0))
}

// One application that retries for ever: at most one solicitation a second.
func TestRateLimitPerTarget(t *testing.T) {
	c := newCache(t, Config{})
	sent := 0
	for range 600 { // a minute
		c.Lookup(c.now, peer)
		sent += len(c.sleep(100 * time.Millisecond))
		for _, ok := c.Drain(); ok; _, ok = c.Drain() {
		}
	}
	require.LessOrEqual(t, sent, 60)
	require.GreaterOrEqual(t, sent, 40)
}

// RFC 4861 7.3.3: reachable, stale, delay, probe, gone.
func TestUnreachabilityDetection(t *testing.T) {
	c := newCache(t, Config{}).in(Reachable)
	require.Empty(t, c.sleep(ReachableTime-1))
	require.Equal(t, Reachable, c.state(peer))
	require.Empty(t, c.sleep(1))
	require.Equal(t, Stale, c.state(peer))
	hw, res := c.Lookup(c.now, peer)
	require.Equal(t, Resolved, res)
	require.Equal(t, hwA, hw)
	require.Equal(t, Delay, c.state(peer))
	require.Empty(t, c.sleep(DelayFirstProbe-1))
	want := []Solicitation{{Addr: peer, Unicast: true, HW: hwA}}
	require.Equal(t, want, c.sleep(1))
	require.Equal(t, Probe, c.state(peer))
	_, res = c.Lookup(c.now, peer)
	require.Equal(t, Resolved, res, "packets go on meanwhile")
	require.Equal(t, want, c.sleep(RetransTimer))
	require.Equal(t, want, c.sleep(RetransTimer))
	require.Empty(t, c.sleep(RetransTimer-1))
	require.Equal(t, Probe, c.state(peer))
	require.Empty(t, c.sleep(1))
	require.Equal(t, absent, c.state(peer))
	o, ok := c.Drain()
	require.True(t, ok)
	require.Equal(t, Outcome[int]{Addr: peer, Reason: Unreachable}, o)
	_, res = c.Lookup(c.now, peer)
	require.Equal(t, Wait, res, "resolution starts anew")
	require.Equal(t, []Solicitation{{Addr: peer}}, c.sleep(0))
	require.False(t, c.Deadline().Due(c.now))
}

// RFC 4861 7.3.1, 7.3.3: confirmations by upper layers.
func TestConfirm(t *testing.T) {
	for from, want := range map[State]State{
		absent: absent, Incomplete: Incomplete, Invalid: Invalid, Permanent: Permanent,
		Reachable: Reachable, Stale: Reachable, Delay: Reachable, Probe: Reachable,
	} {
		c := newCache(t, Config{}).in(from)
		if from == Reachable {
			c.sleep(ReachableTime - 1)
		}
		c.Confirm(c.now, peer)
		require.Equal(t, want, c.state(peer), "%v", from)
		if want == Reachable {
			c.sleep(ReachableTime - 1)
			require.Equal(t, Reachable, c.state(peer), "from now on")
			c.sleep(1)
			require.Equal(t, Stale, c.state(peer))
		}
	}
}

// RFC 1122 2.3.2.1: entries time out; use keeps them.
func TestStaleEntriesGo(t *testing.T) {
	c := newCache(t, Config{}).in(Stale)
	c.sleep(StaleTime - 1)
	require.Equal(t, Stale, c.state(peer))
	c.sleep(1)
	require.Equal(t, absent, c.state(peer))
	require.False(t, c.Deadline().IsSet())
	_, ok := c.Drain()
	require.False(t, ok, "nobody is interested")

	c.in(Reachable)
	for i := range 1000 { // used now and then, and answering
		if i%20 == 0 {
			c.Lookup(c.now, peer)
		}
		if len(c.sleep(time.Second)) > 0 {
			c.Learn(c.now, peer, hwA, Solicited|Override)
		}
		require.NotEqual(t, absent, c.state(peer))
	}
}

// RFC 4861 6.3.2: ReachableTime is random between 0.5 and 1.5 of its base, and
// chosen anew every few hours.
func TestReachableTimeIsRandom(t *testing.T) {
	next := uint64(0)
	c := newCache(t, Config{Rand: func() uint64 { return next }})
	lasts := func() time.Duration {
		c.Confirm(c.now, peer)
		return c.entries[peer].timer.Deadline().Sub(c.now)
	}
	c.in(Reachable)
	require.Equal(t, ReachableTime/2, lasts())
	next = uint64(ReachableTime - 1)
	require.Equal(t, ReachableTime/2, lasts(), "not with every confirmation")
	c.now = c.now.Add(rerandomise)
	require.Equal(t, ReachableTime*3/2-1, lasts())
	next = 0
	c.SetReachableTime(ReachableTime)
	require.Equal(t, ReachableTime*3/2-1, lasts(), "the same base changes nothing")
	c.SetReachableTime(10 * time.Second)
	require.Equal(t, 5*time.Second, lasts())
	c.SetReachableTime(1000 * time.Hour)
	require.Equal(t, maxReachable/2, lasts())
	c.SetReachableTime(0)
	require.Equal(t, ReachableTime/2, lasts())
}

func TestRetransTimer(t *testing.T) {
	for set, want := range map[time.Duration]time.Duration{
		0: RetransTimer, -1: RetransTimer, 1: minRetrans, 2 * time.Second: 2 * time.Second,
	} {
		c := newCache(t, Config{})
		c.SetRetransTimer(set)
		c.Lookup(c.now, peer)
		require.Len(t, c.sleep(want-1), 1)
		require.Len(t, c.sleep(1), 1)
	}
}

// A reachable entry whose time is over is not used as reachable because Next
// was not called.
func TestLookupDoesNotWaitForTimers(t *testing.T) {
	c := newCache(t, Config{}).in(Reachable)
	c.now = c.now.Add(ReachableTime)
	_, res := c.Lookup(c.now, peer)
	require.Equal(t, Resolved, res)
	require.Equal(t, Delay, c.state(peer))
}

// Negative advice of an upper layer (RFC 1122 3.3.1.4) has an address that is
// known asked at once, and no other.
func TestSuspect(t *testing.T) {
	for s, want := range map[State]State{
		Reachable: Probe, Stale: Probe, Delay: Probe, Probe: Probe,
		absent: absent, Incomplete: Incomplete, Invalid: Invalid, Permanent: Permanent,
	} {
		c := newCache(t, Config{}).in(s)
		c.drain()
		c.Suspect(c.now, peer)
		require.Equal(t, want, c.state(peer), s)
		if s != want {
			require.Equal(t, []Solicitation{{Addr: peer, Unicast: true, HW: hwA}}, c.sleep(0))
		}
	}
}

func TestWaiters(t *testing.T) {
	c := newCache(t, Config{})
	for i := range 3 {
		c.Lookup(c.now, addr(i))
		require.True(t, c.Wait(addr(i), i))
	}
	c.Learn(c.now, addr(1), hwA, Solicited)
	var all []int
	c.Waiters(func(w int) { all = append(all, w) })
	require.Equal(t, []int{0, 2}, all)
}
