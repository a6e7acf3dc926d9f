package work

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"smolnet/bench/env"
)

// A server accepts connections on some ports of a pair's server and hands each
// to a goroutine.
type server struct {
	addrs     []string
	listeners []net.Listener
	wg        sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// serve starts a server on a number of ports. handle may close its connection;
// that is done in any case when it returns.
func serve(p *env.Pair, ports int, handle func(net.Conn)) (*server, error) {
	s := &server{conns: make(map[net.Conn]struct{})}
	for range ports {
		l, err := p.Server.Listen("tcp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
		if err != nil {
			s.close()
			return nil, err
		}
		s.listeners = append(s.listeners, l)
		s.addrs = append(s.addrs, l.Addr().String())
		s.wg.Go(func() { s.accept(l, handle) })
	}
	return s, nil
}

func (s *server) accept(l net.Listener, handle func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if !s.keep(c) {
			c.Close()
			return
		}
		s.wg.Go(func() {
			handle(c)
			s.drop(c)
		})
	}
}

// keep notes a connection to be closed, unless the server is closed already.
func (s *server) keep(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.conns[c] = struct{}{}
	}
	return !s.closed
}

func (s *server) drop(c net.Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	c.Close()
}

// close ends the server with all its connections and waits for its goroutines.
func (s *server) close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	for _, l := range s.listeners {
		l.Close()
	}
	s.wg.Wait()
}

// dialAll connects n times, spread over the addresses and some goroutines.
func dialAll(ctx context.Context, p *env.Pair, addrs []string, n int) ([]net.Conn, error) {
	const atOnce = 16
	conns := make([]net.Conn, n)
	errs := make([]error, min(n, atOnce))
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += len(errs) {
				conns[i], errs[w] = p.Client.Dial(ctx, "tcp4", addrs[i%len(addrs)])
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		closeAll(conns)
		return nil, err
	}
	return conns, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
}
