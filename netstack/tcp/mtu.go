package tcp

// What segments the path takes. RFC 1191 and RFC 8201 have routers say so; RFC 4821 and
// RFC 8899 find it out by what arrives, where nobody says anything. Sizes here are
// bytes of IP payload: TCP header and data.
//
// A probe is a segment of new data that is larger than others. If it is lost and nothing
// else is, that tells of the path's limit and not of congestion. RFC 4821 4: losses have
// to be reported in time and accurately for that, as SACKs and RACK do.
//
// Invariants: c.mtu is at most search.limit. At most one record in flight is a probe's,
// or parts of one.

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/wire"
)

// MTUState is what path MTU discovery is at, after the phases of RFC 8899 5.2.
type MTUState uint8

// The states.
const (
	MTUComplete  MTUState = iota // nothing larger is to be had, as far as is known: "search complete"
	MTUSearching                 // larger segments are tried out: "search"
	MTUBase                      // large segments seemed to vanish; small ones are sent, larger ones tried: "base"
	MTUError                     // and not even those of usual size got through: "error"
)

var mtuStateNames = [...]string{"complete", "searching", "base", "error"}

// String returns the state's name, such as "searching".
func (s MTUState) String() string {
	if int(s) < len(mtuStateNames) {
		return mtuStateNames[s]
	}
	return "unknown"
}

const (
	// baseMTU4 and leastMTU6 are IP packets that get through nearly everywhere: RFC
	// 8899 5.1.2, BASE_PLPMTU, "1200 bytes", where RFC 4821 7.2 has a search_low of
	// 1024; RFC 8201 4: never less with IPv6.
	baseMTU4  = 1200
	leastMTU6 = 1280

	// raiseAfter is PMTU_RAISE_TIMER of RFC 8899 5.1.1. RFC 4821 7.3: the search
	// begins again later. There is no timer: it takes data to search with.
	raiseAfter = 10 * time.Minute

	// maxProbes is MAX_PROBES of RFC 8899 5.1.2: how often a size is tried before
	// the path is taken to be smaller. A probe counts as probeWeight if it
	// was lost alone, and as one if others were lost with it or it took a time-out
	// to find out: RFC 4821 7.6, that is inconclusive.
	maxProbes   = 3
	probeWeight = 4

	// probeFollow is how many segments are to follow a probe so that its loss is found
	// out by acknowledgments. RFC 4821 7.4: without detection it would be a time-out.
	probeFollow = 2

	// probePatience is for how long what was in use before a black hole waits for a
	// time without losses, and for a window with room for what has to follow. On a
	// path that loses much there may never be one.
	probePatience = time.Second

	// holeTimeouts is after how many time-outs in a row what arrives of smaller
	// segments has us believe that larger ones vanish: RFC 4821 7.7, repeated timeouts.
	// The first is enough where there is reason to suspect it, see suspects. There have
	// to be more by one for each time that this was a mistake, up to maxDoubts; and by
	// as much where the segments are small already and did arrive.
	holeTimeouts = 2
	maxDoubts    = 4

	// leastMTU4 is the least that is sent because nothing else gets through: the
	// smallest link of RFC 1191 7.1.
	leastMTU4 = 296

	// searchGap ends the search where the part of the size that may be gained is less:
	// RFC 4821 7.3, it has converged when the rest is not worth its cost.
	searchGap = 128
)

// mtuSearch is the state of the search. RFC 4821 7.1: it knows its lower and upper end, and
// the MTU in use, c.mtu; that is the lower end too.
type mtuSearch struct {
	next   clock.Time // since when a probe may go out; zero: there is nothing to find
	limit  uint16     // what the way to the next hop takes: MAX_PLPMTU
	high   uint16     // search_high: so much did not get through; zero: not known
	first  uint16     // what is tried before anything else; zero: nothing in particular
	size   uint16     // that is tried: PROBED_SIZE; zero: to be chosen
	tries  uint8      // lost probes of that size, weighted: PROBE_COUNT
	doubts uint8      // how often a black hole was none
	state  MTUState
	out    bool // a probe is in flight
	proved bool // a segment as large as c.mtu and the peer's MSS allow has arrived

	suspect bool // see suspects; as of the first time-out of the last row
}

// ipLen returns the length of the IP header, as far as it concerns sizes.
func (c *Conn) ipLen() int {
	if c.v6 {
		return wire.IPv6Len
	}
	return wire.IPv4Len
}

