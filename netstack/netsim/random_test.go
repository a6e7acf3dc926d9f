package netsim_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/core"
	"smolnet/netstack/netsim"
	"smolnet/netstack/tcp"
)

const (
	randomRuns = 500
	// randomTime is how long a network may take, and randomPackets how many
	// packets: more of either is a livelock.
	randomTime    = 48 * time.Hour
	randomPackets = 1 << 20
	maxFailures   = 10 // with a file of packets each
	// randomIdle is after what silence it is found out that a peer has gone
	// without a word that got through.
	randomIdle = time.Minute
)

// A draw is a source of choices.
type draw struct{ *rand.Rand }

// one returns one of its arguments.
func one[T any](d draw, v ...T) T { return v[d.IntN(len(v))] }

func (d draw) chance(p float64) bool { return d.Float64() < p }

// between returns a number from lo to hi, small ones as often as large ones.
func (d draw) between(lo, hi int) int {
	if d.chance(0.1) {
		return one(d, lo, hi)
	}
	return lo + int(float64(hi-lo)*d.Float64()*d.Float64())
}

func (d draw) upTo(t time.Duration) time.Duration { return time.Duration(d.Int64N(int64(t) + 1)) }

// path returns one direction of a link.
func (d draw) path(leastMTU int) netsim.Path {
	p := netsim.Path{Delay: d.upTo(one(d, 0, time.Millisecond, 50*time.Millisecond, 400*time.Millisecond)), MTU: d.between(leastMTU, 9000)}
	if d.chance(0.5) {
		p.Rate = one[int64](d, 64e3, 1e6, 10e6, 1e9)
		p.Queue = one(d, 1, 2, 5, 20, 200)
		p.QueueBytes = one(d, 0, 0, 3000, 64<<10)
		p.Mark = one(d, 0, 0, 1, 5)
		p.MarkOrDrop = d.chance(0.3)
	}
	if d.chance(0.3) {
		p.Jitter = d.upTo(50 * time.Millisecond)
	}
	if d.chance(0.5) {
		p.Loss = one(d, 0.01, 0.1, 0.3) * d.Float64()
	}
	if d.chance(0.2) {
		p.Bursts = netsim.GilbertElliott{P: 0.05 * d.Float64(), R: 0.1 + 0.5*d.Float64(), Bad: d.Float64()}
	}
	if d.chance(0.3) {
		p.Reorder, p.ReorderBy, p.ReorderDelay = 0.3*d.Float64(), d.IntN(6), d.upTo(100*time.Millisecond)
	}
	if d.chance(0.3) {
		p.Duplicate = 0.2 * d.Float64()
	}
	if d.chance(0.3) {
		p.Corrupt = 0.1 * d.Float64()
	}
	for from := d.upTo(20 * time.Second); d.chance(0.1); from += d.upTo(time.Minute) {
		to := from + 1 + d.upTo(10*time.Second)
		p.Outages = append(p.Outages, netsim.Outage{From: from, To: to})
		from = to + 1
	}
	return p
}

// app returns an application, and whether it may leave before the end.
func (d draw) app() (a netsim.App) {
	a.Bytes = int64(d.between(0, one(d, 0, 1000, 300_000)))
	if d.chance(0.3) {
		a.WriteChunk = d.between(1, 5000)
		a.WriteEvery = d.upTo(20 * time.Millisecond)
	}
	if d.chance(0.3) {
		a.ReadChunk = d.between(100, 20000)
		a.ReadEvery = d.upTo(50 * time.Millisecond)
	}
	if d.chance(0.2) {
		a.End = one(d, netsim.CloseAll, netsim.Abort)
	}
	if d.chance(0.15) {
		a.Quit = 1 + d.upTo(one(d, time.Millisecond, time.Second, time.Minute))
		a.QuitBy = one(d, netsim.HalfClose, netsim.CloseAll, netsim.Abort)
	}
	return a
}

