package phy

import (
	"strconv"

	"smolnet/netstack/wire"
)

// A Tracer is a [Device] that tells what passes, a line of text a frame.
type Tracer struct {
	observer
	line []byte

	// When, if not nil, is asked for each frame whether to trace it: what is
	// not traced costs no more than that call. It is set before the device is
	// used. To log frames at a level that is off most of the time:
	//
	//	t := phy.NewTracer(dev, func(line []byte) { logger.Debug(string(line)) })
	//	t.When = func() bool { return logger.Enabled(ctx, slog.LevelDebug) }
	When func() bool
}

// NewTracer returns dev with its frames traced to fn, on the goroutine that
// uses the device. A line is "rx" or "tx", as seen from the device's user, and
// the frame as [wire.Dump] writes it, without a newline; it is valid during
// the call. That goroutine is a stack's poll loop: fn must not block, nor wait
// for the stack.
func NewTracer(dev Device, fn func(line []byte)) *Tracer {
	t := &Tracer{}
	t.observer = observer{Device: dev, caps: dev.Capabilities()}
	t.see = func(dir direction, frame []byte, off *Offload) {
		if t.When != nil && !t.When() {
			return
		}
		t.line = append(append(t.line[:0], dir.String()...), ' ')
		t.line = t.dump(t.line, frame, off)
		fn(t.line)
	}
	return t
}

// dump appends the text of a frame.
func (t *Tracer) dump(b, frame []byte, off *Offload) []byte {
	b = wire.Dump(b, frame, t.caps.Medium == MediumEthernet)
	if off.GSOType != GSONone {
		b = append(b, ", in segments of "...)
		b = strconv.AppendUint(b, uint64(off.SegmentSize), 10)
	}
	return b
}
