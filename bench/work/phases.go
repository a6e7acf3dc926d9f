package work

import (
	"context"
	"sync/atomic"
	"time"
)

// phases tell the goroutines of a work whether what they do counts, and when to
// end.
type phases struct{ at atomic.Int32 }

const (
	phaseWarm int32 = iota
	phaseMeasure
	phaseStop
)

func (p *phases) measuring() bool { return p.at.Load() == phaseMeasure }
func (p *phases) stopped() bool   { return p.at.Load() == phaseStop }

// run leads through the phases and returns the time and the CPU time of the
// measured one. begin and end, if not nil, are called as it begins and ends.
func (p *phases) run(ctx context.Context, o Options, begin, end func()) (wall, cpu time.Duration, err error) {
	defer p.at.Store(phaseStop)
	if err := sleep(ctx, o.warmUp()); err != nil {
		return 0, 0, err
	}
	if begin != nil {
		begin()
	}
	m := startMeter()
	p.at.Store(phaseMeasure)
	err = sleep(ctx, o.Time)
	p.at.Store(phaseStop)
	wall, cpu = m.stop()
	if end != nil {
		end()
	}
	return wall, cpu, err
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
