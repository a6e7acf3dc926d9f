package phy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCheckCommit: each offload needs what offers it, and must fit the frame.
func TestCheckCommit(t *testing.T) {
	plain := Capabilities{Medium: MediumIP, MTU: 1000}
	sums, tcp, udp := plain, plain, plain
	sums.TxChecksum = true
	tcp.TxChecksum, tcp.MaxSuperFrame = true, 5000
	udp.TxChecksum, udp.MaxSuperFrame, udp.UDPSegments = true, 5000, true
	gso := func(typ GSOType) Offload {
		return Offload{NeedsChecksum: true, GSOType: typ, SegmentSize: 500, HeaderLen: 40, ChecksumStart: 20, ChecksumOffset: 16}
	}
	for _, c := range []struct {
		name string
		caps Capabilities
		n    int
		off  Offload
		want error
	}{
		{"MTU", plain, 1000, Offload{}, nil},
		{"empty", plain, 0, Offload{}, ErrFrameLength},
		{"longer", tcp, 1001, Offload{}, ErrFrameLength},
		{"longer, checksum", tcp, 1001, Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}, ErrFrameLength},
		{"checksum, not offered", plain, 1000, Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}, ErrOffload},
		{"checksum at the end", sums, 38, Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}, nil},
		{"checksum behind the end", sums, 37, Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}, ErrOffload},
		{"TCP", tcp, 5000, gso(GSOTCPv4), nil},
		{"TCP over IPv6", tcp, 5000, gso(GSOTCPv6), nil},
		{"TCP, not offered", sums, 1000, gso(GSOTCPv4), ErrOffload},
		{"UDP, TCP only offered", tcp, 1000, gso(GSOUDP), ErrOffload},
		{"UDP, nothing offered", sums, 1000, gso(GSOUDP), ErrOffload},
		{"UDP", udp, 5000, gso(GSOUDP), nil},
		{"beyond the room", udp, 5001, gso(GSOUDP), ErrFrameLength},
		{"unknown type", udp, 1000, gso(2), ErrOffload},
		{"no checksum", udp, 1000, Offload{GSOType: GSOTCPv4, SegmentSize: 500}, ErrOffload},
		{"no size", udp, 1000, Offload{GSOType: GSOTCPv4, NeedsChecksum: true}, ErrOffload},
		{"headers longer than the frame", udp, 39, gso(GSOTCPv4), ErrOffload},
	} {
		room := make([]byte, c.caps.txRoom())
		require.Equal(t, c.want, c.caps.checkCommit(room, c.n, &c.off), c.name)
		require.Equal(t, ErrFrameLength, c.caps.checkCommit(nil, c.n, &c.off), "%s, and nothing is lent", c.name)
	}
}
