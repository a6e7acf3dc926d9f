package phy

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"smolnet/netstack/wire"
)

// DefaultShapingInterval is the ShapingInterval of a [FaultConfig] that names
// none.
const DefaultShapingInterval = 100 * time.Millisecond

// maxFaultRun is how many arriving frames in a row are thrown away before
// Receive says that there is none, so that a flood cannot hold its caller.
const maxFaultRun = 64

// A FaultConfig says what a [Fault] does to the frames of both directions. The
// zero value does nothing.
type FaultConfig struct {
	// DropChance is how many percent of the frames are lost: 0 or less none,
	// 100 or more all.
	DropChance float64
	// CorruptChance is in how many percent of the frames that get through one
	// octet, at a random place, is changed.
	CorruptChance float64
	// SizeLimit loses the frames that are longer, in bytes with the link
	// header. Zero or less: no limit.
	SizeLimit int
	// TxRateLimit and RxRateLimit are how many frames get through in each
	// ShapingInterval, counted from the first; the rest is lost. Zero or less:
	// no limit.
	TxRateLimit int
	RxRateLimit int
	// ShapingInterval is the interval of the rate limits. Zero or less means
	// [DefaultShapingInterval].
	ShapingInterval time.Duration
	// Seed makes what is random repeatable: the same frames meet the same
	// fate, each direction apart. Zero chooses one, which Seed returns.
	Seed uint64
}

// FaultCounts are what happened to the frames of one direction. Each frame is
// counted once, but for Corrupted, which are among those that Passed.
type FaultCounts struct {
	Passed      uint64
	Corrupted   uint64
	Dropped     uint64 // by DropChance
	Oversized   uint64 // by SizeLimit
	RateLimited uint64 // by TxRateLimit, RxRateLimit
}

// FaultStats are the counts of a [Fault].
type FaultStats struct {
	Rx FaultCounts
	Tx FaultCounts
}

// A Fault is a [Device] that loses and spoils frames, to see how a stack gets
// on.
//
// What it loses and spoils are single frames as they are on a wire. Its
// Capabilities offer no checksums and no segmentation, whatever those of the
// device below: corruption has to be found by somebody. Super-frames that arrive
// are cut first, each piece meeting a fate of its own, and checksums that the
// sender below has left out are filled in.
type Fault struct {
	Device
	caps   Capabilities
	cfg    FaultConfig
	rx     spoiler
	tx     spoiler
	lent   []byte   // by TxBuffer
	cut    Segments // of a super-frame that Receive still holds
	piece  []byte   // for one of them
	closed atomic.Bool
}

// NewFault returns dev with its frames spoiled as cfg says.
func NewFault(dev Device, cfg FaultConfig) *Fault {
	if cfg.Seed == 0 {
		cfg.Seed = rand.Uint64()>>1 + 1
	}
	if cfg.ShapingInterval <= 0 {
		cfg.ShapingInterval = DefaultShapingInterval
	}
	f := &Fault{Device: dev, caps: dev.Capabilities(), cfg: cfg}
	f.caps.TxChecksum, f.caps.RxChecksum = false, false
	f.caps.MaxSuperFrame, f.caps.UDPSegments = 0, false
	f.rx = newSpoiler(&f.cfg, cfg.RxRateLimit, 'R')
	f.tx = newSpoiler(&f.cfg, cfg.TxRateLimit, 'T')
	return f
}

// Seed returns the seed in use.
func (f *Fault) Seed() uint64 { return f.cfg.Seed }

// Stats returns the counts so far. It may be called from any goroutine.
func (f *Fault) Stats() FaultStats {
	return FaultStats{Rx: f.rx.counts(), Tx: f.tx.counts()}
}

// Capabilities implements [Device].
func (f *Fault) Capabilities() Capabilities { return f.caps }

// Receive implements [Device].
func (f *Fault) Receive() (Frame, error) {
	for range maxFaultRun {
		b, err := f.arrived()
		if err != nil {
			return Frame{}, err
		}
		if f.rx.pass(b) {
			f.rx.corrupt(b)
			return Frame{Data: b}, nil
		}
	}
	return Frame{}, ErrWouldBlock
}

