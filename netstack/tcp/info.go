package tcp

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
)

// Info is what a connection knows of itself.
type Info struct {
	State State

	// Round trips. Zero before the first measurement.
	RTT, RTTVar time.Duration // smoothed, and its variation: RFC 6298
	MinRTT      time.Duration // of the last five minutes
	RTO         time.Duration // with its present back-off
	Backoff     int           // how often the RTO was doubled

	// Congestion control. Zero before the handshake is over, but for the name.
	CongestionControl  string           // name of the controller, such as "cubic"
	CongestionMode     string           // what it is at, such as "slow start"
	Phase              congestion.Phase // of loss recovery
	CongestionWindow   int              // bytes
	SlowStartThreshold int              // bytes; very large while there is none
	PacingRate         int64            // bytes per second; zero: not paced

	// Segments and paths.
	SendMSS, RecvMSS int // payload bytes: of our segments, and what we announced
	PathMTU          int // bytes of IP payload that the path takes, as far as is known
	PathMTUState     MTUState
	PathMTULimit     int // bytes of IP payload that its first link takes

	// Windows and queues, bytes.
	SendWindow, RecvWindow int // peer's offer, our offer
	SendQueue, RecvQueue   int // in Out, not acknowledged yet; in In, not read yet
	SendBuffer, RecvBuffer int // the most that Out and In hold at present
	Timestamps             bool
	WindowScaling          bool
	SelectiveAck           bool
	ECN                    bool // both sides agreed on explicit congestion notification, RFC 3168
	SendScale, RecvScale   uint8

	// What is out, bytes of sequence space.
	Outstanding int // sent and not acknowledged cumulatively
	InFlight    int // and presumed to be in the network
	Sacked      int // and acknowledged selectively
	Lost        int // and taken for lost, sent again or not

	// Reordering was seen on the path; its window of tolerance, RFC 8985 6.2.
	Reordering       bool
	ReorderingWindow time.Duration

	// Delivery.
	Delivered    uint64 // bytes of sequence space that have arrived at the peer
	DeliveryRate int64  // of the last measurement, bytes per second
	AppLimited   bool   // the application is what holds the connection back

	// Counters.
	BytesSent, BytesAcked, BytesReceived uint64 // payload; BytesSent counts retransmissions too
	SegmentsSent, SegmentsReceived       uint64
	Retransmits                          uint64 // segments
	SpuriousRecoveries                   uint64 // reductions that were taken back, RFC 4015
	DuplicatesReported                   uint64 // by the peer's duplicate SACKs, RFC 2883
	Timeouts                             uint64
	TailProbes                           uint64 // RFC 8985 7
	FastRecoveries                       uint64
	Reordered                            uint64 // segments of ours that arrived late
	OutOfOrder                           uint64 // segments of the peer's
	Twice                                uint64 // and that had arrived before, all or part; counted with SelectiveAck
	Reneged                              uint64 // times that what we had acknowledged selectively was dropped, RFC 2018 8
	DuplicateAcks                        uint64
	PathMTUProbes                        uint64 // larger segments that were tried out, RFC 4821
	BlackHoles                           uint64 // times that large segments seemed to vanish
	MarksReceived                        uint64 // the peer's segments that came with a mark of congestion, RFC 3168
	MarksEchoed                          uint64 // acknowledgments in which the peer told of marks
	MarkReductions                       uint64 // reductions of the window that came of them

	// On the stack's clock; zero: never.
	Established            clock.Time // the end of the handshake
	LastSent, LastReceived clock.Time // data of ours; a segment of the peer's
}

// counters are the ones of Info.
type counters struct {
	bytesSent, bytesAcked, bytesReceived uint64
	segmentsSent, segmentsReceived       uint64
	retransmits, outOfOrder              uint64
	duplicateAcks                        uint64
	timeouts, fastRecoveries             uint32 // each takes a round trip at least
	spurious, tailProbes                 uint32
	duplicates, reordered                uint32
	marks, echoes                        uint64
	markReductions                       uint32
	mtuProbes, blackHoles                uint32
}

