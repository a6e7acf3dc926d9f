package conn

import (
	"context"
	"net"
	"sync"

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
	c.opening.Store(true) // what follows waits without being c's user, who does not have it yet
	if err := c.open(o); err != nil {
		return nil, err
	}
	s := c.s
	for {
		if s.Connected() || s.Deferred() {
			select {
			case <-st.Closing(): // Shutdown may have missed it
				s.Abort()
				return nil, net.ErrClosed
			default:
				c.opening.Store(false)
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

// An opening is a command to the poll goroutine, and its answer.
type opening struct {
	c   *TCP
	o   core.DialOptions
	err error
	fn  func(*core.Core) // run, as Do wants it
}

// openings are used again: their lives end with Do. Unlike channels they may go from one
// stack to another, and so are not the stack's.
var openings = sync.Pool{New: func() any {
	p := new(opening)
	p.fn = p.run
	return p
}}

// run is called on the poll goroutine.
func (p *opening) run(co *core.Core) {
	var s *core.TCP
	if s, p.err = co.DialTCP(p.c.st.Now(), p.o); p.err == nil {
		p.c.bind(s, false) // before Shutdown can meet c among the Waiters
	}
}

// open has the core begin the connection, as whose Waiter c is registered.
func (c *TCP) open(o core.DialOptions) error {
	o.Waiter = c
	p := openings.Get().(*opening)
	p.c, p.o = c, o
	err := c.st.Do(p.fn)
	if err == nil {
		err = p.err
	}
	*p = opening{fn: p.fn}
	openings.Put(p)
	return err
}