// arrived returns the next frame, complete with its checksums.
func (f *Fault) arrived() ([]byte, error) {
	if f.closed.Load() {
		return nil, ErrClosed
	}
	if !f.cut.More() {
		fr, err := f.Device.Receive()
		if err != nil {
			return nil, err
		}
		if fr.Offload.GSOType == GSONone || f.cut.Cut(f.caps.Medium, fr.Data, fr.Offload) != nil {
			finishChecksum(&fr)
			return fr.Data, nil
		}
		if n := f.cut.MaxLen(); n > len(f.piece) {
			f.piece = make([]byte, n)
		}
	}
	return f.piece[:f.cut.Next(f.piece)], nil
}

// Wait implements [Device]. It does not sleep while a super-frame has pieces
// left.
func (f *Fault) Wait(d time.Duration) error {
	if !f.cut.More() {
		return f.Device.Wait(d)
	}
	if err := f.Device.Flush(); err != nil && !errors.Is(err, ErrWouldBlock) {
		return err
	}
	return nil
}

// Close implements [Device].
func (f *Fault) Close() error {
	f.closed.Store(true)
	return f.Device.Close()
}

// TxBuffer implements [Device].
func (f *Fault) TxBuffer() ([]byte, error) {
	b, err := f.Device.TxBuffer()
	if err != nil {
		return nil, err
	}
	f.lent = b[:f.caps.txRoom()]
	return f.lent, nil
}

// Commit implements [Device]. A frame that is lost leaves the buffer of the
// device below as it was, to be written again.
func (f *Fault) Commit(n int, off Offload) error {
	if err := f.caps.checkCommit(f.lent, n, &off); err != nil {
		if closed := f.Device.Flush(); closed != nil {
			return closed
		}
		return err
	}
	frame := f.lent[:n]
	f.lent = nil
	if !f.tx.pass(frame) {
		_, err := f.Device.TxBuffer() // nothing new, but the error if it is closed
		return err
	}
	f.tx.corrupt(frame)
	return f.Device.Commit(n, off)
}

// finishChecksum fills in the checksum that the sender of a memory link has
// left to a device (RFC 1071; a sum of zero is written as its other form, all
// ones, which in UDP alone makes a difference, RFC 768).
func finishChecksum(f *Frame) {
	start, field := int(f.Offload.ChecksumStart), int(f.Offload.ChecksumStart)+int(f.Offload.ChecksumOffset)
	if !f.Offload.NeedsChecksum || field+2 > len(f.Data) {
		return
	}
	sum := ^wire.Sum(f.Data[start:], 0)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(f.Data[field:], sum)
}

// A spoiler decides on the frames of one direction.
type spoiler struct {
	cfg    *FaultConfig
	random *rand.Rand

	limit  int // frames per interval, 0 for no limit
	tokens int
	refill time.Time // when tokens are limit again

	passed, corrupted, dropped, oversized, rateLimited atomic.Uint64
}

func newSpoiler(cfg *FaultConfig, limit int, stream uint64) spoiler {
	return spoiler{cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, stream)), limit: max(limit, 0)}
}

func (s *spoiler) counts() FaultCounts {
	return FaultCounts{
		Passed:      s.passed.Load(),
		Corrupted:   s.corrupted.Load(),
		Dropped:     s.dropped.Load(),
		Oversized:   s.oversized.Load(),
		RateLimited: s.rateLimited.Load(),
	}
}

// chance says yes in so many percent of the cases.
func (s *spoiler) chance(percent float64) bool {
	return percent > 0 && s.random.Float64()*100 < percent
}

// pass says whether a frame gets through.
func (s *spoiler) pass(frame []byte) bool {
	switch {
	case s.chance(s.cfg.DropChance):
		s.dropped.Add(1)
	case s.cfg.SizeLimit > 0 && len(frame) > s.cfg.SizeLimit:
		s.oversized.Add(1)
	case !s.token():
		s.rateLimited.Add(1)
	default:
		s.passed.Add(1)
		return true
	}
	return false
}

// token takes one of the interval's tokens, if there is one left.
func (s *spoiler) token() bool {
	if s.limit == 0 {
		return true
	}
	if now := time.Now(); !now.Before(s.refill) {
		s.tokens = s.limit
		s.refill = now.Add(s.cfg.ShapingInterval)
	}
	if s.tokens == 0 {
		return false
	}
	s.tokens--
	return true
}

// corrupt changes one octet of some frames.
func (s *spoiler) corrupt(frame []byte) {
	if len(frame) > 0 && s.chance(s.cfg.CorruptChance) {
		frame[s.random.IntN(len(frame))] ^= byte(1 + s.random.IntN(255)) // never by nothing
		s.corrupted.Add(1)
	}
}
