package netstack

import "sync"

// A gate is where a Stack or a Group says that it is about to end: nothing new
// may begin after that, and those who asked for it are told.
type gate struct {
	closing chan struct{}

	mu    sync.Mutex // guards what follows
	shut  bool       // closing is closed
	hooks map[*hook]struct{}
}

// A hook is a function to call at Shutdown.
type hook struct{ fn func() }

func newGate() gate {
	return gate{closing: make(chan struct{}), hooks: make(map[*hook]struct{})}
}

// close closes the channel, if that was not done before.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		g.shut = true
		close(g.closing)
	}
}

// isShut reports whether close was called.
func (g *gate) isShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// register adds a hook, unless the gate is shut.
func (g *gate) register(fn func()) (stop func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return func() {}
	}
	h := &hook{fn}
	g.hooks[h] = struct{}{}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.hooks, h)
	}
}

// callHooks calls the hooks, once each however often it is called itself.
func (g *gate) callHooks() {
	g.mu.Lock()
	fns := make([]func(), 0, len(g.hooks))
	for h := range g.hooks {
		fns = append(fns, h.fn)
	}
	clear(g.hooks)
	g.mu.Unlock()
	for _, fn := range fns {
		fn()
	}
}
