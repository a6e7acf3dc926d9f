package work

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"

	"smolnet/bench/env"
)

const (
	datagramSize = 1200
	// datagramWindow is how many datagrams are under way at most: few enough for
	// the queues of all stacks, so that nothing is lost.
	datagramWindow = 128
	// datagramCredit is how many a receiver lets follow at a time, and how many
	// are in a batch.
	datagramCredit = 32
	// datagramLost is how long a sender without credit waits before it takes
	// what is under way for lost.
	datagramLost = 50 * time.Millisecond
)

// datagrams returns the work of sending datagrams one way to a receiver that
// keeps up, in batches, where sockets can do that, if batched.
func datagrams(batched bool) func(context.Context, *env.Pair, Options) (Result, error) {
	return func(ctx context.Context, p *env.Pair, o Options) (res Result, err error) {
		in, err := p.Server.ListenPacket("udp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
		if err != nil {
			return res, err
		}
		defer in.Close()
		out, err := p.Client.ListenPacket("udp4", netip.AddrPortFrom(p.Client.Addr(), 0).String())
		if err != nil {
			return res, err
		}
		defer out.Close()
		f := newDatagramFlow()
		send, receive := sendOne(out, in.LocalAddr()), receiveOne(in)
		if batched {
			batchOut, sends := batchOf(out)
			batchIn, receives := batchOf(in)
			if sends && receives {
				send, receive = sendBatch(batchOut, in.LocalAddr()), receiveBatch(batchIn)
			} else {
				res.Note = "its sockets have no ReadBatch and WriteBatch: one datagram a call"
			}
		}
		err = f.measure(ctx, o, in, send, receive, &res)
		return res, err
	}
}

// A datagramFlow is a sender and a receiver with a window between them, which is
// not part of what is measured: it stands for what applications have to keep
// from flooding each other.
type datagramFlow struct {
	phases
	credit         chan struct{} // each stands for datagramCredit datagrams
	sent, received atomic.Int64
}

func newDatagramFlow() *datagramFlow {
	f := &datagramFlow{credit: make(chan struct{}, datagramWindow/datagramCredit)}
	for range cap(f.credit) {
		f.credit <- struct{}{}
	}
	return f
}

// measure runs both sides and adds what they did to res. The functions send or
// receive some datagrams and return how many. The first error of either ends it.
func (f *datagramFlow) measure(ctx context.Context, o Options, in net.PacketConn, send, receive func() (int, error), res *Result) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var sender, receiver sync.WaitGroup
	var closing atomic.Bool
	receiver.Go(func() {
		if err := f.receive(receive); !closing.Load() {
			fail(fmt.Errorf("receiving: %w", err))
		}
	})
	sender.Go(func() {
		if err := f.send(send); err != nil {
			fail(fmt.Errorf("sending: %w", err))
		}
	})
	var began, counted int64
	begun := func() bool { return f.received.Load() > 0 }
	some := func() bool { return f.received.Load() > began }
	wall, cpu, err := f.run(ctx, o, begun, some,
		func() { began = f.received.Load() },
		func() { counted = f.received.Load() - began })
	sender.Wait()
	// What is still under way arrives, or is lost.
	for end := time.Now().Add(datagramLost); f.received.Load() < f.sent.Load() && time.Now().Before(end); {
		if err := sleep(ctx, time.Millisecond); err != nil {
			break
		}
	}
	closing.Store(true)
	in.Close()
	receiver.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	sent := f.sent.Load()
	res.add("rate", "k/s", Higher, float64(counted)/wall.Seconds()/1e3)
	res.add("CPU", "us", Lower, micros(cpu)/float64(counted))
	res.add("loss", "%", Lower, 100*float64(sent-f.received.Load())/float64(sent))
	return nil
}

func (f *datagramFlow) send(send func() (int, error)) error {
	lost := time.NewTimer(datagramLost)
	defer lost.Stop()
	for !f.stopped() {
		select {
		case <-f.credit:
		default:
			lost.Reset(datagramLost)
			select {
			case <-f.credit:
			case <-lost.C:
			}
		}
		for left := datagramCredit; left > 0; {
			n, err := send()
			if err != nil {
				return err
			}
			f.sent.Add(int64(n))
			left -= n
		}
	}
	return nil
}

// receive ends with an error, if only that the socket was closed.
func (f *datagramFlow) receive(receive func() (int, error)) error {
	due := 0
	for {
		n, err := receive()
		if err != nil {
			return err
		}
		f.received.Add(int64(n))
		for due += n; due >= datagramCredit; due -= datagramCredit {
			select {
			case f.credit <- struct{}{}:
			default: // the sender had given it up
			}
		}
	}
}

// whole makes it an error that a datagram has another length than all have.
func whole(n int, err error) error {
	if err == nil && n != datagramSize {
		err = fmt.Errorf("a datagram of %d bytes in the place of %d", n, datagramSize)
	}
	return err
}

func sendOne(c net.PacketConn, to net.Addr) func() (int, error) {
	buf := make([]byte, datagramSize)
	return func() (int, error) {
		n, err := c.WriteTo(buf, to)
		return 1, whole(n, err)
	}
}

func receiveOne(c net.PacketConn) func() (int, error) {
	buf := make([]byte, datagramSize+1)
	return func() (int, error) {
		n, _, err := c.ReadFrom(buf)
		return 1, whole(n, err)
	}
}

// A batcher is a socket that takes several datagrams a call, as those of
// golang.org/x/net do.
type batcher interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

// batchOf returns what a socket has for batches, if it has anything.
func batchOf(c net.PacketConn) (batcher, bool) {
	if b, ok := c.(batcher); ok {
		return b, true
	}
	if c, ok := c.(*net.UDPConn); ok {
		return ipv4.NewPacketConn(c), true
	}
	return nil, false
}

func messages(to net.Addr) []ipv4.Message {
	ms := make([]ipv4.Message, datagramCredit)
	for i := range ms {
		ms[i] = ipv4.Message{Buffers: [][]byte{make([]byte, datagramSize)}, Addr: to}
	}
	return ms
}

// sendBatch goes on where the last call ended, so that batches end with the
// credit.
func sendBatch(b batcher, to net.Addr) func() (int, error) {
	ms := messages(to)
	done := 0
	return func() (int, error) {
		n, err := b.WriteBatch(ms[done:], 0)
		done = (done + n) % len(ms)
		return n, err
	}
}

func receiveBatch(b batcher) func() (int, error) {
	ms := messages(nil)
	for i := range ms {
		ms[i].Buffers[0] = make([]byte, datagramSize+1)
	}
	return func() (int, error) {
		n, err := b.ReadBatch(ms, 0)
		for i := range n {
			err = whole(ms[i].N, err)
		}
		return n, err
	}
}
