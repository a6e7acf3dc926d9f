package core

// TCP Fast Open, RFC 7413: what a server has to limit, and what a client remembers
// of servers.
//
// Invariants: the servers that are remembered are at most maxFastServers, in a list
// from the one that was used last to the one that was not for longest; those who
// opened with text and have not shown their face are at most Limits.FastOpenPending.

import (
	"net/netip"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

const (
	// maxFastServers is how many servers a client remembers: RFC 7413 4.1.3, it has to
	// cache their cookies.
	maxFastServers = 1024

	// A server with which Fast Open has failed is left alone with it for
	// fastPenalty, and twice as long each further time in a row: RFC 7413 4.1.3.1.
	fastPenalty    = time.Minute
	maxFastPenalty = 6 * time.Hour

	// fastHold is how long the place of an opening with text stays taken that ended
	// before its handshake was over. RFC 7413 5.1: or who answers SYN-ACKs to forged
	// addresses with resets (or forges those too, or sends what our user hangs up on)
	// has places without end.
	fastHold = time.Minute
)

// A fastPath is what Fast Open works on or not. RFC 7413 4.1.3.1: it is to be off for
// "the source and destination IP addresses and ports", ours being always another.
// RFC 7413 4.1.3: there is one cookie for a pair of addresses, the most recent.
type fastPath struct {
	local  netip.Addr
	remote netip.AddrPort
}

// A fastServer is what is remembered of a path.
type fastServer struct {
	path        fastPath
	know        tcp.FastOpen
	failures    uint8      // in a row
	avoid       clock.Time // until then; zero: not
	older, next *fastServer
}

// fastOpens is the state of Fast Open in a core.
type fastOpens struct {
	keys *tcp.FastKeys

	// The client's.
	servers map[fastPath]*fastServer
	newest  *fastServer
	oldest  *fastServer

	// The server's.
	pending int          // connections that were accepted with text, before the handshake is over
	held    []clock.Time // when places that the end of a connection has left are free, the first first
}

// find returns what is remembered of a path, nil: nothing. It becomes the newest.
func (f *fastOpens) find(p fastPath) *fastServer {
	v := f.servers[p]
	if v != nil {
		f.unlink(v)
		f.link(v)
	}
	return v
}

// add remembers a path that is not. The one that was not used for longest may have to
// make room.
func (f *fastOpens) add(p fastPath) *fastServer {
	if f.servers == nil {
		f.servers = make(map[fastPath]*fastServer)
	}
	if len(f.servers) >= maxFastServers {
		old := f.oldest
		f.unlink(old)
		delete(f.servers, old.path)
	}
	v := &fastServer{path: p}
	f.servers[p] = v
	f.link(v)
	return v
}

// link puts v before all others.
func (f *fastOpens) link(v *fastServer) {
	v.older, v.next = f.newest, nil
	if f.newest != nil {
		f.newest.next = v
	} else {
		f.oldest = v
	}
	f.newest = v
}

func (f *fastOpens) unlink(v *fastServer) {
	if v.next != nil {
		v.next.older = v.older
	} else {
		f.newest = v.older
	}
	if v.older != nil {
		v.older.next = v.next
	} else {
		f.oldest = v.next
	}
}

// lookup returns what to open with. False: with a usual SYN.
func (f *fastOpens) lookup(now clock.Time, p fastPath) (tcp.FastOpen, bool) {
	v := f.find(p)
	if v == nil {
		return tcp.FastOpen{}, true
	}
	if v.avoid.IsSet() && now < v.avoid {
		return tcp.FastOpen{}, false
	}
	return v.know, true
}

// learn remembers what came of an opening.
func (f *fastOpens) learn(now clock.Time, p fastPath, r *tcp.FastResult, failed bool) {
	v := f.find(p)
	if v == nil {
		v = f.add(p)
	}
	if r.Cookie.Len > 0 {
		// RFC 7413 4.2.2: a cookie in the SYN-ACK is newer than ours. RFC 7413 4.1.3:
		// the MSS is kept with it.
		v.know = r.FastOpen
	}
	// RFC 7413 4.1.3.1: no answer, an error, or one that neither takes the text nor
	// says why not, by another cookie. Who gives no cookie is not asked all the time.
	asked := v.know.Cookie.Len == 0
	if failed || r.Lost || r.Cookie.Len == 0 && (asked || r.Sent > 0 && r.Acked == 0) {
		v.avoid = now.Add(min(fastPenalty<<min(v.failures, 16), maxFastPenalty))
		v.failures = min(v.failures+1, 16)
		return
	}
	v.avoid, v.failures = 0, 0
	if r.MSS > 0 {
		v.know.MSS = r.MSS
	}
}

// room reports whether there is a place for another opening with text.
func (f *fastOpens) room(now clock.Time, limit int) bool {
	n := 0
	for n < len(f.held) && f.held[n] <= now {
		n++
	}
	f.held = f.held[:copy(f.held, f.held[n:])]
	return f.pending+len(f.held) < limit
}

// dialFast begins an active open with Fast Open, or leaves it to the first Write if
// there is a cookie.
func (s *TCP) dialFast(now clock.Time) {
	fo, ok := s.core.fast.lookup(now, s.fastPath())
	if ok && fo.Cookie.Len > 0 {
		s.status.Store(statusDeferred)
		return
	}
	s.fast = ok
	s.begin(now)
}

func (s *TCP) fastPath() fastPath {
	id := s.conn.ID()
	return fastPath{id.Local.Addr(), id.Remote}
}

// beginDeferred sends the SYN that has waited for the user. The way there may be
// another one by now, or none.
func (s *TCP) beginDeferred(now clock.Time) {
	s.status.Store(s.status.Load() &^ statusDeferred)
	if s.path.gen != s.core.gen {
		s.reroute(now)
	}
	s.fast = true
	s.begin(now)
}

// begin sends the SYN of a socket that was dialed.
func (s *TCP) begin(now clock.Time) {
	c, id := s.core, s.conn.ID()
	iss, mtu := c.isn.Next(now, id), int(s.path.mtu)-int(s.ipLen)
	k := keyOfPorts(id.Local, id.Remote)
	if old := c.timeWait.records.find(&k); old != nil {
		iss = old.rec.NextISS(iss)
		defer s.conn.Succeed(&old.rec)
		c.timeWait.forget(old)
		c.stats.TCPTimeWaitReused++
	}
	if s.fast {
		// If it has failed with others since the user dialed, a cookie is asked for:
		// what was written must not be forgotten, as Conn.Connect has Close do.
		fo, _ := c.fast.lookup(now, s.fastPath())
		s.conn.ConnectFast(now, iss, mtu, fo)
	} else {
		s.conn.Connect(now, iss, mtu)
	}
	s.recallMTU(now)
}

// awaited reports whether the SYN of a socket waits for what its user has asked for
// now.
func (s *TCP) awaited(fresh intent) bool {
	return s.status.Load()&statusDeferred != 0 && s.attached && (fresh != 0 || s.conn.Out.Len() > 0)
}

// settleFast looks what events mean to Fast Open.
func (s *TCP) settleFast(now clock.Time, ev tcp.Events) {
	switch {
	case s.dialed:
		s.learnFast(now, ev&tcp.EventConnected != 0)
	case ev&(tcp.EventHandshake|tcp.EventClosed|tcp.EventTimeWait) != 0:
		s.leaveFast(now, ev&tcp.EventHandshake != 0)
	}
}

// learnFast remembers what has come of an active open with Fast Open.
func (s *TCP) learnFast(now clock.Time, connected bool) {
	r, ok := s.conn.FastResult()
	if !ok {
		return
	}
	s.fast = false
	e := s.conn.Err()
	if !connected && (e == errno.OK || e == errno.ConnAborted || s.failed != errno.OK) {
		return // our own doing, or finding: nothing to do with Fast Open
	}
	st := &s.core.stats
	if r.Sent > 0 {
		st.TCPFastOpenSent++
		if r.Acked > 0 {
			st.TCPFastOpenTaken++
		}
	}
	if connected || e != errno.ConnRefused {
		s.core.fast.learn(now, s.fastPath(), &r, !connected)
	}
}

// acceptFast is Listener.receive for a SYN with the option of Fast Open. Unless its text
// is taken it is one like others, but for the cookie that the SYN-ACK brings.
func (l *Listener) acceptFast(now clock.Time, s *TCP, iss tcp.Seq, in *inbound, h *wire.TCP, payload []byte) {
	c := l.core
	// RFC 7413 4.2.2: with an invalid cookie only the SYN is acknowledged. RFC 7413
	// 4.2.2: with a valid one its text is accepted.
	good, fresh := c.fast.keys.Check(now, in.dst, in.src, &h.Options)
	taken := false
	switch {
	case !good:
		if h.Options.FastOpenLen > 0 {
			c.stats.TCPFastOpenRefused++
		}
	case len(payload) == 0:
	case !c.fast.room(now, c.cfg.Limits.FastOpenPending):
		// RFC 7413 4.2: with too many pending, Fast Open is off for further ones.
		c.stats.TCPFastOpenOverflow++
	default:
		s.conn.AcceptFast(now, iss, int(s.path.mtu)-int(s.ipLen), h, payload)
		s.fast = true
		c.fast.pending++
		c.stats.TCPFastOpenAccepted++
		taken = true
	}
	if !taken {
		s.conn.Accept(now, iss, int(s.path.mtu)-int(s.ipLen), h)
	}
	if !fresh {
		s.conn.OfferFast(c.fast.keys.Make(now, in.dst, in.src))
	}
}

// leaveFast gives back the place of an opening with text: at once if the peer has shown
// its face, else later.
func (s *TCP) leaveFast(now clock.Time, shown bool) {
	f := &s.core.fast
	s.fast = false
	f.pending--
	if !shown {
		f.held = append(f.held, now.Add(fastHold))
	}
}
