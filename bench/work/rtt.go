package work

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"smolnet/bench/env"
)

// roundTrips returns the work of sending messages of size bytes to an echo
// server and waiting for each to come back, over a number of connections at
// once.
func roundTrips(size, conns int) func(context.Context, *env.Pair, Options) (Result, error) {
	return func(ctx context.Context, p *env.Pair, o Options) (Result, error) {
		t, err := measureTrips(ctx, p, o, size, conns)
		if err != nil {
			return Result{}, err
		}
		var res Result
		if conns > 1 {
			res.add("rate", "k/s", Higher, t.rate()/1e3)
			res.addTimes(&t.times)
		} else {
			res.addTimes(&t.times)
			res.add("rate", "k/s", Higher, t.rate()/1e3)
		}
		res.add("CPU", "us", Lower, t.cpuEach())
		return res, nil
	}
}

func (r *Result) addTimes(h *Histogram) {
	r.add("p50", "us", Lower, micros(h.Quantile(0.5)))
	r.add("p99", "us", Lower, micros(h.Quantile(0.99)))
	r.add("p999", "us", Lower, micros(h.Quantile(0.999)))
}

// tries are many operations of one kind, and how long each took.
type tries struct {
	times     Histogram
	wall, cpu time.Duration
}

// rate is how many there were each second.
func (t *tries) rate() float64 { return float64(t.times.Count()) / t.wall.Seconds() }

// cpuEach is the CPU time of one, microseconds.
func (t *tries) cpuEach() float64 {
	if t.times.Count() == 0 {
		return 0
	}
	return micros(t.cpu) / float64(t.times.Count())
}

// repeat has n goroutines do one thing again and again through the phases, and
// measures how long it takes each time; the first time of each does not count.
// Operation is made for each goroutine; its first error ends everything and is
// returned.
func repeat(ctx context.Context, o Options, n int, operation func(i int) func() error) (*tries, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var ph phases
	var wg sync.WaitGroup
	times := make([]Histogram, n)
	var begun, counted atomic.Int64
	for i := range n {
		do := operation(i)
		wg.Go(func() {
			last, first := time.Now(), true
			for !ph.stopped() {
				counts := ph.measuring()
				if err := do(); err != nil {
					fail(err)
					return
				}
				now := time.Now()
				if first {
					begun.Add(1)
					first = false
				}
				if counts {
					if times[i].Count() == 0 {
						counted.Add(1)
					}
					times[i].Add(now.Sub(last))
				}
				last = now
			}
		})
	}
	all := func() bool { return begun.Load() == int64(n) }
	some := func() bool { return counted.Load() > 0 }
	wall, cpu, err := ph.run(ctx, o, all, some, nil, nil)
	if err == nil {
		wg.Wait() // each is at most one operation from its end
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	t := &tries{wall: wall, cpu: cpu}
	for i := range times {
		t.times.Merge(&times[i])
	}
	return t, nil
}

// echo sends back what it receives.
func echo(size int) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, size)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

func measureTrips(ctx context.Context, p *env.Pair, o Options, size, n int) (*tries, error) {
	s, err := serve(p, 1, echo(max(size, 64)))
	if err != nil {
		return nil, err
	}
	defer s.close()
	conns, err := dialAll(ctx, p, s.addrs, n)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	return repeat(ctx, o, n, func(i int) func() error {
		out, in := make([]byte, size), make([]byte, size)
		c := conns[i]
		return func() error {
			if _, err := c.Write(out); err != nil {
				return fmt.Errorf("round trip: %w", err)
			}
			if _, err := io.ReadFull(c, in); err != nil {
				return fmt.Errorf("round trip: %w", err)
			}
			return nil
		}
	})
}
