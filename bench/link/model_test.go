package link

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	us = time.Microsecond
	ms = time.Millisecond
)

// An offer is a packet sent, and what is expected of it.
type offer struct {
	at      time.Duration
	n       int
	fate    Fate
	arrives time.Duration
}

func TestModel(t *testing.T) {
	// 100 Mbit/s: 1500 bytes take 120 us, 50 bytes 4 us.
	for name, test := range map[string]struct {
		cfg    Config
		offers []offer
	}{
		"the zero config moves packets at once": {Config{}, []offer{
			{0, 1500, Delivered, 0},
			{0, 1, Delivered, 0},
			{5 * ms, 1500, Delivered, 5 * ms},
			{5 * ms, 1501, TooLong, 0},
		}},
		"delay alone": {Config{Delay: 20 * ms}, []offer{
			{0, 1500, Delivered, 20 * ms},
			{1 * us, 1500, Delivered, 20*ms + 1*us},
		}},
		"packets leave one after the other": {Config{Delay: 20 * ms, Rate: 100e6}, []offer{
			{0, 1500, Delivered, 20*ms + 120*us},
			{0, 1500, Delivered, 20*ms + 240*us},
			{100 * us, 50, Delivered, 20*ms + 244*us},
			{300 * us, 50, Delivered, 20*ms + 304*us}, // the link had been idle
		}},
		"a rate that does not divide": {Config{Rate: 3}, []offer{
			{0, 1, Delivered, 2666666667},
		}},
		"the queue overflows, and has room when one has left": {Config{Rate: 100e6, Queue: 3}, []offer{
			{0, 1500, Delivered, 120 * us},
			{0, 1500, Delivered, 240 * us},
			{0, 1500, Delivered, 360 * us},
			{0, 1500, QueueFull, 0},
			{120*us - 1, 1500, QueueFull, 0},
			{120 * us, 1500, Delivered, 480 * us},
			{120 * us, 1500, QueueFull, 0},
			{480 * us, 1500, Delivered, 600 * us}, // all gone
			{480 * us, 1500, Delivered, 720 * us},
			{480 * us, 1500, Delivered, 840 * us},
			{480 * us, 1500, QueueFull, 0},
		}},
		"one packet of queue": {Config{Rate: 100e6, Queue: 1}, []offer{
			{0, 1500, Delivered, 120 * us},
			{60 * us, 1500, QueueFull, 0},
			{120 * us, 1500, Delivered, 240 * us},
		}},
		"too long is not in the queue": {Config{Rate: 100e6, Queue: 1, MTU: 1280}, []offer{
			{0, 1281, TooLong, 0},
			{0, 1250, Delivered, 100 * us},
		}},
		"outages, by when packets leave": {
			Config{Delay: 1 * ms, Outages: []Outage{{10 * ms, 5 * ms}, {20 * ms, 1}}}, []offer{
				{10*ms - 1, 100, Delivered, 11*ms - 1},
				{10 * ms, 100, InOutage, 0},
				{15*ms - 1, 100, InOutage, 0},
				{15 * ms, 100, Delivered, 16 * ms},
				{20 * ms, 100, InOutage, 0},
				{20*ms + 1, 100, Delivered, 21*ms + 1},
			}},
		"what is lost in an outage had its share of the rate": {
			Config{Rate: 100e6, Outages: []Outage{{100 * us, 100 * us}}}, []offer{
				{0, 1500, InOutage, 0},         // leaves at 120 us
				{0, 1500, Delivered, 240 * us}, // beyond it
				{10 * ms, 50, Delivered, 10*ms + 4*us},
			}},
		"the whole of an outage is skipped": {Config{Outages: []Outage{{1 * ms, ms}, {3 * ms, ms}, {5 * ms, ms}}}, []offer{
			{5500 * us, 1, InOutage, 0},
			{6 * ms, 1, Delivered, 6 * ms},
		}},
		"certain loss": {Config{Loss: 1, Rate: 100e6, Queue: 1}, []offer{
			{0, 1500, Lost, 0},
			{0, 1500, QueueFull, 0}, // it was lost behind the queue
		}},
		"a clock that goes back": {Config{Delay: 1 * ms}, []offer{
			{5 * ms, 1, Delivered, 6 * ms},
			{4 * ms, 1, Delivered, 6 * ms},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := NewModel(test.cfg)
			require.NoError(t, err)
			for i, o := range test.offers {
				fate, arrives := m.Offer(o.at, o.n)
				require.Equal(t, o.fate.String(), fate.String(), "packet %d", i)
				require.Equal(t, o.arrives, arrives, "packet %d", i)
			}
		})
	}
}

func TestModelInterrupt(t *testing.T) {
	planned := []Outage{{1 * ms, ms}, {5 * ms, ms}}
	m, err := NewModel(Config{Outages: planned})
	require.NoError(t, err)
	fates := func(want map[time.Duration]Fate) {
		for _, at := range slices.Sorted(maps.Keys(want)) {
			fate, _ := m.Offer(at, 1)
			require.Equal(t, want[at], fate, "at %v", at)
		}
	}
	fates(map[time.Duration]Fate{1 * ms: InOutage, 3 * ms: Delivered})
	require.Error(t, m.Interrupt(Outage{6 * ms, ms}))
	require.NoError(t, m.Interrupt(Outage{7 * ms, ms}))
	require.Error(t, m.Interrupt(Outage{9 * ms, 0}))
	fates(map[time.Duration]Fate{5 * ms: InOutage, 6 * ms: Delivered, 7 * ms: InOutage, 8 * ms: Delivered})
	for i := range 3 * MaxOutages { // those that are over do not count
		at := time.Duration(10+2*i) * ms
		require.NoError(t, m.Interrupt(Outage{at, ms}))
		fates(map[time.Duration]Fate{at: InOutage, at + ms: Delivered})
	}
	require.Equal(t, []Outage{{1 * ms, ms}, {5 * ms, ms}}, planned)
}