// Info returns a snapshot.
func (c *Conn) Info() Info {
	n, b := &c.stats, &c.board
	k := c.congestion.Controller
	if k == nil {
		k = newController(nil)
		k.Start(c.opened, congestion.Start{MSS: c.snd.mss, RTT: c.rtt.srtt})
	}
	i := Info{
		State: c.state,
		RTT:   c.rtt.srtt, RTTVar: c.rtt.rttvar, MinRTT: c.rtt.min,
		RTO: c.rtt.current(c.cfg.rtoBounds()), Backoff: int(c.rtt.backoff),
		CongestionControl: k.Name(), Phase: c.recovery.phase,
		SendMSS: c.snd.mss, RecvMSS: int(c.rcv.mss), PathMTU: int(c.mtu),
		PathMTUState: c.search.state, PathMTULimit: int(c.search.limit),
		SendWindow: int(c.snd.wnd), RecvWindow: c.rcv.adv.Sub(c.rcv.nxt),
		SendQueue: c.Out.Len(), RecvQueue: c.In.Len(), SendBuffer: c.Out.Limit(), RecvBuffer: c.In.Limit(),
		Timestamps: c.ts.on, WindowScaling: c.ts.scaling, SelectiveAck: c.sackOn, ECN: c.ecnOn(),
		SendScale: c.snd.scale, RecvScale: c.rcv.scale,
		Outstanding: c.flight(), InFlight: c.inFlight(), Sacked: int(b.sacked), Lost: int(b.lost),
		Reordering: c.rack.reordering, ReorderingWindow: c.reorderWindow(),
		Delivered: c.rate.delivered, DeliveryRate: c.rate.rate, AppLimited: c.rate.limitedTo != 0,
		BytesSent: n.bytesSent, BytesAcked: n.bytesAcked, BytesReceived: n.bytesReceived,
		SegmentsSent: n.segmentsSent, SegmentsReceived: n.segmentsReceived,
		Retransmits: n.retransmits, SpuriousRecoveries: uint64(n.spurious), DuplicatesReported: uint64(n.duplicates),
		Timeouts: uint64(n.timeouts), TailProbes: uint64(n.tailProbes), FastRecoveries: uint64(n.fastRecoveries),
		Reordered: uint64(n.reordered), OutOfOrder: n.outOfOrder,
		Twice: uint64(c.rcv.sack.duplicates), Reneged: uint64(c.rcv.sack.reneged), DuplicateAcks: n.duplicateAcks,
		PathMTUProbes: uint64(n.mtuProbes), BlackHoles: uint64(n.blackHoles),
		MarksReceived: n.marks, MarksEchoed: n.echoes, MarkReductions: uint64(n.markReductions),
		Established: c.opened, LastSent: c.lastSent, LastReceived: c.lastReceived,
	}
	if c.opened.IsSet() {
		i.CongestionMode, i.CongestionWindow = k.Mode(), k.Window()
		i.SlowStartThreshold, i.PacingRate = k.SlowStartThreshold(), k.PacingRate()
	}
	return i
}

// Totals are counters of [Info] that can be added up over connections.
type Totals struct {
	BytesSent, BytesReceived uint64 // payload; BytesSent counts retransmissions too
	Retransmits              uint64 // segments
	Timeouts                 uint64 // of the retransmission timer, RFC 6298
	TailProbes               uint64 // RFC 8985 7
	FastRecoveries           uint64
	SpuriousRecoveries       uint64 // reductions that were taken back, RFC 4015
	DuplicatesReported       uint64 // by peers' duplicate SACKs, RFC 2883: retransmissions in vain
	Reordered                uint64 // segments of ours that arrived late
	OutOfOrder               uint64 // segments of peers
	Twice                    uint64 // and that had arrived before, all or part
	Reneged                  uint64 // times that what we had acknowledged selectively was dropped, RFC 2018 8
	PathMTUProbes            uint64 // segments that tried what the path takes, RFC 8899
	BlackHoles               uint64 // times that large segments were found to vanish, RFC 4821 7.7
	MarksReceived            uint64 // segments of peers with a mark of congestion, RFC 3168
	MarksEchoed              uint64 // acknowledgments in which peers told of marks
	MarkReductions           uint64 // reductions of the window that came of them
}

// AddTo adds the connection's counters to t.
func (c *Conn) AddTo(t *Totals) {
	n := &c.stats
	t.BytesSent += n.bytesSent
	t.BytesReceived += n.bytesReceived
	t.Retransmits += n.retransmits
	t.Timeouts += uint64(n.timeouts)
	t.TailProbes += uint64(n.tailProbes)
	t.FastRecoveries += uint64(n.fastRecoveries)
	t.SpuriousRecoveries += uint64(n.spurious)
	t.DuplicatesReported += uint64(n.duplicates)
	t.Reordered += uint64(n.reordered)
	t.OutOfOrder += n.outOfOrder
	t.Twice += uint64(c.rcv.sack.duplicates)
	t.Reneged += uint64(c.rcv.sack.reneged)
	t.PathMTUProbes += uint64(n.mtuProbes)
	t.BlackHoles += uint64(n.blackHoles)
	t.MarksReceived += n.marks
	t.MarksEchoed += n.echoes
	t.MarkReductions += uint64(n.markReductions)
}
