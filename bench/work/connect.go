package work

import (
	"context"
	"fmt"
	"io"

	"smolnet/bench/env"
)

// connectPorts is how many ports the server of a connect row has, so that ports
// in TIME-WAIT, for the usual minute in all stacks, do not run out: Linux has 28
// thousand ephemeral ports towards each.
const connectPorts = 16

// connects returns the work of connecting, sending a byte there and back, and
// closing, by some clients at once. The client closes first, so TIME-WAIT is
// its.
func connects(clients int) func(context.Context, *env.Pair, Options) (Result, error) {
	return func(ctx context.Context, p *env.Pair, o Options) (Result, error) {
		s, err := serve(p, connectPorts, echo(1))
		if err != nil {
			return Result{}, err
		}
		defer s.close()
		t, err := repeat(ctx, o, clients, func(i int) func() error {
			buf := make([]byte, 1)
			next := i
			return func() error {
				next++
				return connectOnce(ctx, p, s.addrs[next%len(s.addrs)], buf)
			}
		})
		if err != nil {
			return Result{}, err
		}
		var res Result
		res.add("rate", "k/s", Higher, t.rate()/1e3)
		res.add("CPU", "us", Lower, t.cpuEach())
		res.add("p50", "us", Lower, micros(t.times.Quantile(0.5)))
		res.add("p99", "us", Lower, micros(t.times.Quantile(0.99)))
		return res, nil
	}
}

func connectOnce(ctx context.Context, p *env.Pair, addr string, buf []byte) error {
	c, err := p.Client.Dial(ctx, "tcp4", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(buf); err != nil {
		return fmt.Errorf("byte there: %w", err)
	}
	if _, err := io.ReadFull(c, buf); err != nil {
		return fmt.Errorf("byte back: %w", err)
	}
	return nil
}