// SetMTU tells that the path is another one, whose first link takes mtu bytes of IP
// payload: what is known of the old one does not hold. What is out and too big is sent
// again in smaller pieces.
func (c *Conn) SetMTU(now clock.Time, mtu int) {
	if c.state == StateClosed || c.state == StateTimeWait {
		return
	}
	c.search = mtuSearch{limit: uint16(clampMTU(mtu)), out: c.search.out}
	c.resize(now, int(c.search.limit))
	c.check()
}

// LimitMTU tells that the path takes no more than mtu bytes of IP payload, by what a
// router says or by what is known of other connections; the first link may take more.
// More is tried again at until, zero: ten minutes from now. It has no effect if that
// is no news.
//
// RFC 8899 4.6.2: what a router refuses and is larger than what is in use was a probe,
// and the message tells what to try next. The caller has validated it, see InFlight.
// RFC 5927 7.2 has messages wait that say what segments of before that did arrive
// contradict: they have effect, and what was in use is tried at once, so that the
// effect of one that was forged ends.
func (c *Conn) LimitMTU(now clock.Time, mtu int, until clock.Time) {
	m := &c.search
	if c.state == StateClosed || c.state == StateTimeWait || mtu >= int(m.limit) {
		return
	}
	size, old := int(clampMTU(mtu)), int(c.mtu)
	switch {
	case size > old:
		if m.out && size < int(m.size) {
			m.high, m.first = uint16(size+1), uint16(size)
			m.size, m.tries = 0, 0
		}
		return
	case size == old && !m.out:
		return
	case !until.IsSet():
		until = now.Add(raiseAfter)
	}
	verify := m.proved && size < old && !c.cfg.NoMTUProbing
	m.high, m.first, m.size, m.tries = uint16(size+1), 0, 0, 0
	m.state, m.next = MTUComplete, until
	if verify {
		m.high, m.first, m.state, m.next = 0, uint16(old), MTUSearching, now
	}
	c.resize(now, size)
	c.check()
}

// resize has segments be of another size from now on. What is out and too big is sent
// again in smaller pieces, RFC 1191 6.5 and RFC 8201 5.4; RFC 4821 4: the window stays in
// bytes, as the loss does not tell of congestion.
func (c *Conn) resize(now clock.Time, mtu int) {
	old := c.snd.mss
	c.mtu = clampMTU(mtu)
	c.search.proved, c.search.suspect = false, false
	c.updateMSS()
	if !c.state.synchronized() || c.snd.mss == old {
		return
	}
	c.congestion.SetMSS(c.snd.mss)
	if c.snd.mss < old && c.flight() > c.snd.mss {
		lost := c.rate.lost
		c.markAllLost()
		c.rate.lost = lost // the controller does not hear of it
		c.search.tries = 0 // a probe among it was not refuted
		c.rtt.resent(c.snd.una)
		c.armRetransmit(now)
	}
}

// mostMTU returns the largest size that may be tried. RFC 4821 7.2: search_high is what
// the interface and the peer's MSS allow.
func (c *Conn) mostMTU() int { return min(int(c.search.limit), int(c.peerMSS)+wire.TCPLen) }

// notePassed looks whether an acknowledgment of something new shows that the path takes
// small segments only: they arrive, after full-sized ones were lost again and again. RFC
// 4821 7.7: the size falls back to one that gets through nearly everywhere, and further
// ones halve it. It is the caller's to look before the time-outs are forgotten.
//
// An outage looks the same. So the size that was in use is the first to be tried again.
func (c *Conn) notePassed(now clock.Time, a *arrival) {
	m := &c.search
	if int(c.retries) < c.holeTimeouts() || c.cfg.NoMTUProbing || a.original || !a.last ||
		c.recovery.phase != congestion.Timeout {
		return
	}
	size := c.smallerMTU()
	if size >= c.snd.mss+c.headerLen() || a.acked+c.flight() <= size-c.headerLen() {
		return // nothing larger was out
	}
	// More than that may be a large one that was late.
	sure := m.suspect && !m.proved && a.acked < c.snd.mss
	if !sure && int(c.retries) < holeTimeouts {
		return
	}
	m.first = max(uint16(c.mtu), m.first)
	if int(m.high) <= int(m.first) {
		m.high = 0 // what it had been found out for is another path
	}
	m.state = MTUBase
	if int(c.mtu) <= c.baseMTU() {
		m.state = MTUError
	}
	m.size, m.tries, m.next, m.proved, m.suspect = 0, 0, now, false, false
	c.stats.blackHoles++
	if v := &c.recovery; sure && !v.marked {
		// Large segments never arrived, and a small one does: nothing speaks for
		// congestion, as if a router had said so. RFC 4821 4 would have the window
		// stay small, as after any time-out; see DESIGN.md.
		v.reduced, v.resend, v.frto, v.phase = false, false, frtoOff, congestion.Open
		c.rate.lost = 0
		c.forgetReduction()
		c.control(now).OnUndo(now)
	}
	c.mtu = clampMTU(size)
	c.updateMSS()
	c.congestion.SetMSS(c.snd.mss)
}

