package phy

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The virtio-net header, virtio 1.2, 5.1.6: what the kernel puts in front of a
// frame, and wants there, to say which checksum is missing and how a
// super-frame is to be cut. All numbers are little-endian:
//
//	0  flags           4  gso_size, bytes of payload per segment
//	1  gso_type        6  csum_start
//	2  hdr_len         8  csum_offset, from csum_start
//
// A longer header goes on with fields that frames of ours leave zero and
// those that arrive do not need.
const (
	vnetHeaderLen = 10
	maxVnetHeader = 32 // the longest that is read or written
)

// Where transport headers have their checksum (RFC 9293, 3.1; RFC 768), and
// TCP its length, in words of four bytes in the upper half of an octet.
const (
	tcpChecksumAt   = 16
	tcpDataOffsetAt = 12
	udpChecksumAt   = 6
	udpHeaderLen    = 8
)

// putVnet writes the header for a frame with the given Offload to b, whose
// length is that of the header.
func putVnet(b []byte, off *Offload) {
	clear(b)
	if off.NeedsChecksum {
		b[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
		binary.LittleEndian.PutUint16(b[6:], off.ChecksumStart)
		binary.LittleEndian.PutUint16(b[8:], off.ChecksumOffset)
	}
	if off.GSOType != GSONone {
		b[1] = byte(off.GSOType)
		binary.LittleEndian.PutUint16(b[2:], off.HeaderLen)
		binary.LittleEndian.PutUint16(b[4:], off.SegmentSize)
	}
}

// parseVnet reads the header h, of at least vnetHeaderLen bytes, of a frame
// whose link header has linkLen bytes. It is not ok if the header says what
// cannot be true of the frame, or what it must not say.
func parseVnet(h, frame []byte, linkLen int) (off Offload, ok bool) {
	if len(frame) == 0 || h[0] == 0 && h[1] == 0 { // the common case; other fields mean nothing then
		return off, len(frame) > 0
	}
	off.NeedsChecksum = h[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0
	off.ChecksumValid = h[0]&unix.VIRTIO_NET_HDR_F_DATA_VALID != 0 && !off.NeedsChecksum
	if off.NeedsChecksum {
		off.ChecksumStart = binary.LittleEndian.Uint16(h[6:])
		off.ChecksumOffset = binary.LittleEndian.Uint16(h[8:])
		start := int(off.ChecksumStart)
		if start < linkLen || start+int(off.ChecksumOffset)+2 > len(frame) {
			return Offload{}, false
		}
	}
	// That there were ECN marks among the segments, which the ECN bit says, is
	// in their headers too.
	off.GSOType = GSOType(h[1] &^ unix.VIRTIO_NET_HDR_GSO_ECN)
	if off.GSOType == GSONone {
		return off, true
	}
	off.SegmentSize = binary.LittleEndian.Uint16(h[4:])
	off.HeaderLen = binary.LittleEndian.Uint16(h[2:])
	if off.SegmentSize == 0 || int(off.HeaderLen) > len(frame) || !off.checkSegments(frame) {
		return Offload{}, false
	}
	return off, true
}

// checkSegments says whether a frame that arrived can be the super-frame that
// it is said to be.
//
// Virtio 1.2, 5.1.6.4.1: with a gso_type other than NONE "the device MUST also
// set the VIRTIO_NET_HDR_F_NEEDS_CSUM bit". Linux leaves it out where hardware
// that merges segments has verified their checksums, and then sets DATA_VALID.
//
// The header's hdr_len is a hint and, from Linux, often longer than the
// headers are: HeaderLen becomes their real length where they can be found.
func (off *Offload) checkSegments(frame []byte) bool {
	var field uint16
	switch off.GSOType {
	case GSOTCPv4, GSOTCPv6:
		field = tcpChecksumAt
	case GSOUDP:
		field = udpChecksumAt
	default: // UFO, which nobody offered, or unknown
		return false
	}
	if !off.NeedsChecksum {
		return off.ChecksumValid
	}
	if off.ChecksumOffset != field {
		return false
	}
	start := int(off.ChecksumStart)
	n := start + udpHeaderLen
	if off.GSOType != GSOUDP {
		// The checksum, which is in the frame, is behind the data offset.
		n = start + int(frame[start+tcpDataOffsetAt]>>4)*4
	}
	if n < start+int(field)+2 || n > len(frame) || n > 1<<16-1 {
		return false
	}
	off.HeaderLen = uint16(n)
	return true
}
