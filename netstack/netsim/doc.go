// Package netsim simulates networks of stacks in virtual time, for tests: of
// programs that build on smolnet's core, and of the stack itself.
//
// A [Sim] has hosts, each a [core.Core] with one interface, and links between
// them, directly or by routers. A [Path] says what one direction of a link is
// like: delay, rate and queue, loss, reordering, duplicates, corruption, MTU,
// congestion marks, outages. A [Flow] is a TCP connection with an application
// at both ends that sends a known content and verifies what it receives.
//
//	s := netsim.New(1)
//	a := s.MustHost(netsim.HostConfig{Name: "a"})
//	b := s.MustHost(netsim.HostConfig{Name: "b"})
//	there := netsim.Path{Delay: 20 * time.Millisecond, Rate: 100e6, Queue: 250, Loss: 0.01}
//	back := netsim.Path{Delay: 20 * time.Millisecond}
//	s.MustLink(a, b, there, back)
//	f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 10 << 20}})
//	err := s.Settle(time.Hour)
//	fmt.Println(err, f.Sent().Goodput())
//
// What it promises:
//
//   - A run depends on nothing but the calls and the seed: the same ones give the
//     same packets at the same instants ([Sim.Hash]). There is no goroutine, no
//     clock and no lock, and nothing sleeps: an hour takes as long as the
//     packets that are sent in it.
//   - Hosts are driven by the law of package core, and by nothing else: a turn
//     takes what has arrived, sends until there is nothing to send, and the next
//     one comes with a packet, a user's wish or [core.Core.Deadline].
//   - Packets are whole and real, with their checksums: what a link corrupts is
//     corrupt, and the receiver has to find out.
//   - A flow verifies each byte that it reads by its place in the stream, and
//     [Sim.Settle] that nothing is left when everything is over: no packet, no
//     timer, no connection, no memory.
//
// A Sim and all that belongs to it is used by one goroutine at a time. Functions
// that it calls (timers of [Sim.After], observers, [Flow] callbacks) may use it,
// but must not run it.
//
// A packet costs about a microsecond, the work of both stacks included, and
// nothing is allocated for it.
package netsim
