package conn

import (
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"

	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
)

// Flags of messages and of calls, with Linux's values.
const (
	msgTrunc      = 0x20    // MSG_TRUNC: the datagram did not fit
	msgDontWait   = 0x40    // MSG_DONTWAIT
	msgWaitForOne = 0x10000 // MSG_WAITFORONE: what ReadBatch does anyway
)

// ReadBatch reads as many datagrams as there are messages, if they have arrived:
// it waits for the first one only. It returns how many it read. Buffers and OOB of
// each message are what to read to; N, NN, Flags (0x20, MSG_TRUNC: the datagram did
// not fit) and Addr are set. It is x/net's method of the same name on Linux;
// ipv4.Message and ipv6.Message are one type.
//
// Addr is the sender, a *net.UDPAddr. One that a message has already stays if it
// says the same, so that reading from the same peers again and again with the same
// messages costs no memory, and no address that was handed out ever changes.
//
// Of flags 0x40 (MSG_DONTWAIT) makes it an EAGAIN that nothing has arrived, 0x10000
// (MSG_WAITFORONE) changes nothing, and others are EINVAL. An error comes with no
// messages.
func (c *UDP) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	n, err := c.readBatch(ms, flags)
	if err != nil {
		return 0, c.fail("read", "recvmmsg", c.peer(), err)
	}
	return n, nil
}

func (c *UDP) readBatch(ms []ipv4.Message, flags int) (int, error) {
	if err := c.enter(&c.in); err != nil {
		return 0, err
	}
	defer c.release(&c.in)
	if err := c.pending(&c.in); err != nil {
		return 0, err
	}
	if flags&^(msgDontWait|msgWaitForOne) != 0 {
		return 0, syscall.EINVAL
	}
	for i := range ms {
		m := &ms[i]
		var n, size int
		var meta packet.Meta
		var err error
		if i == 0 && flags&msgDontWait == 0 {
			n, size, meta, err = c.waitRead(m.Buffers, c.joinsInto(m.OOB))
		} else if err = c.pending(&c.in); err == nil && i == 0 {
			n, size, meta, err = c.s.ReadBuffers(m.Buffers, c.joinsInto(m.OOB))
		} else if err == nil {
			n, size, meta, err = c.s.ReadNext(m.Buffers, c.joinsInto(m.OOB))
		}
		if err != nil && i > 0 {
			return i, nil // an error that stays has its turn the next time
		}
		if err != nil {
			return 0, err
		}
		m.N, m.NN, m.Flags = n, putSegmentSize(m.OOB, meta.Segment), 0
		if size > n {
			m.Flags = msgTrunc
		}
		m.Addr = c.sender(m.Addr, meta.Remote)
	}
	return len(ms), nil
}

// sender returns the address of a datagram's sender: old if that says the same.
func (c *UDP) sender(old net.Addr, from netip.AddrPort) net.Addr {
	from = widen(from, c.family == familyAny)
	if a, ok := old.(*net.UDPAddr); ok && a != nil && a.Port == int(from.Port()) && a.Zone == from.Addr().Zone() {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && ip == from.Addr().WithZone("") {
			return old
		}
	}
	return udpAddr(from, c.family == familyAny)
}

// WriteBatch sends each message as one datagram, from what its Buffers make up
// together, to its Addr, a *net.UDPAddr, or if the socket is connected to its peer,
// and then Addr is nil. It sends until one fails or the queue is full and returns
// how many it sent, of which it has set N and NN; what is wrong with the next one is
// then the error of the next call. Only if the first one cannot be sent is there an
// error; for a full queue that one waits. It is x/net's method of the same name on
// Linux. OOB is as WriteMsgUDP's.
//
// Of flags 0x40 (MSG_DONTWAIT) makes a full queue an EAGAIN, and others are EINVAL.
func (c *UDP) WriteBatch(ms []ipv4.Message, flags int) (int, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	n, err := c.writeBatch(ms, flags)
	if err != nil {
		return 0, c.fail("write", "sendmmsg", c.peer(), err)
	}
	return n, nil
}

func (c *UDP) writeBatch(ms []ipv4.Message, flags int) (int, error) {
	if err := c.enter(&c.out); err != nil {
		return 0, err
	}
	defer c.release(&c.out)
	if err := c.pending(&c.out); err != nil {
		return 0, err
	}
	if flags&^msgDontWait != 0 {
		return 0, syscall.EINVAL
	}
	for i := 0; i < len(ms); {
		m := &ms[i]
		meta, err := c.messageHead(m)
		if err == nil {
			err = c.queue(m.Buffers, meta, i > 0)
		}
		switch {
		case err == nil:
			m.N, m.NN = 0, len(m.OOB)
			for _, b := range m.Buffers {
				m.N += len(b)
			}
			i++
		case i > 0:
			c.s.Flush()
			return i, nil
		case err == errno.WouldBlock && flags&msgDontWait == 0:
			c.wait(&c.out)
		default:
			return 0, err
		}
	}
	if len(ms) > 0 {
		c.s.Flush()
	}
	return len(ms), nil
}

// messageHead returns what precedes the datagram of a message.
func (c *UDP) messageHead(m *ipv4.Message) (meta packet.Meta, err error) {
	if m.Addr == nil {
		if !c.connected {
			return meta, syscall.EDESTADDRREQ
		}
		meta, err = c.head(netip.AddrPort{}, true)
	} else {
		a, ok := m.Addr.(*net.UDPAddr)
		if !ok || a == nil {
			return meta, errInvalid
		}
		var to netip.AddrPort
		if to, err = c.destination(a); err == nil {
			meta, err = c.head(to, false)
		}
	}
	if err == nil {
		meta.Segment, err = c.segmentSizeOf(m.OOB)
	}
	return meta, err
}
