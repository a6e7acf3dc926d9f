package phy

import (
	"context"
	"log/slog"
	"strconv"

	"smolnet/netstack/wire"
)

// A Tracer is a [Device] that tells what passes, a line of text a frame.
type Tracer struct {
	observer
	line []byte
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
		t.line = append(append(t.line[:0], dir.String()...), ' ')
		t.line = t.dump(t.line, frame, off)
		fn(t.line)
	}
	return t
}

// NewLogTracer returns dev with its frames logged at slog.LevelDebug: the
// message "frame" with attributes dir ("rx" or "tx"), len (bytes) and frame
// (as [wire.Dump] writes it). It costs next to nothing while that level is
// off. log's handler must not block, nor wait for the stack whose poll loop
// calls it.
func NewLogTracer(dev Device, log *slog.Logger) *Tracer {
	t := &Tracer{}
	t.observer = observer{Device: dev, caps: dev.Capabilities()}
	t.see = func(dir direction, frame []byte, off *Offload) {
		ctx := context.Background()
		if !log.Enabled(ctx, slog.LevelDebug) {
			return
		}
		t.line = t.dump(t.line[:0], frame, off)
		log.LogAttrs(ctx, slog.LevelDebug, "frame",
			slog.String("dir", dir.String()), slog.Int("len", len(frame)), slog.String("frame", string(t.line)))
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
