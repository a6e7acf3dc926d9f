package phy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/wire"
	"smolnet/phy"
)

// A path is one direction through a fault injector.
type path struct {
	name     string
	fault    *phy.Fault
	from, to phy.Device
	counts   func() phy.FaultCounts
}

// paths returns the two directions through an injector.
func paths(t *testing.T, cfg phy.FaultConfig) []path {
	a, b := pipe(t, phy.PipeConfig{Medium: phy.MediumIP, Queue: 512})
	f := phy.NewFault(a, cfg)
	return []path{
		{"tx", f, f, b, func() phy.FaultCounts { return f.Stats().Tx }},
		{"rx", f, b, f, func() phy.FaultCounts { return f.Stats().Rx }},
	}
}

// pass sends frames along the path one by one, of the given length and filled
// with a pattern, and gives what arrives to got, nil for nothing.
func (p path) pass(t *testing.T, frames, length int, got func(i int, sent, arrived []byte)) {
	t.Helper()
	sent := make([]byte, length)
	for i := range frames {
		for j := range sent {
			sent[j] = byte(i + j)
		}
		send(t, p.from, sent)
		f, err := p.to.Receive()
		if errors.Is(err, phy.ErrWouldBlock) {
			got(i, sent, nil)
			continue
		}
		require.NoError(t, err)
		got(i, sent, f.Data)
	}
}

// differences counts the octets in which a and b differ.
func differences(a, b []byte) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// near says whether n is within five standard deviations of what a chance of
// percent gives in so many tries.
func near(t *testing.T, n uint64, tries int, percent float64) {
	t.Helper()
	p := percent / 100
	mean, variance := float64(tries)*p, float64(tries)*p*(1-p)
	d := float64(n) - mean
	require.LessOrEqual(t, d*d, 25*variance, "%d of %d, expected about %.0f", n, tries, mean)
}

func TestFaultChances(t *testing.T) {
	tries := often(20000)
	for _, test := range []struct{ drop, corrupt float64 }{
		{15, 0}, {0, 15}, {0.5, 0}, {0, 0.5}, {50, 50}, {100, 0}, {0, 100}, {-1, -1}, {1000, 1000},
	} {
		for _, p := range paths(t, phy.FaultConfig{DropChance: test.drop, CorruptChance: test.corrupt, Seed: 42}) {
			drop, corrupt := min(max(test.drop, 0), 100), min(max(test.corrupt, 0), 100)
			var lost, changed uint64
			p.pass(t, tries, 40, func(_ int, sent, arrived []byte) {
				if arrived == nil {
					lost++
					return
				}
				require.Len(t, arrived, len(sent))
				if n := differences(sent, arrived); n > 0 {
					require.Equal(t, 1, n, "one octet")
					changed++
				}
			})
			near(t, lost, tries, drop)
			near(t, changed, tries-int(lost), corrupt)
			require.Equal(t, phy.FaultCounts{Passed: uint64(tries) - lost, Dropped: lost, Corrupted: changed}, p.counts(), p.name)
		}
	}
}

// TestFaultCorruptsEverywhere: every octet of a frame can be hit, and become
// anything.
func TestFaultCorruptsEverywhere(t *testing.T) {
	tries := often(20000)
	for _, p := range paths(t, phy.FaultConfig{CorruptChance: 100, Seed: 7}) {
		var places [40]int
		var masks [256]int
		p.pass(t, tries, 40, func(_ int, sent, arrived []byte) {
			for i := range sent {
				if x := sent[i] ^ arrived[i]; x != 0 {
					places[i]++
					masks[x]++
				}
			}
		})
		for _, n := range places {
			near(t, uint64(n), tries, 100./40)
		}
		for _, n := range masks[1:] {
			near(t, uint64(n), tries, 100./255)
		}
	}
}

// TestFaultSeed: the same seed, the same fate; each direction apart from what
// happens in the other.
func TestFaultSeed(t *testing.T) {
	fate := func(cfg phy.FaultConfig, direction int, noise bool) (s []byte) {
		both := paths(t, cfg)
		other := both[1-direction]
		both[direction].pass(t, 300, 40, func(_ int, sent, arrived []byte) {
			switch {
			case arrived == nil:
				s = append(s, 'x')
			case bytes.Equal(sent, arrived):
				s = append(s, '.')
			default:
				s = append(s, 'c')
			}
			if noise {
				other.pass(t, 1, 60, func(int, []byte, []byte) {})
			}
		})
		return s
	}
	cfg := phy.FaultConfig{DropChance: 30, CorruptChance: 30, Seed: 1}
	for direction := range 2 {
		first := fate(cfg, direction, false)
		require.Equal(t, first, fate(cfg, direction, true))
		cfg2 := cfg
		cfg2.Seed = 2
		require.NotEqual(t, first, fate(cfg2, direction, false))
	}
	require.NotEqual(t, fate(cfg, 0, false), fate(cfg, 1, false))

	a, _ := pipe(t, phy.PipeConfig{})
	require.EqualValues(t, 5, phy.NewFault(a, phy.FaultConfig{Seed: 5}).Seed())
	require.NotZero(t, phy.NewFault(a, phy.FaultConfig{}).Seed())
	require.NotEqual(t, phy.NewFault(a, phy.FaultConfig{}).Seed(), phy.NewFault(a, phy.FaultConfig{}).Seed())
}

func TestFaultSizeLimit(t *testing.T) {
	for _, p := range paths(t, phy.FaultConfig{SizeLimit: 1000}) {
		for _, length := range []int{1, 999, 1000, 1001, 1500} {
			p.pass(t, 10, length, func(_ int, _, arrived []byte) {
				require.Equal(t, length <= 1000, arrived != nil, "%d bytes", length)
			})
		}
		require.Equal(t, phy.FaultCounts{Passed: 30, Oversized: 20}, p.counts())
	}
}

