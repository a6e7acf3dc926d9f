package work

import (
	"context"
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

func measureBulk(ctx context.Context, p *env.Pair, o Options, n int) (*transfer, error) {
	received := make([]counter, n)
	var accepted atomic.Int32
	s, err := serve(p, 1, func(c net.Conn) {
		i := int(accepted.Add(1)) - 1
		if i >= n {
			return
		}
		buf := make([]byte, bulkChunk)
		for {
			m, err := c.Read(buf)
			received[i].n.Add(int64(m))
			if err != nil {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	defer s.close()
	conns, err := dialAll(ctx, p, s.addrs, n)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	var ph phases
	var writers sync.WaitGroup
	for _, c := range conns {
		writers.Go(func() { fill(c, &ph) })
	}
	t := &transfer{flows: make([]float64, n)}
	snapshot := func(sign float64) func() {
		return func() {
			for i := range received {
				t.flows[i] += sign * float64(received[i].n.Load())
			}
		}
	}
	wall, cpu, err := ph.run(ctx, o, snapshot(-1), snapshot(1))
	// Readers go on until they have the end, so no writer waits for room. If one
	// does all the same, the row's time limit closes the pair.
	writers.Wait()
	if err != nil {
		return nil, err
	}
	for _, b := range t.flows {
		t.bytes += b
	}
	t.wall, t.cpu = wall.Seconds(), cpu.Seconds()
	return t, nil
}

// fill writes until it is told to stop.
func fill(c net.Conn, ph *phases) {
	buf := make([]byte, bulkChunk)
	for i := range buf {
		buf[i] = byte(i)
	}
	for !ph.stopped() {
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
	c.Close()
}
