package netsim_test

import (
	"fmt"
	"time"

	"smolnet/netstack/netsim"
)

// A download over a link that loses one packet in a hundred.
func Example() {
	s := netsim.New(1)
	client := s.MustHost(netsim.HostConfig{Name: "client"})
	server := s.MustHost(netsim.HostConfig{Name: "server"})
	up := netsim.Path{Delay: 20 * time.Millisecond, Rate: 5e6, Queue: 50}
	down := netsim.Path{Delay: 20 * time.Millisecond, Rate: 50e6, Queue: 250, Loss: 0.01}
	s.MustLink(client, server, up, down)
	f := s.MustFlow(netsim.FlowConfig{
		From: client, To: server,
		Client: netsim.App{Bytes: 200},     // the request
		Server: netsim.App{Bytes: 1 << 20}, // the answer
	})
	if err := s.Settle(time.Hour); err != nil { // verifies the content, and that nothing is left
		fmt.Println(err)
		return
	}
	fmt.Println(f.Returned().Bytes, "bytes")
	fmt.Println("losses:", s.Links()[1].Stats().Kinds[netsim.Lost] > 0)
	// Output:
	// 1048576 bytes
	// losses: true
}

// Two flows share a bottleneck whose queue drops what it has no room for.
func ExampleSim_Dumbbell() {
	s := netsim.New(7)
	d, err := s.Dumbbell(netsim.Path{Rate: 10e6, Queue: 20}, netsim.Path{Rate: 10e6, Queue: 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	access := netsim.Path{Delay: 5 * time.Millisecond}
	for range 2 {
		from, to := s.MustHost(netsim.HostConfig{}), s.MustHost(netsim.HostConfig{})
		s.MustLink(from, d.Left, access, access)
		s.MustLink(d.Right, to, access, access)
		s.MustFlow(netsim.FlowConfig{From: from, To: to, Client: netsim.App{Bytes: 1 << 20}})
	}
	var dropped uint64
	s.Observe(func(e *netsim.Event) {
		if e.Kind == netsim.Overflowed {
			dropped++
		}
	})
	fmt.Println(s.Settle(time.Hour))
	fmt.Println(dropped > 0, dropped == d.There.Stats().Gone())
	// Output:
	// <nil>
	// true true
}