func TestFaultRateLimits(t *testing.T) {
	for _, cfg := range []phy.FaultConfig{
		{TxRateLimit: 4, RxRateLimit: 7, ShapingInterval: 50 * time.Millisecond},
		{TxRateLimit: 4, RxRateLimit: 7}, // the interval has a default
		{TxRateLimit: 4},
		{RxRateLimit: 7},
	} {
		synctest.Test(t, func(t *testing.T) {
			interval := cfg.ShapingInterval
			if interval == 0 {
				interval = phy.DefaultShapingInterval
			}
			for i, p := range paths(t, cfg) {
				limit := []int{cfg.TxRateLimit, cfg.RxRateLimit}[i]
				if limit == 0 {
					limit = 20
				}
				const intervals = 5
				for range intervals {
					p.pass(t, 20, 40, func(i int, _, arrived []byte) {
						require.Equal(t, i < limit, arrived != nil, "%s: frame %d", p.name, i)
					})
					time.Sleep(interval - 1)
					p.pass(t, 1, 40, func(_ int, _, arrived []byte) {
						require.Equal(t, limit == 20, arrived != nil, "not yet")
					})
					time.Sleep(time.Nanosecond)
				}
				passed := uint64(limit * intervals)
				if limit == 20 {
					passed = 21 * intervals
				}
				require.Equal(t, phy.FaultCounts{Passed: passed, RateLimited: 21*intervals - passed}, p.counts())
			}
		})
	}
}

// TestFaultCapabilities: nobody may rely on checksums made or skipped below.
func TestFaultCapabilities(t *testing.T) {
	a, b := pipe(t, phy.PipeConfig{MTU: 1000, TxChecksum: true, RxChecksum: true, MaxSuperFrame: 9000})
	f := phy.NewFault(a, phy.FaultConfig{})
	require.Equal(t, phy.Capabilities{MTU: 1000}, f.Capabilities())
	room, err := f.TxBuffer()
	require.NoError(t, err)
	require.Len(t, room, 1014)
	require.ErrorIs(t, f.Commit(60, phy.Offload{NeedsChecksum: true, ChecksumStart: 34, ChecksumOffset: 6}), phy.ErrOffload)
	require.NoError(t, f.Commit(60, phy.Offload{}))
	require.NoError(t, f.Flush())
	_, err = b.Receive()
	require.NoError(t, err)
}

// TestFaultFinishesChecksums that the peer has left to the link, so that
// corruption shows.
func TestFaultFinishesChecksums(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	a, b := pipe(t, phy.PipeConfig{Medium: phy.MediumIP, TxChecksum: true, RxChecksum: true, MaxSuperFrame: 9000})
	clean, dirty := phy.NewFault(a, phy.FaultConfig{}), phy.NewFault(a, phy.FaultConfig{CorruptChance: 100})
	for i := range 500 {
		n := 20 + random.IntN(3000)
		room, err := b.TxBuffer()
		require.NoError(t, err)
		for j := range room[:n] {
			room[j] = byte(random.Uint32())
		}
		field := room[12:] // start 4, offset 8; holds a pseudo-header's sum
		if i == 0 {        // one whose checksum is zero
			clear(room[:n])
			binary.BigEndian.PutUint16(field, 0xffff)
		}
		off := phy.Offload{NeedsChecksum: true, ChecksumStart: 4, ChecksumOffset: 8}
		if n > 1500 {
			off.GSOType, off.SegmentSize = phy.GSOUDP, 1000
		}
		pseudo := binary.BigEndian.Uint16(field)
		before := bytes.Clone(room[:4])
		require.NoError(t, b.Commit(n, off))
		require.NoError(t, b.Flush())
		f, err := [2]*phy.Fault{clean, dirty}[i%2].Receive()
		require.NoError(t, err)
		require.Equal(t, phy.Offload{}, f.Offload, "even of a super-frame that nobody can cut")
		if i == 0 {
			require.EqualValues(t, 0xffff, binary.BigEndian.Uint16(f.Data[12:]))
		}
		sum := wire.Sum(f.Data[4:], pseudo)
		if i%2 == 1 && bytes.Equal(f.Data[:4], before) {
			require.NotEqual(t, uint16(0xffff), sum, "corruption must show")
		} else {
			require.Equal(t, uint16(0xffff), sum)
		}
	}
}

// TestFaultFlood: Receive comes back from a flood of frames that all get
// dropped, and Wait sees that there are more.
func TestFaultFlood(t *testing.T) {
	a, b := pipe(t, phy.PipeConfig{})
	f := phy.NewFault(a, phy.FaultConfig{DropChance: 100})
	for i := range 200 {
		put(t, b, 60, uint32(i))
	}
	for f.Stats().Rx.Dropped < 200 {
		require.NoError(t, f.Wait(-1))
		before := f.Stats().Rx.Dropped
		_, err := f.Receive()
		require.ErrorIs(t, err, phy.ErrWouldBlock)
		require.LessOrEqual(t, f.Stats().Rx.Dropped-before, uint64(64))
	}
}

// TestFaultLossFreesTheBuffer: what is dropped takes no room.
func TestFaultLossFreesTheBuffer(t *testing.T) {
	a, _ := pipe(t, phy.PipeConfig{Queue: 1})
	f := phy.NewFault(a, phy.FaultConfig{DropChance: 100})
	for i := range 100 {
		put(t, f, 60, uint32(i))
	}
	require.NoError(t, f.Close())
	require.ErrorIs(t, f.Commit(60, phy.Offload{}), phy.ErrClosed)
	_, err := f.TxBuffer()
	require.ErrorIs(t, err, phy.ErrClosed)
}
