package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"smolnet/bench/env"
)

// bulkChunk is the size of the writes and reads of a bulk transfer.
const bulkChunk = 128 << 10

// bulk returns the work of sending one way over a number of connections as fast
// as they take it.
func bulk(conns int) func(context.Context, *env.Pair, Options) (Result, error) {
	return func(ctx context.Context, p *env.Pair, o Options) (Result, error) {
		t, err := measureBulk(ctx, p, o, conns)
		if err != nil {
			return Result{}, err
		}
		var res Result
		res.add("throughput", "Gbit/s", Higher, t.gbits())
		res.add("CPU", "s/GB", Lower, t.cpuPerGB())
		if conns > 1 {
			res.add("fairness", "Jain", Higher, jain(t.flows))
		}
		return res, nil
	}
}

// A transfer is what a bulk transfer came to.
type transfer struct {
	flows     []float64 // bytes of each connection
	bytes     float64   // of all of them
	wall, cpu float64   // seconds
}

func (t *transfer) gbits() float64 { return t.bytes / bitsPerGbit / t.wall }

func (t *transfer) cpuPerGB() float64 {
	if t.bytes == 0 {
		return 0
	}
	return t.cpu / (t.bytes / bytesPerGB)
}

// jain is Jain's fairness index: 1 if all have the same, 1/n if one has all.
func jain(x []float64) float64 {
	var sum, squares float64
	for _, v := range x {
		sum += v
		squares += v * v
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(x)) * squares)
}

// A counter is alone on its cache line.
type counter struct {
	n atomic.Int64
	_ [120]byte
}

// A sink is where a bulk transfer ends: it reads from connections to their end,
// and counts.
type sink struct {
	flows    []counter // bytes read, in the order in which connections were accepted
	accepted atomic.Int32
	readers  sync.WaitGroup // one for each flow
	fail     func(error)    // is told of connections that end otherwise than by their end
}

func newSink(n int, fail func(error)) *sink {
	k := &sink{flows: make([]counter, n), fail: fail}
	k.readers.Add(n)
	return k
}

// handle is what a server does with a connection.
func (k *sink) handle(c net.Conn) {
	i := int(k.accepted.Add(1)) - 1
	if i >= len(k.flows) {
		return
	}
	defer k.readers.Done()
	buf := make([]byte, bulkChunk)
	for {
		m, err := c.Read(buf)
		k.flows[i].n.Add(int64(m))
		if err != nil {
			if !errors.Is(err, io.EOF) {
				k.fail(fmt.Errorf("reading: %w", err))
			}
			return
		}
	}
}

// begun is the [gate] that opens when every flow has brought something.
func (k *sink) begun() bool {
	for i := range k.flows {
		if k.flows[i].n.Load() == 0 {
			return false
		}
	}
	return true
}

// total is what all flows have brought.
func (k *sink) total() (bytes int64) {
	for i := range k.flows {
		bytes += k.flows[i].n.Load()
	}
	return bytes
}

// measureBulk sends over n connections. It is an error if one of them fails, or if
// not all that was written is read in the end.
func measureBulk(ctx context.Context, p *env.Pair, o Options, n int) (*transfer, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	k := newSink(n, fail)
	s, err := serve(p, 1, k.handle)
	if err != nil {
		return nil, err
	}
	defer s.close()
	conns, err := dialAll(ctx, p, s.addrs, n)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	// A writer that waits for room, or a reader, when it is over hears of it so.
	defer context.AfterFunc(ctx, func() { closeAll(conns) })()
	var ph phases
	var writers sync.WaitGroup
	var written atomic.Int64
	for _, c := range conns {
		writers.Go(func() {
			n, err := fill(c, &ph)
			written.Add(n)
			if err != nil {
				fail(fmt.Errorf("writing: %w", err))
			}
		})
	}
	t := &transfer{flows: make([]float64, n)}
	var began int64
	snapshot := func(sign float64) func() {
		return func() {
			began = k.total()
			for i := range k.flows {
				t.flows[i] += sign * float64(k.flows[i].n.Load())
			}
		}
	}
	wall, cpu, err := ph.run(ctx, o, k.begun, func() bool { return k.total() > began }, snapshot(-1), snapshot(1))
	writers.Wait()
	if err != nil {
		return nil, err
	}
	k.readers.Wait() // all flows have begun, so there is one of each
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if read := k.total(); read != written.Load() {
		return nil, fmt.Errorf("%d bytes were written, and %d read", written.Load(), read)
	}
	for _, b := range t.flows {
		t.bytes += b
	}
	t.wall, t.cpu = wall.Seconds(), cpu.Seconds()
	return t, nil
}

// fill writes until it is told to stop, and returns how many bytes that were.
func fill(c net.Conn, ph *phases) (written int64, err error) {
	buf := make([]byte, bulkChunk)
	for i := range buf {
		buf[i] = byte(i)
	}
	for !ph.stopped() {
		n, err := c.Write(buf)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, c.Close()
}
