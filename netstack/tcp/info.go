package tcp

import "time"

// Info is what a connection knows of itself.
type Info struct {
	State State

	RTT, RTTVar, MinRTT time.Duration // zero before the first measurement
	RTO                 time.Duration // with its present back-off

	CongestionWindow   int // bytes; zero before the handshake is over
	SlowStartThreshold int // bytes
	CongestionControl  string

	SendMSS, RecvMSS       int // payload bytes: of our segments, and what we announced
	SendWindow, RecvWindow int // bytes: peer's offer, our offer
	InFlight               int // bytes of sequence space

	BytesSent, BytesAcked, BytesReceived uint64 // payload; BytesSent counts retransmissions too
	SegmentsSent, SegmentsReceived       uint64
	Retransmits                          uint64 // segments
	Timeouts                             uint64
	FastRecoveries                       uint64
	OutOfOrder                           uint64 // segments
	DuplicateAcks                        uint64

	SendQueue, RecvQueue      int // bytes in Out, In
	Timestamps, WindowScaling bool
	SendScale, RecvScale      uint8
}

// counters are the ones of Info.
type counters struct {
	bytesSent, bytesAcked, bytesReceived uint64
	segmentsSent, segmentsReceived       uint64
	retransmits, outOfOrder              uint64
	duplicateAcks                        uint64
	timeouts, fastRecoveries             uint32 // each takes a round trip at least
}

// Info returns a snapshot.
func (c *Conn) Info() Info {
	n := &c.stats
	return Info{
		State: c.state,
		RTT:   c.rtt.srtt, RTTVar: c.rtt.rttvar, MinRTT: c.rtt.min, RTO: c.rtt.current(c.cfg.rtoBounds()),
		CongestionWindow:   c.congestion.Window(),
		SlowStartThreshold: c.congestion.SlowStartThreshold(),
		CongestionControl:  c.congestion.Name(),
		SendMSS:            c.snd.mss, RecvMSS: int(c.rcv.mss),
		SendWindow: int(c.snd.wnd), RecvWindow: c.rcv.adv.Sub(c.rcv.nxt),
		InFlight:  c.flight(),
		BytesSent: n.bytesSent, BytesAcked: n.bytesAcked, BytesReceived: n.bytesReceived,
		SegmentsSent: n.segmentsSent, SegmentsReceived: n.segmentsReceived,
		Retransmits: n.retransmits, Timeouts: uint64(n.timeouts), FastRecoveries: uint64(n.fastRecoveries),
		OutOfOrder: n.outOfOrder, DuplicateAcks: n.duplicateAcks,
		SendQueue: c.Out.Len(), RecvQueue: c.In.Len(),
		Timestamps: c.ts.on, WindowScaling: c.ts.scaling,
		SendScale: c.snd.scale, RecvScale: c.rcv.scale,
	}
}
