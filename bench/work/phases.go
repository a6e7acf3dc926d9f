package work

import (
	"context"
	"sync/atomic"
	"time"
)

// phases tell the goroutines of a work whether what they do counts, and when to
// end.
type phases struct{ at atomic.Int32 }

// A gate is where a phase does not end before something has happened, however
// little time it was given: a figure of what had not begun, or of nothing at
// all, would be no figure. Nil is open.
type gate func() bool

const (
	phaseWarm int32 = iota
	phaseMeasure
	phaseStop
)

func (p *phases) measuring() bool { return p.at.Load() == phaseMeasure }
func (p *phases) stopped() bool   { return p.at.Load() == phaseStop }

// run leads through the phases and returns the time and the CPU time of the
// measured one. The warm-up begins when all have begun, so that no set-up is
// measured, and the measured phase does not end before something was counted.
// begin and end, if not nil, are called as it begins and ends. Without an error
// wall is more than zero.
func (p *phases) run(ctx context.Context, o Options, begun, counted gate, begin, end func()) (wall, cpu time.Duration, err error) {
	defer p.at.Store(phaseStop)
	if err := begun.wait(ctx); err != nil {
		return 0, 0, err
	}
	if err := sleep(ctx, o.warmUp()); err != nil {
		return 0, 0, err
	}
	if begin != nil {
		begin()
	}
	m := startMeter()
	p.at.Store(phaseMeasure)
	if err = sleep(ctx, o.Time); err == nil {
		err = counted.wait(ctx)
	}
	p.at.Store(phaseStop)
	wall, cpu = m.stop()
	if end != nil {
		end()
	}
	return wall, cpu, err
}

// wait returns when the gate is open, or the error of a context that ends
// sooner.
func (g gate) wait(ctx context.Context) error {
	const pause = time.Millisecond
	for g != nil && !g() {
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}

// sleep sleeps for d, or returns the error of a context that ends sooner.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