// holeTimeouts returns how many time-outs in a row speak for a black hole.
func (c *Conn) holeTimeouts() int {
	n := holeTimeouts + int(c.search.doubts)
	if c.search.suspect && !c.search.proved {
		n--
	}
	if c.search.proved && int(c.mtu) <= c.baseMTU() {
		n += maxDoubts
	}
	return n
}

// suspects reports, at the first time-out of a row, whether there is reason to suspect a
// black hole where no large segment has ever arrived: all that is out is large, and a tail
// loss probe was lost as well; or small ones did arrive, and what was sent again in the
// recovery that this brought about was lost.
func (c *Conn) suspects() bool {
	s, k, r := &c.snd, &c.rack, &c.board.records
	if c.cfg.NoMTUProbing || s.mss+c.headerLen() <= c.baseMTU() || r.len() == 0 || r.at(0).len() < s.mss {
		return false
	}
	probed := k.probeOut && k.probeEnd.After(s.una) && !s.small.After(s.una)
	repaired := c.board.sacked > 0 && c.recovery.phase == congestion.Recovery
	return probed || repaired
}

// proves takes note that n bytes from the beginning of a record have arrived. Segments
// arrive whole or not at all: that is its first one. But what was sent again may have gone
// in pieces, and does so after time-outs.
func (c *Conn) proves(rec *record, n int) {
	if !rec.has(recordRepeats) {
		n = rec.len()
	}
	if n >= c.snd.mss && !(c.retries > 0 && rec.has(recordRepeats)) {
		c.search.proved = true
	}
}

// baseMTU returns the size that gets through nearly everywhere.
func (c *Conn) baseMTU() int {
	if c.v6 {
		return leastMTU6 - wire.IPv6Len
	}
	return baseMTU4 - wire.IPv4Len
}

// smallerMTU returns what to fall back to. RFC 4821 7.7: further ones halve it, successively.
func (c *Conn) smallerMTU() int {
	base := c.baseMTU()
	if int(c.mtu) > base {
		return base
	}
	if c.v6 {
		return int(c.mtu)
	}
	return max(int(c.mtu)/2, min(int(c.mtu), leastMTU4-wire.IPv4Len))
}

// sizes of IP packets that links are known for: IPv4 of old, tunnels of many kinds,
// Ethernet, and what carries larger frames.
func plausibleMTUs() [14]int {
	return [...]int{576, 1006, 1280, 1360, 1380, 1400, 1420, 1440, 1460, 1480, 1492, 1500, 4352, 9000}
}

