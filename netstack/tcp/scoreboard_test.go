package tcp

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

// A board is a connection that sends, and what a naive model knows of each byte that it
// has in flight.
type board struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	blind bool // there was no memory: it may know less
	c     *Conn
	pool  *stream.Pool
	now   clock.Time
	buf   []byte
	echo  uint32

	// Of each byte from una up to nxt.
	una, nxt Seq
	arrived  []bool // at the receiver
	sacked   []bool // as the sender must know it
	sent     []int  // how often
	total    int    // bytes written
}

const boardMSS = 100

func newBoard(t *testing.T, seed uint64, cfg *Config, pool *stream.Pool, iss Seq) *board {
	b := &board{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 5)), pool: pool, now: 1_000_000, buf: make([]byte, 1480)}
	if seed%2 == 1 {
		b.buf = make([]byte, 8192) // super-segments
	}
	b.c = new(Conn)
	b.c.Init(ID{netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")}, cfg, pool)
	b.c.Connect(b.now, iss, 1480)
	_, ok := b.c.Send(b.now, b.buf)
	require.True(t, ok)
	b.now = b.now.Add(10 * time.Millisecond)
	syn := wire.TCP{Seq: 77, Ack: uint32(iss + 1), Flags: wire.SYN | wire.ACK, Window: 65535}
	syn.Options.MSS, syn.Options.SACKPermitted = boardMSS, true
	b.c.Receive(b.now, &syn, nil)
	require.Equal(t, StateEstablished, b.c.State())
	b.una, b.nxt = iss+1, iss+1
	b.drain()
	return b
}

// write has more to send.
func (b *board) write(n int) {
	n = b.c.Out.Write(make([]byte, min(n, b.c.Out.Room())))
	b.total += n
}

// drain takes what the connection sends and notes it. It returns the segments' ranges.
func (b *board) drain() (segs []span) {
	b.t.Helper()
	for {
		timeouts := b.c.stats.timeouts
		w, ok := b.c.Send(b.now, b.buf)
		if b.c.stats.timeouts > timeouts && len(b.sacked) > 0 && b.sacked[0] {
			clear(b.sacked) // RFC 2018 8
		}
		if !ok {
			return segs
		}
		var h wire.TCP
		p, err := wire.ParseTCP(b.buf[:w.Len], &h)
		require.NoError(b.t, err)
		b.echo = h.Options.TSVal
		if n := len(p); n > 0 {
			require.True(b.t, n <= boardMSS || w.SegmentSize == boardMSS && len(b.buf) > 1480)
			segs = append(segs, span{Seq(h.Seq), Seq(h.Seq).Add(n)})
			b.note(Seq(h.Seq), n)
		}
		require.Less(b.t, len(segs), 20_000, "Send does not end")
	}
}

func (b *board) note(seq Seq, n int) {
	b.t.Helper()
	require.False(b.t, seq.Before(b.una), "sent again what was acknowledged")
	twice := -1
	for i := range n {
		at := seq.Add(i).Sub(b.una)
		if at == len(b.sent) {
			b.sent, b.sacked, b.arrived = append(b.sent, 0), append(b.sacked, false), append(b.arrived, false)
			b.nxt++
		}
		if b.sacked[at] {
			twice = at
		}
		b.sent[at]++
	}
	if !b.blind {
		require.Negative(b.t, twice, "sent again what was SACKed")
	}
}

// check compares the connection's scoreboard with the model.
func (b *board) check() {
	b.t.Helper()
	c := b.c
	require.Equal(b.t, b.una, c.snd.una)
	require.Equal(b.t, b.nxt, c.snd.nxt)
	var sacked, lost, resent int
	at := 0
	for i := range c.board.records.len() {
		rec := c.board.records.at(i)
		for range rec.len() {
			if b.sacked[at] != rec.has(recordSacked) || rec.has(recordResent) && b.sent[at] < 2 || b.sent[at] > 1 && !rec.has(recordRepeats) {
				b.t.Fatalf("seed %d: byte %d of %d: sacked %v, sent %d times: %+v", b.seed, at, len(b.sent), b.sacked[at], b.sent[at], *rec)
			}
			resent += b2i(rec.has(recordResent))
			lost += b2i(rec.has(recordLost))
			at++
		}
		if rec.has(recordSacked) {
			sacked += rec.len()
		}
	}
	require.Equal(b.t, len(b.sent), at)
	i := c.Info()
	require.Equal(b.t, sacked, i.Sacked)
	require.Equal(b.t, lost, i.Lost)
	require.Equal(b.t, max(len(b.sent)-sacked-lost+resent, 0), i.InFlight, "pipe of RFC 6675 4")
	require.LessOrEqual(b.t, c.board.records.len(), maxRecords)
}

// ack passes an acknowledgment, and enters it into the model as RFC 2018 and RFC 2883
// have it.
func (b *board) ack(ack Seq, window uint16, blocks ...wire.SACKBlock) {
	b.t.Helper()
	h := wire.TCP{Seq: 78, Ack: uint32(ack), Flags: wire.ACK, Window: window}
	h.Options.NumSACK = uint8(copy(h.Options.SACK[:], blocks))
	b.c.Receive(b.now, &h, nil)
	if ack.Before(b.una) || ack.After(b.nxt) {
		return
	}
	for k, s := range blocks {
		start, end := Seq(s.Start), Seq(s.End)
		if k == 0 && start.Before(end) {
			inside := len(blocks) > 1 && !start.Before(Seq(blocks[1].Start)) && !end.After(Seq(blocks[1].End))
			if !end.After(ack) || inside {
				continue // a D-SACK
			}
		}
		if !start.Before(end) || start.Before(b.una) || !start.Before(b.nxt) || end.After(b.nxt) {
			continue
		}
		for q := maxSeq(start, ack); q.Before(end); q++ {
			b.sacked[q.Sub(b.una)] = true
		}
	}
	n := ack.Sub(b.una)
	b.una = ack
	b.sent, b.sacked, b.arrived = b.sent[n:], b.sacked[n:], b.arrived[n:]
}

// somewhere is a sequence number near what is in flight, mostly at the bounds of
// segments.
func (b *board) somewhere() Seq {
	n := len(b.sent)
	switch b.rng.IntN(12) {
	case 0:
		return b.una.Add(b.rng.IntN(n+1) - n/2 - 50)
	case 1:
		return b.nxt.Add(b.rng.IntN(300) - 150)
	case 2:
		return Seq(b.rng.Uint32())
	case 3:
		return b.una.Add(b.rng.IntN(n + 1))
	}
	return b.una.Add(b.rng.IntN(n/boardMSS+1) * boardMSS)
}

func (b *board) block() wire.SACKBlock {
	start := b.somewhere()
	if b.rng.IntN(8) == 0 {
		return wire.SACKBlock{Start: uint32(start), End: uint32(b.somewhere())}
	}
	return wire.SACKBlock{Start: uint32(start), End: uint32(start.Add((1 + b.rng.IntN(4)) * boardMSS))}
}

// timeout waits for the next timer.
func (b *board) timeout() {
	b.t.Helper()
	if d := b.c.Deadline(); d.IsSet() {
		b.now = max(b.now, d)
		b.drain()
	}
}

// finish has a receiver that is honest from now on take everything: whatever has been
// acknowledged selectively and is gone comes again (RFC 2018 8). It returns how often
// a timer was needed.
func (b *board) finish() (waits int) {
	b.t.Helper()
	b.ack(b.una, 65535)
	clear(b.arrived)
	for round := 0; b.c.Out.Len() > 0; round++ {
		require.Less(b.t, round, 20_000, "no progress: %d left, una +%d nxt +%d", b.c.Out.Len(), b.una-b.c.snd.iss, b.nxt-b.c.snd.iss)
		segs := b.drain()
		if len(segs) == 0 {
			require.True(b.t, b.c.Deadline().IsSet(), "data and no timer")
			waits++
			b.now = max(b.now, b.c.Deadline())
			segs = b.drain()
		}
		b.now = b.now.Add(5 * time.Millisecond)
		for _, s := range segs {
			for q := s.start; q.Before(s.end); q++ {
				if !q.Before(b.una) {
					b.arrived[q.Sub(b.una)] = true
				}
			}
			b.honest()
		}
	}
	return waits
}

// honest acknowledges what has arrived.
func (b *board) honest() {
	n := 0
	for n < len(b.arrived) && b.arrived[n] {
		n++
	}
	var blocks []wire.SACKBlock
	for i := n; i < len(b.arrived) && len(blocks) < 3; i++ {
		if !b.arrived[i] {
			continue
		}
		j := i
		for j < len(b.arrived) && b.arrived[j] {
			j++
		}
		blocks = append(blocks, wire.SACKBlock{Start: uint32(b.una.Add(i)), End: uint32(b.una.Add(j))})
		i = j
	}
	b.ack(b.una.Add(n), 65535, blocks...)
}

func (b *board) end() {
	b.t.Helper()
	b.c.Abort(b.now)
	b.drain()
	b.c.Out.Reset()
	b.c.In.Reset()
	require.Zero(b.t, b.pool.InUse(), "memory is left")
}

// step does something at random.
func (b *board) step() {
	switch k := b.rng.IntN(20); {
	case k < 4:
		b.write(b.rng.IntN(30 * boardMSS))
		b.drain()
	case k < 7:
		b.ack(b.una.Add(min(b.rng.IntN(4)*boardMSS, len(b.sent))), 65535)
	case k < 16:
		ack := b.una
		if b.rng.IntN(4) == 0 {
			ack = b.una.Add(b.rng.IntN(min(len(b.sent), 500) + 1))
		}
		blocks := make([]wire.SACKBlock, b.rng.IntN(4)+1)
		for i := range blocks {
			blocks[i] = b.block()
		}
		b.ack(ack, 65535, blocks...)
	case k < 18:
		b.now = b.now.Add(time.Duration(b.rng.IntN(20)) * time.Millisecond)
	default:
		b.timeout()
	}
}

// RFC 6675 4: pipe, and what is known of each byte, are those of a naive model,
// whatever the peer reports: what overlaps, is below SND.UNA or above SND.NXT, comes
// again, has arrived twice, or was never sent. Afterwards everything is delivered.
func TestScoreboardAgainstModel(t *testing.T) {
	for seed := range uint64(60) {
		iss := []Seq{1000, 0xffff_ff00, 0x7fff_f000, 0}[seed%4]
		cfg := &Config{NoTimestamps: true, NoDelay: true}
		if seed%3 == 0 {
			cfg.Congestion = func() congestion.Controller { return congestion.None{} }
		}
		b := newBoard(t, seed, cfg, stream.NewPool(0), iss)
		for range 400 {
			b.step()
			b.check()
		}
		b.finish()
		b.end()
	}
}

// full leaves no memory for records.
func (b *board) full() (back func()) {
	n := int64(0)
	for b.pool.ReserveBefore(stream.ShrinkWindows, 64) {
		n += 64
	}
	return func() { b.pool.Unreserve(n) }
}

// lossy has a receiver that reports SACKs take everything over a path that loses some
// of it. It returns how often a timer was needed.
func (b *board) lossy(lose func() bool) (waits int) {
	b.t.Helper()
	for round := 0; b.c.Out.Len() > 0; round++ {
		require.Less(b.t, round, 20_000, "seed %d: no progress: %d left, %v", b.seed, b.c.Out.Len(), b.c)
		segs := b.drain()
		if len(segs) == 0 {
			require.True(b.t, b.c.Deadline().IsSet(), "data and no timer")
			waits++
			b.now = max(b.now, b.c.Deadline())
			segs = b.drain()
		}
		b.now = b.now.Add(5 * time.Millisecond)
		for _, s := range segs {
			if lose() {
				continue
			}
			for q := s.start; q.Before(s.end); q++ {
				if !q.Before(b.una) {
					b.arrived[q.Sub(b.una)] = true
				}
			}
			b.honest()
		}
	}
	return waits
}

// Without memory for records the connection knows less of what has arrived, and still
// delivers everything, in little more time.
func TestScoreboardWithoutMemory(t *testing.T) {
	for seed := range uint64(60) {
		cfg := &Config{NoTimestamps: true, NoDelay: true, NoSACK: seed%3 == 2}
		b := newBoard(t, seed, cfg, stream.NewPool(64*stream.PageSize), 1000)
		b.blind = true
		lose := func() bool { return b.rng.IntN(20) == 0 }
		from := b.now
		timers := 0
		for range 5 {
			b.write(150 * boardMSS)
			back := b.full()
			timers += b.lossy(lose)
			require.LessOrEqual(t, b.c.board.records.len(), inlineRecords)
			back()
		}
		require.Less(t, timers, 100, "seed %d", seed)
		require.Less(t, b.now.Sub(from), 20*time.Second, "seed %d", seed)
		b.write(150 * boardMSS)
		b.lossy(lose)
		b.end()
	}
}

// A thousand acknowledgments that tell of one segment more each leave two records: what
// is missing, and what has arrived. And what fills a gap is one with what lies around it.
func TestScoreboardRuns(t *testing.T) {
	const segments = 1000
	cfg := &Config{NoTimestamps: true, NoDelay: true, SendBuffer: 2 << 20, Congestion: func() congestion.Controller { return congestion.None{} }}
	b := newBoard(t, 1, cfg, stream.NewPool(0), 0xffff_f000)
	b.c.snd.wnd = 1 << 30
	b.write(segments * boardMSS)
	b.drain()
	require.Equal(t, 1, b.c.board.records.len(), "sent at once")
	from := b.una.Add(boardMSS)
	for k := 1; k < segments; k++ {
		h := wire.TCP{Seq: 78, Ack: uint32(b.una), Flags: wire.ACK, Window: 65535}
		h.Options.NumSACK = 1
		h.Options.SACK[0] = wire.SACKBlock{Start: uint32(from), End: uint32(from.Add(k * boardMSS))}
		b.c.Receive(b.now, &h, nil)
		require.LessOrEqual(t, b.c.board.records.len(), 3)
		require.Equal(t, k*boardMSS, b.c.Info().Sacked)
	}
	require.Equal(t, 2, b.c.board.records.len())
}

// RFC 2018 5.1: a peer that acknowledges every second byte, and the rest in any order,
// is believed up to some more than there are segments. Memory is bounded by that, and comes back.
func TestScoreboardFlood(t *testing.T) {
	cfg := &Config{NoTimestamps: true, NoDelay: true, Congestion: func() congestion.Controller { return congestion.None{} }}
	b := newBoard(t, 1, cfg, stream.NewPool(0), 0xffff_f000)
	b.write(60_000)
	b.drain()
	require.Len(t, b.sent, 60_000)
	most := 2*(len(b.sent)/b.c.snd.mss) + spareRecords
	acks := 0
	for at := 1; at+8 < len(b.sent); at += 8 {
		var blocks []wire.SACKBlock
		for k := 3; k >= 0; k-- {
			q := uint32(b.una.Add(at + 2*k))
			blocks = append(blocks, wire.SACKBlock{Start: q, End: q + 1})
		}
		h := wire.TCP{Seq: 78, Ack: uint32(b.una), Flags: wire.ACK, Window: 65535}
		h.Options.NumSACK = uint8(copy(h.Options.SACK[:], blocks))
		b.c.Receive(b.now, &h, nil)
		acks++
		require.LessOrEqual(t, b.c.board.records.len(), most)
	}
	require.Equal(t, most, b.c.board.records.len())
	require.LessOrEqual(t, b.pool.InUse(), int64(2*most*recordSize+9*stream.PageSize))
	require.LessOrEqual(t, b.c.Info().Sacked, most)
	b.blind = true
	clear(b.sacked)
	b.finish()
	b.end()
}
