package conn

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
)

// A TCPInfo is what a connection knows of itself at one moment. Sizes are in bytes.
// Counters begin with the connection; a segment that the device cuts counts as all of
// its pieces.
type TCPInfo struct {
	State tcp.State // such as "ESTABLISHED"; String returns it

	// When the handshake was over, data last went out, and something of the peer's
	// last came in. Zero: never.
	Established, LastSent, LastReceived time.Time

	// Round-trip times. Zero before the first measurement.
	RTT    time.Duration // smoothed, RFC 6298
	RTTVar time.Duration // its variation
	MinRTT time.Duration // the least one of the last five minutes

	RTO     time.Duration // when what is out is sent again, if nothing comes back; with Backoff
	Backoff int           // how often the RTO was doubled since the last measurement

	// Congestion control.
	CongestionControl  string           // name of the controller, such as "cubic"
	CongestionMode     string           // what it is at, such as "slow start"
	Phase              congestion.Phase // of loss recovery, such as "open"
	CongestionWindow   int              // zero before the handshake is over
	SlowStartThreshold int              // zero: there is none yet, or the controller knows none
	PacingRate         int64            // bytes per second; zero: not paced

	// Segments and the path.
	SendMSS int // the largest payload of our segments
	RecvMSS int // and of the peer's, as we announced it

	PathMTU      int          // the largest IP packet that gets there, as far as is known
	PathMTULimit int          // and the largest that the first link takes
	PathMTUState tcp.MTUState // what the search for it is at (RFC 8899), such as "complete"

	// Windows, and what waits in buffers.
	SendWindow int // what the peer offers to receive
	RecvWindow int // what we have offered
	SendQueue  int // written and not acknowledged
	SendBuffer int // the most that SendQueue may be at present
	RecvQueue  int // received and not read
	RecvBuffer int // the most that RecvQueue may be at present

	// What both sides have agreed on.
	Timestamps    bool  // RFC 7323
	WindowScaling bool  // RFC 7323
	SendScale     uint8 // shift of the peer's windows
	RecvScale     uint8 // shift of ours
	SelectiveAck  bool  // RFC 2018
	ECN           bool  // RFC 3168

	// What is out.
	Outstanding int // sent and not acknowledged, but perhaps selectively
	InFlight    int // of that, presumed to be in the network
	Sacked      int // of that, acknowledged selectively
	Lost        int // of that, taken for lost, sent again or not

	// Reordering was seen on the path, and is tolerated for ReorderingWindow (RFC
	// 8985 6.2).
	Reordering       bool
	ReorderingWindow time.Duration

	// What arrives at the peer.
	Delivered    uint64 // so far, FIN included
	DeliveryRate int64  // of the last measurement, bytes per second
	AppLimited   bool   // there was less to write than might have been sent, so that DeliveryRate is a lower bound

	// Counters.
	BytesSent          uint64 // payload, retransmissions included
	BytesAcked         uint64 // payload
	BytesReceived      uint64 // payload, in order
	SegmentsSent       uint64
	SegmentsReceived   uint64
	Retransmits        uint64 // segments
	DuplicatesReported uint64 // spurious retransmissions: the peer had them already, and says so (RFC 2883)
	SpuriousRecoveries uint64 // reductions of the window that were mistakes, and taken back (RFC 4015)
	Timeouts           uint64 // of the retransmission timer
	TailProbes         uint64 // RFC 8985 7
	FastRecoveries     uint64
	DuplicateAcks      uint64 // RFC 5681 2
	Reordered          uint64 // segments of ours that arrived late
	OutOfOrder         uint64 // segments of the peer's
	Twice              uint64 // and that had arrived before, all or part; counted with SelectiveAck
	Reneged            uint64 // times that we dropped what we had acknowledged selectively, for want of memory (RFC 2018 8)
	PathMTUProbes      uint64 // segments that tried what the path takes (RFC 8899)
	BlackHoles         uint64 // times that large segments were found to vanish (RFC 4821 7.7)
	MarksReceived      uint64 // segments of the peer's with a mark of congestion (RFC 3168)
	MarksEchoed        uint64 // acknowledgments in which the peer told of marks
	MarkReductions     uint64 // reductions of the window that came of them
}

