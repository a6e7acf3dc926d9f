package core

import (
	"net/netip"

	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// Stats are counters since the start, and a few present values.
type Stats struct {
	FramesIn, FramesOut, BytesIn, BytesOut uint64

	// Drops counts packets that went no further, by reason, in both
	// directions.
	Drops [wire.NumDrops]uint64

	IPv4In, IPv4Out uint64 // whole packets, taken and sent
	IPv6In, IPv6Out uint64

	ARPIn, ARPOut uint64
	NDPIn, NDPOut uint64 // neighbour solicitations and advertisements

	ICMPIn, ICMPOut             uint64 // messages of both versions, NDP included
	ICMPErrorsIn, ICMPErrorsOut uint64
	EchoRequestsIn              uint64
	EchoRepliesOut              uint64

	TCPIn, TCPOut           uint64 // segments (a super-frame is one)
	TCPActiveOpens          uint64
	TCPPassiveOpens         uint64 // SYNs that made a connection
	TCPEstablished          uint64
	TCPFailed               uint64 // connections that ended with an error
	TCPResetsIn             uint64 // segments with RST
	TCPResetsOut            uint64
	TCPCookiesSent          uint64 // SYN-ACKs of a full SYN queue (RFC 4987 3.6)
	TCPCookiesAccepted      uint64 // acknowledgments of those, each of which made a connection
	TCPCookiesFailed        uint64 // and what might have been one, but was none, or too late
	TCPFastOpenSent         uint64 // SYNs with text, of connections that are past them (RFC 7413)
	TCPFastOpenTaken        uint64 // of which the peer took it
	TCPFastOpenAccepted     uint64 // connections accepted with text from a SYN
	TCPFastOpenRefused      uint64 // SYNs with a cookie that is not good
	TCPFastOpenOverflow     uint64 // SYNs whose text was not taken because of Limits.FastOpenPending
	TCPChallengeAcks        uint64 // acknowledgments of what may be an attack (RFC 5961)
	TCPChallengeAcksDenied  uint64 // that were not sent because of Limits.ChallengeRate
	TCPTimeWaitReused       uint64 // records that a dial has taken the place of (RFC 6191)
	TCPTimeWaitEvicted      uint64 // records that made room for others, or found no memory
	UDPIn, UDPOut           uint64 // datagrams
	PingIn, PingOut         uint64 // of echo sockets
	Resolved, NotResolved   uint64 // neighbours that answered, that did not
	NeighborsEvicted        uint64
	NeighborPacketsOverflow uint64 // waiting packets dropped because of a bound

	// TCPEnded is what the connections that are over have counted. Those that are
	// open are not in it: Sockets has what each of them has counted so far.
	TCPEnded tcp.Totals

	// What the memory budget has denied: see Limits.Memory for when.
	WindowsHeld       uint64 // segments whose window was not made larger than ever before
	WindowsShrunk     uint64 // segments whose window was kept small; pages for data beyond a gap
	OpensNoMemory     uint64 // SYNs, dials, listeners, datagram sockets
	WritesNoMemory    uint64 // pages for what users write: the writer waits
	DatagramsNoMemory uint64 // datagrams, received or written

	// Present values.
	Memory      int64 // bytes in use of the budget
	Connections int
	HalfOpen    int
	TimeWait    int
	Listeners   int
	UDPSockets  int
	PingSockets int
	Neighbors   int
}

// Stats returns the counters.
func (c *Core) Stats() Stats {
	st := c.stats
	st.WindowsHeld = c.pool.Noted(stream.HoldWindows)
	st.WindowsShrunk = c.pool.Noted(stream.ShrinkWindows)
	st.OpensNoMemory = c.pool.Noted(stream.RefuseOpens)
	st.WritesNoMemory = c.pool.Noted(stream.HoldWrites)
	st.DatagramsNoMemory = c.pool.Noted(stream.DropDatagrams)
	st.TCPChallengeAcks, st.TCPChallengeAcksDenied = c.challenges.Sent, c.challenges.Denied
	st.Memory = c.pool.InUse()
	st.Connections = c.tcp.conns.len()
	st.HalfOpen = c.tcp.syns.halfOpen
	st.TimeWait = c.timeWait.records.len()
	st.Listeners = c.tcp.listening
	st.UDPSockets = c.udp.open
	st.PingSockets = len(c.pings)
	for _, ifc := range c.ifcs {
		if ifc.neigh == nil {
			continue
		}
		n := ifc.neigh.Stats()
		st.Neighbors += ifc.neigh.Len()
		st.Resolved += n.Resolved
		st.NotResolved += n.Failed
		st.NeighborsEvicted += n.Evicted
		st.NeighborPacketsOverflow += n.Overflowed
	}
	return st
}

// drop counts a packet that went no further.
func (c *Core) drop(d wire.Drop) {
	if d != wire.DropNone {
		c.stats.Drops[d]++
	}
}

// SocketInfo describes one socket.
type SocketInfo struct {
	Protocol      wire.Protocol
	Local, Remote netip.AddrPort // of an echo socket: the port is the identifier
	State         string
	TCP           tcp.Info // zero for others than TCP connections
}

// Sockets calls yield with every socket, TIME-WAIT records and listeners
// included, in no particular order, until it returns false. The core must not
// be changed meanwhile.
func (c *Core) Sockets(yield func(SocketInfo) bool) {
	for s := range c.tcp.conns.all() {
		id := s.conn.ID()
		info := s.conn.Info()
		if !yield(SocketInfo{wire.ProtoTCP, id.Local, id.Remote, info.State.String(), info}) {
			return
		}
	}
	for w := range c.timeWait.records.all() {
		id := w.rec.ID()
		if !yield(SocketInfo{Protocol: wire.ProtoTCP, Local: id.Local, Remote: id.Remote, State: tcp.StateTimeWait.String()}) {
			return
		}
	}
	for _, ls := range c.tcp.listeners {
		for _, l := range ls {
			if !yield(SocketInfo{Protocol: wire.ProtoTCP, Local: l.Addr(), State: tcp.StateListen.String()}) {
				return
			}
		}
	}
	for _, p := range c.udp.ports {
		for _, s := range p.all {
			if !yield(SocketInfo{Protocol: wire.ProtoUDP, Local: s.LocalAddr(), Remote: s.remote, State: s.state()}) {
				return
			}
		}
	}
	for k, s := range c.pings {
		local := netip.AddrPortFrom(s.local, k.id)
		if !yield(SocketInfo{Protocol: k.proto, Local: local, Remote: s.remote, State: s.state()}) {
			return
		}
	}
}
