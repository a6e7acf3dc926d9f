package work

import (
	"fmt"
	"slices"

	"smolnet/bench/env"
)

// The links of the rows.
var (
	ethernet = env.Link{MTU: 1500, Checksums: true}
	jumbo    = env.Link{MTU: 9000, Checksums: true}
	largest  = env.Link{MTU: 65535, Checksums: true}
	super    = env.Link{MTU: 1500, SuperFrames: true}
	loop     = env.Link{Loopback: true}
)

// MaxConnections is the most that a row can be asked for.
const MaxConnections = 1_000_000

// Counts are the numbers of connections of the rows that are about numbers.
type Counts struct {
	Idle  []int // of idle connections whose cost is measured
	Scale []int // of idle connections beside the busy ones
}

// Rows returns the table of everything that is measured.
func Rows(n Counts) []Row {
	rows := []Row{
		{Name: "bulk/mtu1500", Link: ethernet, Run: bulk(1), About: "one connection, one way, every segment real"},
		{Name: "bulk/mtu9000", Link: jumbo, Run: bulk(1), About: "the same with jumbo frames"},
		{Name: "bulk/mtu65535", Link: largest, Run: bulk(1), About: "the same with the largest IP packets; kernel: lo"},
		{Name: "bulk/superframes", Link: super, Run: bulk(1), About: "the same, MTU 1500, with super-frames on the link"},
		{Name: "bulk/loopback", Link: loop, Run: bulk(1), About: "the same within one host"},
		{Name: "flows/64", Link: ethernet, Run: bulk(64), About: "64 connections, one way"},
		{Name: "rtt/1B", Link: ethernet, Run: roundTrips(1, 1), About: "1 byte there and back, one connection"},
		{Name: "rtt/1B-64", Link: ethernet, Run: roundTrips(1, 64), About: "1 byte there and back, 64 connections"},
		{Name: "rtt/1KiB", Link: ethernet, Run: roundTrips(1<<10, 1), About: "1 KiB there and back, one connection"},
		{Name: "rtt/1KiB-64", Link: ethernet, Run: roundTrips(1<<10, 64), About: "1 KiB there and back, 64 connections"},
		{Name: "rtt/loopback", Link: loop, Run: roundTrips(1, 1), About: "1 byte there and back within one host"},
		{Name: "connect/1", Link: ethernet, Run: connects(1), About: "connect, 1 byte each way, close, again and again"},
		{Name: "connect/16", Link: ethernet, Run: connects(16), About: "the same by 16 at once"},
		{Name: "http/128B", Link: ethernet, Run: requests(128), About: "net/http, 32 keep-alive connections, bodies of 128 bytes"},
		{Name: "http/1MiB", Link: ethernet, Run: requests(1 << 20), About: "the same with bodies of 1 MiB"},
		{Name: "udp/1200B", Link: ethernet, Run: datagrams(false), About: "datagrams of 1200 bytes, one way, one a call"},
		{Name: "udp/batch", Link: ethernet, Run: datagrams(true), About: "the same, up to 32 a call where sockets can do that"},
	}
	for _, conns := range n.Idle {
		rows = append(rows, Row{
			Name: fmt.Sprintf("idle/%d", conns), Link: ethernet, Run: idle(conns), Connections: conns, Rounds: heavyRounds,
			About: "connections that nobody uses: what one endpoint costs",
		})
	}
	for _, others := range n.Scale {
		rows = append(rows, Row{
			Name: fmt.Sprintf("scale/%d", others), Link: ethernet, Run: scale(others), Connections: others, Rounds: heavyRounds,
			About: fmt.Sprintf("%d busy connections beside that many idle ones", scaleActive),
		})
	}
	rows = slices.Concat(rows, lossyRows(), tunRows())
	return append(rows, sizeRow())
}

// heavyRounds is how often rows with many connections are worth their time: they
// vary little.
const heavyRounds = 3