// Info returns what the connection knows of itself. After Close it is the zero
// TCPInfo.
func (c *TCP) Info() (info TCPInfo) {
	if c.ok() {
		_ = c.change(func(tc *tcp.Conn) { info = newTCPInfo(tc.Info(), c.ipLen(), c.st.Time) })
	}
	return info
}

// Lengths of IP headers.
const (
	ipv4Len = 20
	ipv6Len = 40
)

func (c *TCP) ipLen() int {
	if c.s.RemoteAddr().Addr().Is4() {
		return ipv4Len
	}
	return ipv6Len
}

// noThreshold is what controllers say that have no slow start threshold.
const noThreshold = 1 << 30

// newTCPInfo returns i as users see it. ipLen is the length of IP headers.
func newTCPInfo(i tcp.Info, ipLen int, at func(clock.Time) time.Time) TCPInfo {
	if i.SlowStartThreshold >= noThreshold {
		i.SlowStartThreshold = 0
	}
	if i.PathMTU > 0 { // else there was no SYN yet
		i.PathMTU += ipLen
		i.PathMTULimit += ipLen
	}
	return TCPInfo{
		State:       i.State,
		Established: at(i.Established), LastSent: at(i.LastSent), LastReceived: at(i.LastReceived),
		RTT: i.RTT, RTTVar: i.RTTVar, MinRTT: i.MinRTT, RTO: i.RTO, Backoff: i.Backoff,
		CongestionControl: i.CongestionControl, CongestionMode: i.CongestionMode, Phase: i.Phase,
		CongestionWindow: i.CongestionWindow, SlowStartThreshold: i.SlowStartThreshold, PacingRate: i.PacingRate,
		SendMSS: i.SendMSS, RecvMSS: i.RecvMSS,
		PathMTU: i.PathMTU, PathMTULimit: i.PathMTULimit, PathMTUState: i.PathMTUState,
		SendWindow: i.SendWindow, RecvWindow: i.RecvWindow,
		SendQueue: i.SendQueue, SendBuffer: i.SendBuffer, RecvQueue: i.RecvQueue, RecvBuffer: i.RecvBuffer,
		Timestamps: i.Timestamps, WindowScaling: i.WindowScaling, SendScale: i.SendScale, RecvScale: i.RecvScale,
		SelectiveAck: i.SelectiveAck, ECN: i.ECN,
		Outstanding: i.Outstanding, InFlight: i.InFlight, Sacked: i.Sacked, Lost: i.Lost,
		Reordering: i.Reordering, ReorderingWindow: i.ReorderingWindow,
		Delivered: i.Delivered, DeliveryRate: i.DeliveryRate, AppLimited: i.AppLimited,
		BytesSent: i.BytesSent, BytesAcked: i.BytesAcked, BytesReceived: i.BytesReceived,
		SegmentsSent: i.SegmentsSent, SegmentsReceived: i.SegmentsReceived,
		Retransmits: i.Retransmits, DuplicatesReported: i.DuplicatesReported, SpuriousRecoveries: i.SpuriousRecoveries,
		Timeouts: i.Timeouts, TailProbes: i.TailProbes, FastRecoveries: i.FastRecoveries, DuplicateAcks: i.DuplicateAcks,
		Reordered: i.Reordered, OutOfOrder: i.OutOfOrder, Twice: i.Twice, Reneged: i.Reneged,
		PathMTUProbes: i.PathMTUProbes, BlackHoles: i.BlackHoles,
		MarksReceived: i.MarksReceived, MarksEchoed: i.MarksEchoed, MarkReductions: i.MarkReductions,
	}
}