func TestModelQueued(t *testing.T) {
	m, err := NewModel(Config{Rate: 100e6})
	require.NoError(t, err)
	for range 10 {
		m.Offer(0, 1500)
	}
	for i := range 11 {
		require.Equal(t, 10-i, m.Queued(time.Duration(i)*120*us))
	}
	for range DefaultQueue {
		fate, _ := m.Offer(2*ms, 1500)
		require.Equal(t, Delivered, fate)
	}
	fate, _ := m.Offer(2*ms, 1500)
	require.Equal(t, QueueFull, fate)
}

// TestModelRate fills a link for ten seconds.
func TestModelRate(t *testing.T) {
	m, err := NewModel(Config{Rate: 1e9, Queue: 1000})
	require.NoError(t, err)
	delivered := 0
	for now := time.Duration(0); now < 10*time.Second; now += 10 * us {
		if fate, _ := m.Offer(now, 1250); fate == Delivered { // 10 us each
			delivered++
		}
		m.Offer(now, 1250)
	}
	require.InDelta(t, 1e6+1000, delivered, 1000)
}

func TestModelLoss(t *testing.T) {
	const n = 200_000
	for _, loss := range []float64{0, 0.001, 0.01, 0.05, 0.3, 1} {
		for seed := range uint64(5) {
			m, err := NewModel(Config{Loss: loss, Seed: seed})
			require.NoError(t, err)
			lost := 0
			for range n {
				if fate, _ := m.Offer(0, 100); fate == Lost {
					lost++
				}
			}
			// Five standard deviations.
			require.InDelta(t, loss*n, lost, 5*math.Sqrt(n*loss*(1-loss)), "seed %d", seed)
		}
	}
}

// TestModelSeed: one seed is one run, another is another.
func TestModelSeed(t *testing.T) {
	run := func(seed uint64) (what []time.Duration) {
		m, err := NewModel(Config{Loss: 0.5, Jitter: ms, Seed: seed})
		require.NoError(t, err)
		for i := range 1000 {
			fate, at := m.Offer(time.Duration(i)*ms, 100)
			what = append(what, time.Duration(fate), at)
		}
		return what
	}
	require.Equal(t, run(7), run(7))
	require.NotEqual(t, run(7), run(8))
}

// TestModelJitter: delays are spread over all of it, and nothing overtakes but
// where it may.
func TestModelJitter(t *testing.T) {
	for _, reorder := range []bool{false, true} {
		m, err := NewModel(Config{Delay: 10 * ms, Jitter: 4 * ms, Reorder: reorder, Seed: 1})
		require.NoError(t, err)
		var last time.Duration
		early, overtaken := 0, 0
		for i := range 10_000 {
			now := time.Duration(i) * ms
			fate, at := m.Offer(now, 100)
			require.Equal(t, Delivered, fate)
			require.GreaterOrEqual(t, at, now+10*ms)
			require.LessOrEqual(t, at, now+14*ms)
			if at < now+12*ms {
				early++
			}
			if at < last {
				overtaken++
			}
			last = at
		}
		if reorder {
			require.InDelta(t, 5000, early, 300)
			require.Greater(t, overtaken, 1000)
		} else {
			require.Zero(t, overtaken)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		text string
	}{
		{Config{Delay: -1}, "delay -1ns is not between 0 and 1m0s"},
		{Config{Delay: time.Hour}, "delay 1h0m0s is not between"},
		{Config{Jitter: -1}, "jitter -1ns is not between"},
		{Config{Rate: -1}, "rate -1 is negative"},
		{Config{Queue: -1}, "queue -1 is not between 1 and 65536"},
		{Config{Queue: MaxQueue + 1}, "queue 65537 is not between"},
		{Config{Loss: 1.5}, "loss 1.5 is not between 0 and 1"},
		{Config{Loss: math.NaN()}, "loss NaN is not between"},
		{Config{MTU: -1}, "MTU -1 is not between 1 and 65535"},
		{Config{MTU: 65536}, "MTU 65536 is not between"},
		{Config{Outages: make([]Outage, MaxOutages+1)}, "1025 outages are more than 1024"},
		{Config{Outages: []Outage{{0, 0}}}, "outages are not in order"},
		{Config{Outages: []Outage{{-1, 5}}}, "outages are not in order"},
		{Config{Outages: []Outage{{5, 5}, {10, 5}}}, "outages are not in order"},
		{Config{Outages: []Outage{{math.MaxInt64, 1}}}, "outages are not in order"},
	} {
		_, err := NewModel(test.cfg)
		require.ErrorContains(t, err, test.text)
		_, err = New(Config{}, test.cfg)
		require.ErrorContains(t, err, "link: from B to A: "+test.text)
		_, err = New(test.cfg, Config{})
		require.ErrorContains(t, err, "link: from A to B: "+test.text)
	}
}

func TestFateString(t *testing.T) {
	require.Equal(t, "queue full", QueueFull.String())
	require.Equal(t, "overflow", Overflow.String())
	require.Equal(t, "unknown", numFates.String())
}