// tcp returns a configuration of an end that gives up only if it is idle.
func (d draw) tcp(idle bool) *tcp.Config {
	buffer := func() int { return one(d, 1<<10, 3000, 8<<10, 64<<10, 512<<10) }
	cfg := patient(0)
	cfg.RecvBuffer, cfg.SendBuffer = buffer(), buffer()
	cfg.NoDelay = d.chance(0.5)
	cfg.NoTimestamps = d.chance(0.2)
	cfg.NoWindowScale = d.chance(0.2)
	cfg.DelayedAck = one(d, 0, 0, -1, 200*time.Millisecond)
	cfg.MinRTO = one(d, 0, 0, 50*time.Millisecond, time.Second)
	if idle {
		cfg.KeepAliveIdle, cfg.KeepAliveInterval = randomIdle, randomIdle/10
	}
	one(d, controllers()...).use(&cfg)
	cfg.ECN = one(d, tcp.ECNAccept, tcp.ECNAsk, tcp.ECNAsk, tcp.ECNOff)
	return &cfg
}

// randomNetwork returns a network with flows in it.
func randomNetwork(seed uint64) *netsim.Sim {
	s := netsim.New(seed)
	d := draw{rand.New(rand.NewPCG(seed, 'R'))}
	v6 := d.chance(0.4)
	least := 576
	if v6 {
		least = 1280
	}
	host := func(name string) *netsim.Host {
		cfg := netsim.HostConfig{Name: name, MTU: d.between(least, 9000), ClockTick: one(d, 0, 0, time.Millisecond, 16*time.Millisecond)}
		cfg.TxQueue = one(d, 0, 0, 1, 10)
		return s.MustHost(cfg)
	}
	a, b := host("a"), host("b")
	if d.chance(0.5) {
		s.MustLink(a, b, d.path(least), d.path(least))
	} else {
		r := s.Router("")
		s.MustLink(a, r, d.path(least), d.path(least))
		s.MustLink(r, b, d.path(least), d.path(least))
	}
	for _, l := range s.Links() {
		if d.chance(0.1) { // another way is taken from some moment on
			later := d.path(least)
			s.After(d.upTo(10*time.Second), func() {
				if err := l.SetPath(later); err != nil {
					panic(err)
				}
			})
		}
	}
	for range 1 + d.IntN(3) {
		f := netsim.FlowConfig{From: a, To: b, IPv6: v6, Start: d.upTo(time.Second), Client: d.app(), Server: d.app()}
		if d.chance(0.3) {
			f.From, f.To = b, a
		}
		idle := breaksOff(f.Client, f.Server.Bytes) || breaksOff(f.Server, f.Client.Bytes)
		f.ClientTCP, f.ServerTCP = d.tcp(idle), d.tcp(idle)
		s.MustFlow(f)
	}
	return s
}

// breaksOff reports whether the application may leave while the other one still
// listens or talks.
func breaksOff(a netsim.App, peer int64) bool {
	return a.Quit > 0 || a.End == netsim.Abort || a.End == netsim.CloseAll && peer > 0
}

// run runs a network to its end, and returns what is wrong with it.
func run(s *netsim.Sim) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	for began := s.Now(); ; {
		err = s.Settle(10 * time.Minute)
		switch {
		case !errors.Is(err, netsim.ErrTime):
			return err
		case s.Now().Sub(began) > randomTime:
			return err
		case s.Packets() > randomPackets:
			return fmt.Errorf("%d packets have been sent: %w", s.Packets(), err)
		}
	}
}

// TestRandomLinks: over whatever links, each byte arrives in its place unless a
// user breaks off, and in the end both stacks have nothing left.
func TestRandomLinks(t *testing.T) {
	var packets uint64
	failures := 0
	for i := range runs(randomRuns) {
		seed := *first + uint64(i)
		s := randomNetwork(seed)
		err := run(s)
		packets += s.Packets()
		if err == nil {
			err = quiet(s)
		}
		if err != nil {
			t.Errorf("seed %d: %v\nagain: go test -tags invariants -run %s -seed %d -seeds 1 ./netstack/netsim\npackets: %s",
				seed, err, t.Name(), seed, record(seed))
			if failures++; failures == maxFailures {
				t.Fatal("that is enough")
			}
		}
	}
	t.Logf("%d packets", packets)
}

