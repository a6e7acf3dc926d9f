package tcp

// Buffers whose user names no size grow with what the path needs: bandwidth times
// round trip, twice. RFC 9293 leaves their size to the implementation; the idea of
// the receiver's side, to measure what the user reads in a round trip, is that of
// "Dynamic Right-Sizing" (Fisk and Feng, 2001).
//
// More than is needed costs: what goes through a buffer that is larger than the
// processor's cache goes through memory. So the round trip that counts is the least
// one, without the queues that a large window fills, and on paths that are shorter
// than tuneFloor buffers stay what they are.
//
// Invariant: a buffer grows, up to its bound, and never shrinks; what it may hold is
// no memory before it holds it.

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/stream"
)

const (
	// tuneFloor is the least round trip with which buffers grow: the least that
	// timestamps can tell from none, so that a memory's is not taken for a
	// network's. In a millisecond the buffers of the beginning carry 4 Gbit/s.
	tuneFloor = time.Duration(timestampTick)

	// leastRTTFor is how long the least round trip is believed: paths change.
	leastRTTFor = 10 * time.Second
)

// A bufferTune is the state of a connection's buffers' growth.
type bufferTune struct {
	sendMost uint32 // bytes up to which Out grows; zero: it stays what it is
	recvMost uint32 // the same of In

	// What the receiver has measured.
	rtt    time.Duration // least round trip of late; zero: not known yet
	rttAt  clock.Time    // when that was
	since  clock.Time    // begin of the present measurement
	turnAt clock.Time    // without timestamps: when mark was
	mark   uint32        // the last timestamp that was echoed; without: the announced edge at turnAt
	from   uint32        // low bits of In's start at since
	ahead  uint32        // bytes of the window from a gap to the end of what has arrived, at since
	got    uint32        // bytes of text that have arrived since then, in order or not
	read   uint32        // bytes that arrived, and that were read, in the last round trip
}

// initBuffers gives the streams their first sizes.
func (c *Conn) initBuffers(pool *stream.Pool) {
	recv, recvMost := tunedBuffer(c.cfg.RecvBuffer, c.cfg.MaxRecvBuffer)
	send, sendMost := tunedBuffer(c.cfg.SendBuffer, c.cfg.MaxSendBuffer)
	c.In.Init(pool, recv)
	c.Out.Init(pool, send)
	c.tune = bufferTune{sendMost: sendMost, recvMost: recvMost}
}

// tunedBuffer returns the first size of a buffer and the one up to which it may
// grow, zero if it may not, from the size and the bound that a Config names.
func tunedBuffer(fixed, most int) (size int, bound uint32) {
	size = bufferSize(fixed)
	if fixed > 0 || most < 0 {
		return size, 0
	}
	most = min(max(orDefault(most, defaultMaxBuffer), minBuffer), maxBuffer)
	if most <= size {
		return most, 0
	}
	return size, uint32(most)
}

// SetRecvBuffer sets the size of the receive stream, bytes, moved to between 1 KiB
// and 1 GiB, and ends its growth. What was announced to the peer is not taken back.
func (c *Conn) SetRecvBuffer(n int) {
	c.tune.recvMost = 0
	c.In.SetLimit(min(max(n, minBuffer), maxBuffer))
}

// SetSendBuffer is SetRecvBuffer for the send stream.
func (c *Conn) SetSendBuffer(n int) {
	c.tune.sendMost = 0
	c.Out.SetLimit(min(max(n, minBuffer), maxBuffer))
	c.events |= EventWritable
}

