package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"sync"
)

// bridgeConns bounds the host connections that are carried at the same time;
// more wait in the host's accept queue.
const bridgeConns = 512

// A bridge carries each connection of a host listener through the stack: what
// comes in on one side goes out on the other, half-closes included.
type bridge struct {
	dial func(ctx context.Context) (net.Conn, error)
}

// serve accepts from l until it is closed, then ends the connections that are
// still open and waits for them.
func (br *bridge) serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	slots := make(chan struct{}, bridgeConns)
	for {
		slots <- struct{}{}
		host, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		wg.Go(func() {
			defer func() { <-slots }()
			br.carry(ctx, host)
		})
	}
}

func (br *bridge) carry(ctx context.Context, host net.Conn) {
	defer host.Close()
	inner, err := br.dial(ctx)
	if err != nil {
		if ctx.Err() == nil {
			log.Printf("connection from %v: %v", host.RemoteAddr(), err)
		}
		return
	}
	defer inner.Close()
	stop := context.AfterFunc(ctx, func() { host.Close(); inner.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { relay(inner, host) })
	wg.Go(func() { relay(host, inner) })
	wg.Wait()
}

// relay copies src to dst and passes the end of the stream on. A failure ends
// both directions: nothing more can be delivered.
func relay(dst, src net.Conn) {
	_, err := io.Copy(dst, src)
	if err != nil {
		dst.Close()
		src.Close()
		return
	}
	if c, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // fails only when dst is closed already
	}
}