// nextMTU chooses what to try: zero if there is nothing left. RFC 4821 7.3 leaves the
// strategy open: first what has worked or may work best, then the known size next to
// the middle.
func (c *Conn) nextMTU() int {
	m := &c.search
	low, high, most := int(c.mtu), int(m.high), c.mostMTU()
	if high == 0 || high > most {
		high = most + 1
	}
	switch first := int(m.first); {
	case first > low && first < high:
		return first
	case high-low <= 1:
		return 0
	case high > most:
		return most
	case high-low <= max(low/searchGap, 1):
		return 0
	}
	middle := (low + high) / 2
	best := middle
	for _, mtu := range plausibleMTUs() {
		size := mtu - c.ipLen()
		if size > low && size < high && (best == middle || abs(size-middle) <= abs(best-middle)) {
			best = size
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// chooseProbe sets what is tried next, or ends the search. RFC 4821 4: hosts should use the
// largest that the path supports. RFC 4821 4: the rate at which probes may be lost without
// a reduction is limited, as a search has few sizes and tries and then rests for raiseAfter.
func (c *Conn) chooseProbe(now clock.Time) {
	m := &c.search
	m.tries = 0
	m.size = uint16(c.nextMTU())
	if m.size != 0 {
		m.state = max(m.state, MTUSearching)
		return
	}
	m.state, m.first, m.next = MTUComplete, 0, 0
	if int(c.mtu) < c.mostMTU() {
		m.next = now.Add(raiseAfter)
	}
	c.events |= EventPathMTU
}

// sendSizeProbe sends a probe, if the time has come and there is enough to send. With
// hold the next segment is to wait for that. RFC 4821 7.4: no probe and no loss is outstanding, the
// window exceeds the probe, and there is enough data for it and for what has to
// follow; other segments may wait, here for room in the window.
func (c *Conn) sendSizeProbe(now clock.Time, b []byte, unsent, flight int) (seg Segment, ok, hold bool) {
	m, s := &c.search, &c.snd
	impatient := m.state >= MTUBase && now.Sub(m.next) >= probePatience
	if m.out || (c.recovery.phase != congestion.Open || c.board.lost > 0) && !impatient || c.cork.on || c.ecn.cwr {
		return Segment{}, false, false
	}
	if c.cfg.NoMTUProbing {
		// RFC 1191 6.3: what was learnt is forgotten after a time, and routers are
		// asked again.
		m.next, m.high = 0, 0
		c.resize(now, int(m.limit))
		seg, ok = c.sendData(now, b) // of another size than the one that was to go out
		return seg, ok, true
	}
	if m.state == MTUComplete {
		m.high, m.size = 0, 0 // what did not get through then may do now
	}
	if m.tries >= maxProbes*probeWeight {
		// RFC 4821 7.6: a probe that fails lowers the upper end, search_high.
		m.high = m.size
		m.size = 0
		if m.first >= m.high {
			m.first, m.doubts = 0, 0
		}
	}
	if m.size == 0 {
		c.chooseProbe(now)
	}
	n := int(m.size) - c.headerLen()
	if m.size == 0 || n <= s.mss || n > len(b)-c.headerLen() {
		if m.size != 0 {
			m.next = now.Add(raiseAfter) // the buffer or the options leave no room
		}
		return Segment{}, false, false
	}
	all := n + probeFollow*s.mss
	window, pipe := c.congestion.Window(), c.inFlight()
	offered := int(s.wnd) - flight
	if impatient {
		all, window, offered = n, max(window, n), max(offered, min(n, int(s.maxWnd)))
	}
	if unsent < all || offered < all || window < all {
		return Segment{}, false, false
	}
	if min(window-pipe, int(s.wnd)-flight) < n {
		return Segment{}, false, pipe > 0
	}
	seq := s.nxt
	if c.timers[timerPace].IsSet() || !c.recordAs(now, n, recordProbe) {
		return Segment{}, false, false
	}
	m.out, m.next = true, now
	c.stats.mtuProbes++
	seg = c.sendNew(now, b, seq, n, false)
	c.stats.segmentsSent -= uint64(c.pieces(n) - 1)
	seg.SegmentSize = 0 // it is one segment
	return seg, true, false
}

// probeArrived is RFC 4821 7.6: a probe that arrived raises the lower end and the MTU in
// use. RFC 4821 4: a raised MTU does not have the window grow in bytes.
func (c *Conn) probeArrived(now clock.Time) {
	m := &c.search
	if !m.out {
		return
	}
	m.out = false
	if m.size == 0 || int(m.size) <= int(c.mtu) || int(m.size) > c.mostMTU() {
		return // what was to be found has changed meanwhile
	}
	if m.state > MTUSearching && m.size == m.first {
		m.doubts = min(m.doubts+1, maxDoubts)
	}
	m.state = MTUSearching
	c.resize(now, int(m.size))
	m.proved = true
	c.chooseProbe(now)
}

// probeMissed takes note of a probe that is lost.
func (c *Conn) probeMissed() {
	m := &c.search
	if m.out {
		m.out = false
		m.tries++
	}
}

// probeRefused takes note of a lost probe beside which nothing else is lost.
func (c *Conn) probeRefused() { c.search.tries += probeWeight - 1 }
