package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"slices"
	"sync"
	"time"

	"smolnet/conn"
	"smolnet/listener"
	"smolnet/netstack"
)

// The sink gives up on a silent client quickly: it probes every keepAlive and
// ends the connection when nothing was acknowledged for userTimeout.
const (
	sinkKeepAlive   = time.Second
	sinkUserTimeout = 2 * time.Second
)

// chunkSize is the most that the services read or write at a time, bytes.
const chunkSize = 64 << 10

// services are what the server offers, by TCP port.
var services = []struct {
	addr  string
	name  string
	serve func(c *conn.TCP) error
}{
	{":6969", "hello", hello},
	{":6970", "reverse", reverse},
	{":6971", "sink", sink},
	{":6972", "source", source},
}

// An offer is the services' sockets, open and not yet served.
type offer struct {
	st        *netstack.Stack
	datagrams net.PacketConn
	listeners []net.Listener // one for each of services
}

// open opens every socket. After a failure those that are open are left to the
// stack's Close.
func open(st *netstack.Stack) (*offer, error) {
	pc, err := listener.ListenPacket(st, "udp", ":6969")
	if err != nil {
		return nil, err
	}
	o := &offer{st: st, datagrams: pc}
	for _, s := range services {
		l, err := listener.Listen(st, "tcp", s.addr)
		if err != nil {
			return nil, err
		}
		o.listeners = append(o.listeners, l)
	}
	return o, nil
}

// serve runs the services until ctx ends, or the stack, and then closes the
// stack: that ends every socket and goroutine.
func (o *offer) serve(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { reverseDatagrams(o.datagrams) })
	for i, s := range services {
		wg.Go(func() { acceptLoop(&wg, o.listeners[i], s.name, s.serve) })
	}
	var err error
	select {
	case <-ctx.Done():
	case <-o.st.Done():
		err = o.st.Err() // the device failed
	}
	o.st.Close()
	wg.Wait()
	return err
}

// acceptLoop serves each connection in a goroutine that wg counts.
func acceptLoop(wg *sync.WaitGroup, l net.Listener, name string, serve func(*conn.TCP) error) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		wg.Go(func() {
			defer c.Close()
			log.Printf("tcp %s: %v connected", name, c.RemoteAddr())
			err := serve(c.(*conn.TCP))
			if err != nil && !errors.Is(err, net.ErrClosed) {
				log.Printf("tcp %s: %v: %v", name, c.RemoteAddr(), err)
				return
			}
			log.Printf("tcp %s: %v done", name, c.RemoteAddr())
		})
	}
}

// hello greets and closes.
func hello(c *conn.TCP) error {
	_, err := io.WriteString(c, "hello\n")
	return err
}

// reverse sends each chunk that it reads back with its bytes in reverse order.
func reverse(c *conn.TCP) error {
	b := make([]byte, chunkSize)
	for {
		n, err := c.Read(b)
		if n > 0 {
			slices.Reverse(b[:n])
			if _, err := c.Write(b[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// sink reads everything and keeps nothing.
func sink(c *conn.TCP) error {
	err := c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: sinkKeepAlive, Interval: sinkKeepAlive})
	if err != nil {
		return err
	}
	if err := c.SetUserTimeout(sinkUserTimeout); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}

// source sends the decimal digits over and over until the client has enough.
func source(c *conn.TCP) error {
	b := make([]byte, chunkSize)
	for i, at := 0, 0; ; i = (i + 1) % 10 {
		b[at] = byte('0' + i)
		if at++; at < len(b) {
			continue
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
		at = 0
	}
}

// reverseDatagrams answers each datagram with its bytes in reverse order.
func reverseDatagrams(pc net.PacketConn) {
	b := make([]byte, 65535)
	for {
		n, from, err := pc.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			log.Printf("udp reverse: %v", err)
			continue
		}
		slices.Reverse(b[:n])
		if _, err := pc.WriteTo(b[:n], from); err != nil {
			log.Printf("udp reverse: %v: %v", from, err)
		}
	}
}
