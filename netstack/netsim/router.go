package netsim

import (
	"fmt"
	"net/netip"
)

// A Router passes packets on, each by the way with the fewest links to the host
// that has its address. It takes no time for that, and leaves the packets as they
// are: there is no hop limit, as there are no loops.
type Router struct {
	sim  *Sim
	name string
	out  []*Link
	ways map[netip.Addr]*Link
}

// Router adds a router. An unnamed one is called by its number.
func (s *Sim) Router(name string) *Router {
	r := &Router{sim: s, name: orNumber(name, "router", len(s.routers)+1)}
	s.routers = append(s.routers, r)
	return r
}

// Name implements [Node].
func (r *Router) Name() string { return r.name }

func (r *Router) free(s *Sim) error {
	if r.sim != s {
		return fmt.Errorf("netsim: %s belongs to another network", r.name)
	}
	return nil
}

func (r *Router) join(l *Link) { r.out = append(r.out, l) }

// arrive sends the packet on.
func (r *Router) arrive(p *packet) {
	l := r.ways[destination(p.data())]
	if l == nil {
		r.sim.note(NoRoute, nil, nil, p)
		r.sim.give(p)
		return
	}
	l.enter(p)
}

// reject sends an error about a packet that came to the router.
func (r *Router) reject(e *packet, _ *Link) { r.arrive(e) }

// destination returns where a packet is to go, not valid if it does not say.
func destination(b []byte) netip.Addr {
	switch {
	case isIPv4(b):
		return netip.AddrFrom4([4]byte(b[16:20]))
	case isIPv6(b):
		return netip.AddrFrom16([16]byte(b[24:40]))
	}
	return netip.Addr{}
}

// route has all routers learn their ways anew if the network has changed.
func (s *Sim) route() {
	if s.routed {
		return
	}
	s.routed = true
	for _, r := range s.routers {
		r.learn()
	}
}

// learn finds the ways to all hosts, the nearest first.
func (r *Router) learn() {
	type way struct {
		node  Node
		first *Link
	}
	r.ways = make(map[netip.Addr]*Link)
	seen := map[Node]bool{r: true}
	var next []way
	for _, l := range r.out {
		next = append(next, way{l.to, l})
	}
	for i := 0; i < len(next); i++ {
		w := next[i]
		if seen[w.node] {
			continue
		}
		seen[w.node] = true
		switch n := w.node.(type) {
		case *Host:
			for _, a := range n.addrs {
				r.ways[a] = w.first
			}
		case *Router:
			for _, l := range n.out {
				next = append(next, way{l.to, w.first})
			}
		}
	}
}

// Dumbbell makes two routers with a link between them, the bottleneck that all
// hosts on different sides share: Left and Right are for access links.
type Dumbbell struct {
	Left, Right *Router
	There, Back *Link // from Left to Right, and back
}

// Dumbbell adds a bottleneck. The error says what of the paths makes no sense.
func (s *Sim) Dumbbell(there, back Path) (*Dumbbell, error) {
	d := &Dumbbell{Left: s.Router("left"), Right: s.Router("right")}
	var err error
	d.There, d.Back, err = s.Link(d.Left, d.Right, there, back)
	if err != nil {
		return nil, err
	}
	return d, nil
}