// tuneRecv has the receive stream grow if that is what holds the peer back. It is
// called for text in order with the timestamp that came with it, if there was one.
func (c *Conn) tuneRecv(now clock.Time, echo uint32) {
	t := &c.tune
	elapsed := now.Sub(t.since)
	if c.ts.on && t.since.IsSet() && elapsed < tuneFloor {
		return // most text of fast links
	}
	c.measureRecv(now, echo)
	start := uint32(c.In.Start())
	if !t.since.IsSet() {
		t.since, t.from, t.got = now, start, 0
		return
	}
	if elapsed < max(t.rtt, tuneFloor) {
		return
	}
	// What lay behind a gap is read at once when that is filled, and took longer to
	// come. A measurement ends with the text that comes next, which may be late.
	ahead := uint32(0)
	if g := &c.rcv.gaps; !g.empty() {
		ahead = uint32(g.end().Sub(c.rcv.nxt))
	}
	most := max(ahead, t.ahead)
	last, read := t.read, min(start-t.from+ahead-min(t.ahead, ahead), t.got)
	t.ahead = ahead
	read = uint32(uint64(read) * uint64(t.rtt.Microseconds()) / uint64(elapsed.Microseconds()))
	t.since, t.from, t.got, t.read = now, start, 0, read
	if t.rtt < tuneFloor {
		return
	}
	want := 2*uint64(read) + uint64(most)
	if read > last && last > read/4 {
		// A sender in slow start: what it wants to have under way when the next
		// round trip ends is twice what it has now.
		want += min(4*uint64(read-last), 2*uint64(read))
	}
	want = want * reserveWhole / uint64(reserveWhole-c.shared.kept.Load())
	if n, ok := c.grown(&c.In, want, t.recvMost); ok {
		c.In.SetLimit(n)
	}
}

// measureRecv measures the round trip from the receiver's side. RFC 7323 3.2: text
// echoes the timestamp of an acknowledgment; the first one with an echo came soonest
// after it. Without timestamps text from beyond the edge that was announced comes a
// round trip later at the soonest. Both can be too long where the peer had nothing
// to send, hence the least of them.
func (c *Conn) measureRecv(now clock.Time, echo uint32) {
	t := &c.tune
	if t.rtt == 0 && c.rtt.min > 0 {
		t.rtt, t.rttAt = c.rtt.min, now // of the handshake
	}
	switch {
	case c.ts.on:
		if echo == t.mark {
			return
		}
		t.mark = echo
		const tick = time.Duration(timestampTick)
		ticks := int32(c.ts.now(now) - echo)
		if d := time.Duration(ticks) * tick; ticks >= 0 && d <= maxRTT {
			t.noteRTT(now, d-tick+1, d+tick-1)
		}
	case !t.turnAt.IsSet():
		t.turnAt, t.mark = now, uint32(c.rcv.adv)
	case !c.rcv.nxt.Before(Seq(t.mark)):
		d := now.Sub(t.turnAt)
		t.noteRTT(now, d, d)
		t.turnAt, t.mark = now, uint32(c.rcv.adv)
	}
}

// noteRTT takes a measurement that lies somewhere from lo to hi.
func (t *bufferTune) noteRTT(now clock.Time, lo, hi time.Duration) {
	switch {
	case t.rtt == 0 || hi < t.rtt:
		t.rtt = max(hi, 1)
	case lo > t.rtt && now.Sub(t.rttAt) <= leastRTTFor:
		return // there was a queue
	case lo > t.rtt:
		t.rtt = lo
	}
	t.rttAt = now
}

// tuneSend has the send stream grow if it could not hold twice what the windows
// allow to be under way: half of it is what the user writes while the other half is
// not acknowledged yet. A user who leaves half of it empty needs no more. It is called
// when the congestion window may have moved.
func (c *Conn) tuneSend() {
	t := &c.tune
	if t.sendMost == 0 || c.snd.finQueued || c.rtt.min < tuneFloor || 2*c.Out.Len() < c.Out.Limit() {
		return
	}
	want := 2 * min(uint64(max(c.congestion.Window(), 0)), uint64(c.snd.wnd))
	if n, ok := c.grown(&c.Out, want, t.sendMost); ok {
		c.Out.SetLimit(n)
		c.events |= EventWritable
	}
}

// grown returns the limit of a stream that is to hold want bytes and may not hold
// more than most. It reports false if that is not more than it has, or if memory is
// short.
func (c *Conn) grown(s *stream.Stream, want uint64, most uint32) (int, bool) {
	want = min((want+stream.PageSize-1)&^(stream.PageSize-1), uint64(most))
	if want <= uint64(s.Limit()) {
		return 0, false
	}
	if c.pool.At(stream.HoldWindows) {
		c.pool.Note(stream.HoldWindows)
		return 0, false
	}
	return int(want), true
}
