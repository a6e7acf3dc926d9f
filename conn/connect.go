package conn

import (
	"context"
	"net"

	"smolnet/netstack"
	"smolnet/netstack/core"
	"smolnet/netstack/errno"
)

// ConnectTCP opens a connection as o says, but for its Waiter, and waits until it is
// established; with o.FastOpen it does not wait where the first Write may go with the
// SYN. network is what errors say.
//
// If ctx ends first, or the stack, the attempt is given up, with a reset where
// the peer may know of it. The error is an [errno.Errno], ctx's or
// net.ErrClosed, to be wrapped by the caller with [OpError].
func ConnectTCP(ctx context.Context, st *netstack.Stack, network string, o core.DialOptions) (*TCP, error) {
	select {
	case <-st.Closing():
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	default:
	}
	c := newTCP(st, network)
	o.Waiter = c
	var s *core.TCP
	var err error
	doErr := st.Do(func(co *core.Core) {
		s, err = co.DialTCP(st.Now(), o)
		if err == nil {
			c.bind(s, false) // before Shutdown can meet c among the Waiters
		}
	})
	switch {
	case doErr != nil:
		return nil, doErr
	case err != nil:
		return nil, err
	}
	for {
		if s.Connected() || s.Deferred() {
			select {
			case <-st.Closing(): // Shutdown may have missed it
				s.Abort()
				return nil, net.ErrClosed
			default:
				c.rest(&c.out)
				return c, nil
			}
		}
		if e := s.Err(); e != errno.OK {
			s.Close()
			return nil, e
		}
		select {
		case <-c.ready(&c.out):
		case <-ctx.Done():
			s.Abort()
			return nil, ctx.Err()
		case <-st.Closing():
			s.Abort()
			return nil, net.ErrClosed
		}
	}
}
