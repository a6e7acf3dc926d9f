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
	// idleSettle is how long they have had before that, for timers of their
	// beginning to come and go.
	idleSettle = 2 * time.Second
)

// idle returns the work of having connections that nobody uses. Both ends are in
// this process, and both count: figures are for an endpoint, of which there are
// two for each connection.
func idle(conns int) func(context.Context, *env.Pair, Options) (Result, error) {
	return func(ctx context.Context, p *env.Pair, o Options) (Result, error) {
		var res Result
		n := res.fit(p, o.count(conns, tinyConnections))
		debug.FreeOSMemory() // what earlier runs left over would hide growth
		before := memory()
		h, err := hold(ctx, p, n)
		if err != nil {
			return Result{}, err
		}
		defer h.close()
		took := time.Since(before.at)
		after := memory()
		watch, settle := idleTime, idleSettle
		if o.Tiny {
			watch, settle = o.Time, 0
		}
		if err := sleep(ctx, settle); err != nil {
			return Result{}, err
		}
		m := startMeter()
		if err := sleep(ctx, watch); err != nil {
			return Result{}, err
		}
		wall, cpu := m.stop()
		endpoints := 2 * float64(n)
		heap := (after.heap - before.heap) / endpoints
		all := heap
		if p.Name() == env.Kernel {
			all += (after.slab - before.slab) / endpoints
		}
		res.add("memory", "B", Lower, all)
		res.add("heap", "B", Lower, heap)
		res.add("objects", "", Lower, (after.objects-before.objects)/endpoints)
		res.add("goroutines", "", Lower, (after.goroutines-before.goroutines)/endpoints)
		res.add("RSS", "B", Lower, max(after.resident-before.resident, 0)/endpoints)
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
	h := &holding{}
	var addrs []string
	for range min(idlePorts, n) {
		l, err := p.Server.Listen("tcp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
		if err != nil {
			h.close()
			return nil, err
		}
		h.listeners = append(h.listeners, l)
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
	if err = errors.Join(append(errs, err)...); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
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
