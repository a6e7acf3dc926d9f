package work

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"smolnet/bench/env"
	"smolnet/bench/link"
)

// Of the rows on lossy links.
const (
	// lossyTime is how long they measure at least: congestion control needs
	// seconds to show what it does.
	lossyTime = 5 * time.Second
	// rareTime is the same where losses are rare: a second and a half apart.
	rareTime = 20 * time.Second
	// lossyTinyTime is the same for tiny runs: some round trips.
	lossyTinyTime = 300 * time.Millisecond
	// lossyRounds is how often they are run at most.
	lossyRounds = 3
	// lateLink is the lateness of the emulation, in its p99, that is noted.
	lateLink = 2 * time.Millisecond
)

// A lossyLink is one of the links of the rows, which has the same delay, rate
// and queue both ways. Packets get lost on the way of the data only.
type lossyLink struct {
	name   string
	about  string
	cfg    link.Config
	loss   float64
	outage time.Duration // in both directions, after a quarter of the time
	least  time.Duration // of measuring; zero: lossyTime
}

// lossyRows are bulk transfers over links that lose.
func lossyRows() []Row {
	slow := link.Config{Delay: 20 * time.Millisecond, Rate: 100e6, Queue: 250}
	fast := link.Config{Delay: 10 * time.Millisecond, Rate: 1e9, Queue: 1000}
	long := link.Config{Delay: 33 * time.Millisecond, Rate: 200e6, Queue: 1100}
	const slowly = "20 ms each way, 100 Mbit/s, queue of 250 packets, "
	var rows []Row
	for _, l := range []lossyLink{
		{name: "0", about: slowly + "no loss but the queue's", cfg: slow},
		{name: "0.1%", about: slowly + "0.1 % loss", cfg: slow, loss: 0.001},
		{name: "1%", about: slowly + "1 % loss", cfg: slow, loss: 0.01},
		{name: "5%", about: slowly + "5 % loss", cfg: slow, loss: 0.05},
		{name: "outage", about: slowly + "an outage of 100 ms", cfg: slow, outage: 100 * time.Millisecond},
		{name: "1Gbit", about: "10 ms each way, 1 Gbit/s, queue of 1000 packets, no loss but the queue's", cfg: fast},
		{name: "66ms", about: "33 ms each way, 200 Mbit/s, queue of 1100 packets, 0.003 % loss", cfg: long, loss: 0.00003, least: rareTime},
	} {
		rows = append(rows, l.row())
	}
	return rows
}

func (l lossyLink) row() Row {
	var last *env.Lossy // pairs are made and measured one after the other
	round := make(map[string]uint64)
	return Row{
		Name:   "loss/" + l.name,
		About:  "one connection, one way: " + l.about,
		Stacks: env.LossyNames(),
		Rounds: lossyRounds,
		Make: func(name string, cfg env.Config) (*env.Pair, error) {
			there, back := l.cfg, l.cfg
			there.Loss = l.loss
			there.Seed = round[name] // the same luck for all stacks
			round[name]++
			var err error
			if last, err = env.MakeLossy(name, cfg, there, back); err != nil {
				return nil, err
			}
			return last.Pair, nil
		},
		Run: func(ctx context.Context, p *env.Pair, o Options) (Result, error) {
			if o.Tiny {
				o.Time = lossyTinyTime
			} else {
				o.Time = max(o.Time, lossyTime, l.least)
			}
			if l.outage > 0 {
				if err := last.Link.Interrupt(o.warmUp()+o.Time/4, l.outage); err != nil {
					return Result{}, err
				}
			}
			goodput, broken, err := measureGoodput(ctx, p, o)
			if err != nil {
				return Result{}, err
			}
			var res Result
			if broken != nil {
				res.note(fmt.Sprintf("the connection broke: %v", broken))
			}
			res.note(lossyNote(last.Link))
			res.add("goodput", "Mbit/s", Higher, goodput)
			return res, nil
		},
	}
}

// measureGoodput returns what arrives of one connection's data, Mbit/s, and what
// broke the connection, if something did: a stack that gives up has that figure,
// too. It is a bulk transfer that is cut off at the end: what is under way might
// take long to arrive, and a sender that has given up never ends.
func measureGoodput(ctx context.Context, p *env.Pair, o Options) (goodput float64, broken, err error) {
	var received atomic.Int64
	s, err := serve(p, 1, func(c net.Conn) {
		buf := make([]byte, bulkChunk)
		for {
			n, err := c.Read(buf)
			received.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	if err != nil {
		return 0, nil, err
	}
	defer s.close()
	conns, err := dialAll(ctx, p, s.addrs, 1)
	if err != nil {
		return 0, nil, err
	}
	var ph phases
	var writer sync.WaitGroup
	writer.Go(func() {
		if _, err := fill(conns[0], &ph); err != nil && !ph.stopped() {
			broken = err
		}
	})
	var begin, end int64
	// There is no gate at the end: that nothing more arrives is a figure.
	wall, _, err := ph.run(ctx, o, func() bool { return received.Load() > 0 }, nil,
		func() { begin = received.Load() }, func() { end = received.Load() })
	// An error says that the writer has closed it already.
	_ = conns[0].SetWriteDeadline(time.Now())
	closeAll(conns)
	writer.Wait()
	if err != nil {
		return 0, nil, err
	}
	const bitsPerMbit = 1e6 / 8 // bytes
	return float64(end-begin) / bitsPerMbit / wall.Seconds(), broken, nil
}

// lossyNote says what of a link's emulation a reader should know.
func lossyNote(l *link.Link) string {
	there, back := l.Stats()
	for _, s := range []link.Stats{there, back} {
		if s.Overflow > 0 {
			return fmt.Sprintf("the emulation had no memory for %d packets", s.Overflow)
		}
		if s.Lateness.P99 > lateLink {
			return fmt.Sprintf("1 %% of the packets arrived more than %v late", s.Lateness.P99.Round(100*time.Microsecond))
		}
	}
	return ""
}
