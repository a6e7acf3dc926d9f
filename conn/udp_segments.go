package conn

import (
	"encoding/binary"
	"net"
	"strconv"
	"syscall"
)

// Level and types of the control messages of UDP sockets: Linux's SOL_UDP,
// UDP_SEGMENT and UDP_GRO.
// On every system such a message has the form that Linux gives it there: a length
// of one machine word, which counts the header, level and type as 32-bit numbers,
// and the data, in the machine's byte order; the next one begins at a multiple of
// the word's length.
const (
	SolUDP     = 17
	UDPSegment = 103 // to send: 16 bits, how many bytes go in each datagram
	UDPGRO     = 104 // received: 32 bits, how many bytes came in each datagram
)

// What a control message consists of, bytes.
const (
	wordLen          = strconv.IntSize / 8
	controlHeaderLen = wordLen + 8
	joinedLen        = controlHeaderLen + 4 // a UDPGRO
)

// controlSpace returns what a control message with n bytes of data takes up.
func controlSpace(n int) int { return controlHeaderLen + (n+wordLen-1)&^(wordLen-1) }

// SetSegmentSize has what is written from now on cut into datagrams of the given
// number of bytes, of which the last may be shorter: Linux's UDP_SEGMENT. Many
// small datagrams to one destination so cost one call, and on devices that can cut
// (phy.Capabilities.UDPSegments) one frame. Zero, the default, cuts nothing.
//
// A write must not be of more than 64 datagrams (EINVAL) or of more bytes than the
// largest UDP datagram, and each must fit the path (EMSGSIZE). A control message
// UDP_SEGMENT says the same of one write, and zero there that it is not to be cut.
//
// The error is EINVAL for a size that is negative or above 65535.
func (c *UDP) SetSegmentSize(bytes int) error {
	if !c.ok() {
		return errInvalid
	}
	var err error
	switch {
	case c.closed.Load():
		err = net.ErrClosed
	case bytes < 0 || bytes > 0xffff:
		err = syscall.EINVAL
	default:
		c.segment.Store(uint32(bytes))
	}
	return OpError("set", "setsockopt", c.network, nil, &c.local, err)
}

// SetReceiveSegments allows ReadMsgUDP, ReadMsgUDPAddrPort and ReadBatch to join
// what waits to be read: datagrams from one source and of one size, of which the
// last may be shorter, up to 64 of them. A control message UDP_GRO then tells the
// size. It is Linux's option UDP_GRO, but that only reads with room for this
// control message (24 bytes, 16 on 32-bit machines) join, and only as many
// datagrams as they have room for: nothing is lost, and no border between two.
//
// The datagrams of one read have their TOS and hop limit in common as well.
func (c *UDP) SetReceiveSegments(on bool) error {
	if !c.ok() {
		return errInvalid
	}
	var err error
	if c.closed.Load() {
		err = net.ErrClosed
	} else {
		c.joins.Store(on)
	}
	return OpError("set", "setsockopt", c.network, nil, &c.local, err)
}

func (c *UDP) segmentSize() uint16 { return uint16(c.segment.Load()) }

// joinsInto reports whether a read with room for these control messages joins.
func (c *UDP) joinsInto(oob []byte) bool { return len(oob) >= joinedLen && c.joins.Load() }

// putSegmentSize writes the control message for datagrams that were joined, if
// they were, and returns its length.
func putSegmentSize(oob []byte, size uint16) int {
	if size == 0 {
		return 0
	}
	putControl(oob, SolUDP, UDPGRO)
	binary.NativeEndian.PutUint32(oob[controlHeaderLen:], uint32(size))
	return min(controlSpace(4), len(oob))
}

// putControl writes the header of a control message with four bytes of data.
func putControl(b []byte, level, kind uint32) {
	if wordLen == 8 {
		binary.NativeEndian.PutUint64(b, joinedLen)
	} else {
		binary.NativeEndian.PutUint32(b, joinedLen)
	}
	binary.NativeEndian.PutUint32(b[wordLen:], level)
	binary.NativeEndian.PutUint32(b[wordLen+4:], kind)
}

// segmentSizeOf returns the size of segments that control messages ask for, or
// else the socket's. EINVAL: they are something else, or none.
func (c *UDP) segmentSizeOf(oob []byte) (uint16, error) {
	size := c.segmentSize()
	for len(oob) > 0 {
		if len(oob) < controlHeaderLen {
			return 0, syscall.EINVAL
		}
		n := uint64(binary.NativeEndian.Uint32(oob))
		if wordLen == 8 {
			n = binary.NativeEndian.Uint64(oob)
		}
		if n != controlHeaderLen+2 || n > uint64(len(oob)) ||
			binary.NativeEndian.Uint32(oob[wordLen:]) != SolUDP || binary.NativeEndian.Uint32(oob[wordLen+4:]) != UDPSegment {
			return 0, syscall.EINVAL
		}
		size = binary.NativeEndian.Uint16(oob[controlHeaderLen:])
		oob = oob[min(controlSpace(2), len(oob)):]
	}
	return size, nil
}
