package conn

import (
	"net"

	"smolnet/netstack/core"
)

// SetReadBuffer sets how many bytes of datagrams may wait to be read: from 4 KiB
// to 1 GiB, within the stack's memory budget.
func (c *UDP) SetReadBuffer(bytes int) error {
	return c.setLimits(bufferSize(bytes), 0)
}

// SetWriteBuffer sets how many bytes of datagrams may wait to be sent: from
// 4 KiB to 1 GiB, within the stack's memory budget.
func (c *UDP) SetWriteBuffer(bytes int) error {
	return c.setLimits(0, bufferSize(bytes))
}

// setLimits changes the bounds of the socket's queues; zero changes nothing.
func (c *UDP) setLimits(recv, send int) error {
	if !c.ok() {
		return errInvalid
	}
	err := c.st.Do(func(*core.Core) {
		if !c.closed.Load() {
			c.s.SetLimits(recv, send)
		}
	})
	if err == nil && c.closed.Load() {
		err = net.ErrClosed
	}
	if err == nil {
		c.out.signal() // there may be room now
	}
	return OpError("set", "setsockopt", c.network, nil, &c.local, err)
}
