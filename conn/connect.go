package conn

import (
	"context"
	"net"
	"net/netip"

	"smolnet/netstack"
	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
)

// ConnectTCP opens a connection to remote and waits until it is established.
// The zero local address leaves the choice to the stack, as does port 0. cfg
// nil means the stack's. network is what errors say.
//
// If ctx ends first, or the stack, the attempt is given up, with a reset where
// the peer may know of it. The error is an [errno.Errno], ctx's or
// net.ErrClosed, to be wrapped by the caller with [OpError].
func ConnectTCP(ctx context.Context, st *netstack.Stack, network string, local, remote netip.AddrPort, cfg *tcp.Config) (*TCP, error) {
	select {
	case <-st.Closing():
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	default:
	}
	c := newTCP(st, network)
	var s *core.TCP
	var err error
	doErr := st.Do(func(co *core.Core) {
		s, err = co.DialTCP(st.Now(), core.DialOptions{Local: local, Remote: remote, Config: cfg, Waiter: c})
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
		if s.Connected() {
			select {
			case <-st.Closing(): // Shutdown may have missed it
				s.Abort()
				return nil, net.ErrClosed
			default:
				c.out.rest()
				return c, nil
			}
		}
		if e := s.Err(); e != errno.OK {
			s.Close()
			return nil, e
		}
		select {
		case <-c.out.ready():
		case <-ctx.Done():
			s.Abort()
			return nil, ctx.Err()
		case <-st.Closing():
			s.Abort()
			return nil, net.ErrClosed
		}
	}
}
