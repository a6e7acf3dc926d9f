package work

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"smolnet/bench/env"
)

const (
	// idlePorts is how many ports the servers of idle connections have: enough
	// that MaxConnections find ephemeral ports, 28 thousand for each on Linux.
	idlePorts = 40
	// idleTime is how long idle connections are watched, in runs that are not
	// tiny.
	idleTime = 5 * time.Second
	// idleSettle is how long they have had before that, and before memory is
	// looked at, for timers of their beginning to come and go.
	idleSettle = 2 * time.Second
	// idleClosing is how long connections have to end.
	idleClosing = 200 * time.Millisecond
)

// idle returns the work of having connections that nobody uses. Both ends are in
// this process, and both count: figures are for an endpoint, of which there are
// two for each connection.
func idle(conns int) func(context.Context, *env.Pair, Options) (Result, error) {
	return func(ctx context.Context, p *env.Pair, o Options) (Result, error) {
		var res Result
		n := res.fit(p, o.count(conns, tinyConnections))
		h, err := listen(p, n)
		if err != nil {
			return Result{}, err
		}
		defer h.close()
		if err := h.rehearse(ctx, p, n); err != nil {
			return Result{}, err
		}
		debug.FreeOSMemory() // what earlier runs left over would hide growth
		before := memory()
		if err := h.open(ctx, p, n); err != nil {
			return Result{}, err
		}
		took := time.Since(before.at)
		watch, settle := idleTime, idleSettle
		if o.Tiny {
			watch, settle = o.Time, 0
		}
		if err := sleep(ctx, settle); err != nil {
			return Result{}, err
		}
		after := memory()
		// Go gives memory back to the system in the background, for seconds after
		// so many connections were made: that is not what idle ones cost.
		debug.FreeOSMemory()
		if err := sleep(ctx, settle); err != nil {
			return Result{}, err
		}
		m := startMeter()
		if err := sleep(ctx, watch); err != nil {
			return Result{}, err
		}
		wall, cpu := m.stop()
		endpoints := 2 * float64(n)
		// A few connections may well need less than what was left of others.
		each := func(after, before float64) float64 { return max(after-before, 0) / endpoints }
		heap := each(after.heap, before.heap)
		all := heap
		if p.Name() == env.Kernel {
			all += each(after.slab, before.slab)
		}
		res.add("memory", "B", Lower, all)
		res.add("heap", "B", Lower, heap)
		res.add("objects", "", Lower, each(after.objects, before.objects))
		res.add("goroutines", "", Lower, each(after.goroutines, before.goroutines))
		res.add("RSS", "B", Lower, each(after.resident, before.resident))
		res.add("CPU", "ms/s", Lower, 1e3*cpu.Seconds()/wall.Seconds())
		res.add("established", "k/s", Higher, float64(n)/took.Seconds()/1e3)
		runtime.KeepAlive(h)
		return res, nil
	}
}

// fit returns how many of n connections a pair can have, and notes it if they are
// fewer.
func (r *Result) fit(p *env.Pair, n int) int {
	if p.Connections > 0 && p.Connections < n {
		r.Note = fmt.Sprintf("%d connections: all that the limit of open files allows", p.Connections)
		return p.Connections
	}
	return n
}

// A holding is connections that are open and left alone. No goroutine waits on
// them, so that memory is the stack's alone.
type holding struct {
	listeners []net.Listener
	accepted  []net.Conn
	dialled   []net.Conn
}

// hold opens n connections and returns when both ends of all are established.
func hold(ctx context.Context, p *env.Pair, n int) (*holding, error) {
	h, err := listen(p, n)
	if err != nil {
		return nil, err
	}
	if err := h.open(ctx, p, n); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// listen returns a holding without connections, with ports for n.
func listen(p *env.Pair, n int) (*holding, error) {
	h := &holding{}
	for range min(idlePorts, n) {
		l, err := p.Server.Listen("tcp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
		if err != nil {
			h.close()
			return nil, err
		}
		h.listeners = append(h.listeners, l)
	}
	return h, nil
}

// rehearse opens a few connections, n at most, and closes them: what a link and
// its hosts have to have for the first ones, such as buffers for frames, is not
// what the others cost.
func (h *holding) rehearse(ctx context.Context, p *env.Pair, n int) error {
	if err := h.open(ctx, p, min(n, tinyConnections)); err != nil {
		return err
	}
	closeAll(h.dialled)
	closeAll(h.accepted)
	h.dialled, h.accepted = nil, nil
	return sleep(ctx, idleClosing)
}

// open opens n connections in the place of those that there were.
func (h *holding) open(ctx context.Context, p *env.Pair, n int) error {
	var addrs []string
	for _, l := range h.listeners {
		addrs = append(addrs, l.Addr().String())
	}
	// dialAll deals connections out to the ports in turn.
	h.accepted = make([]net.Conn, n)
	errs := make([]error, len(h.listeners))
	var wg sync.WaitGroup
	for w, l := range h.listeners {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += len(h.listeners) {
				h.accepted[i], errs[w] = l.Accept()
			}
		})
	}
	var err error
	if h.dialled, err = dialAll(ctx, p, addrs, n); err != nil {
		for _, l := range h.listeners {
			l.Close() // ends Accept
		}
	}
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

func (h *holding) close() {
	for _, l := range h.listeners {
		l.Close()
	}
	closeAll(h.dialled)
	closeAll(h.accepted)
}

// A footprint is what the process, and the kernel for it, has at one moment.
type footprint struct {
	at             time.Time
	heap, objects  float64 // live
	goroutines     float64
	resident, slab float64 // bytes; zero where they are not known
}

// memory collects garbage and looks. Twice, as what finalizers and pools let go
// is garbage only the second time.
func memory() footprint {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f := footprint{
		at: time.Now(), heap: float64(m.HeapAlloc), objects: float64(m.HeapObjects), goroutines: float64(runtime.NumGoroutine()),
	}
	f.resident, f.slab = systemMemory()
	return f
}