// quiet says what happens in an hour after everything is over.
func quiet(s *netsim.Sim) error {
	before := s.Packets()
	if err := s.Run(time.Hour); err != nil {
		return err
	}
	if n := s.Packets() - before; n > 0 {
		return fmt.Errorf("%d packets were sent when everything was over", n)
	}
	for _, h := range s.Hosts() {
		st := h.Core().Stats()
		if d := h.Core().Deadline(); d != 0 || st.Memory != 0 || st.Connections != 0 || st.TimeWait != 0 || st.Listeners != 0 {
			return fmt.Errorf("%s has deadline %v, %d bytes, %d connections, %d in TIME-WAIT, %d listeners",
				h.Name(), d, st.Memory, st.Connections, st.TimeWait, st.Listeners)
		}
	}
	for _, f := range s.Flows() {
		for _, e := range []*netsim.End{f.Client(), f.Server()} {
			if e.Socket() != nil && !e.Socket().Finished() {
				return fmt.Errorf("%v: state %v", f, e.Info().State)
			}
		}
	}
	return nil
}

// record runs a network once more and returns the file with its packets.
func record(seed uint64) string {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("netsim-%d.pcap", seed))
	w, err := os.Create(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = w.Close() }()
	s := randomNetwork(seed)
	c := s.Hosts()[0].Capture(w)
	_ = run(s)
	if err := c.Flush(); err != nil {
		return err.Error()
	}
	return path
}

// TestSameSeed: two runs are the same, packet by packet.
func TestSameSeed(t *testing.T) {
	hashes := make(map[uint64]uint64)
	for seed := *first; seed < *first+20; seed++ {
		x, y := randomNetwork(seed), randomNetwork(seed)
		errX, errY := run(x), run(y)
		require.Equal(t, errX, errY)
		require.Equal(t, x.Hash(), y.Hash(), "seed %d", seed)
		require.Equal(t, x.Now(), y.Now())
		require.Zero(t, hashes[x.Hash()], "seeds %d and %d are the same", seed, hashes[x.Hash()])
		hashes[x.Hash()] = seed
	}
}

// TestCoarseClock: the stack is told multiples of its clock's tick only.
func TestCoarseClock(t *testing.T) {
	const tick = 16 * time.Millisecond
	s := netsim.New(1)
	a, b := s.MustHost(netsim.HostConfig{ClockTick: tick}), s.MustHost(netsim.HostConfig{})
	path := netsim.Path{Delay: 3 * time.Millisecond, Loss: 0.05}
	s.MustLink(a, b, path, path)
	s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 1 << 20}})
	offTick := 0
	s.Observe(func(e *netsim.Event) {
		require.Zero(t, a.Now()%clock.Time(tick))
		if e.Host == a && e.Kind == netsim.Sent && s.Now()%clock.Time(tick) != 0 {
			offTick++
		}
	})
	require.NoError(t, s.Settle(time.Hour))
	require.Positive(t, offTick, "packets that arrive are answered between ticks")
}

// TestTxQueue: a host whose device is full waits, and nothing is dropped.
func TestTxQueue(t *testing.T) {
	for _, full := range []int{0, 4} {
		s := netsim.New(1)
		a, b := s.MustHost(netsim.HostConfig{TxQueue: full}), s.MustHost(netsim.HostConfig{})
		there, _ := s.MustLink(a, b, netsim.Path{Rate: 1e6, Queue: 5}, netsim.Path{})
		s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 1 << 20}})
		require.NoError(t, s.Settle(time.Hour))
		st := there.Stats()
		require.Equal(t, full == 0, st.Kinds[netsim.Overflowed] > 0, "%+v", st)
		if full > 0 {
			require.Equal(t, full, st.MaxQueue)
		}
	}
}

func TestHostsThatMakeNoSense(t *testing.T) {
	s := netsim.New(1)
	for _, cfg := range []netsim.HostConfig{
		{MTU: 20}, {MTU: 1 << 17}, {ClockTick: -1}, {ClockTick: time.Hour}, {TxQueue: -1}, {Core: core.Config{Limits: core.Limits{Memory: -1}}},
	} {
		_, err := s.Host(cfg)
		require.Error(t, err, "%+v", cfg)
	}
	h := s.MustHost(netsim.HostConfig{MTU: 1000})
	require.False(t, h.Addr6().IsValid(), "RFC 8200 5: no IPv6 below 1280")
	_, err := s.Flow(netsim.FlowConfig{From: h})
	require.Error(t, err)
	_, err = s.Flow(netsim.FlowConfig{From: h, To: h, IPv6: true})
	require.Error(t, err)
	_, err = s.Flow(netsim.FlowConfig{From: h, To: h, Start: -1})
	require.Error(t, err)
}
