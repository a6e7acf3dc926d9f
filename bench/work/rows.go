package work

import (
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
	return []Row{
		{Name: "bulk/mtu1500", Link: ethernet, Run: bulk(1), About: "one connection, one way, every segment real"},
		{Name: "bulk/mtu9000", Link: jumbo, Run: bulk(1), About: "the same with jumbo frames"},
		{Name: "bulk/mtu65535", Link: largest, Run: bulk(1), About: "the same with the largest IP packets; kernel: lo"},
		{Name: "bulk/superframes", Link: super, Run: bulk(1), About: "the same, MTU 1500, super-frames on the link"},
		{Name: "bulk/loopback", Link: loop, Run: bulk(1), About: "the same within one stack"},
		{Name: "flows/64", Link: ethernet, Run: bulk(64), About: "64 connections, one way"},
		{Name: "rtt/1B", Link: ethernet, Run: roundTrips(1, 1), About: "1 byte there and back, one connection"},
		{Name: "rtt/1B-64", Link: ethernet, Run: roundTrips(1, 64), About: "1 byte there and back, 64 connections"},
		{Name: "rtt/1KiB", Link: ethernet, Run: roundTrips(1<<10, 1), About: "1 KiB there and back, one connection"},
		{Name: "rtt/1KiB-64", Link: ethernet, Run: roundTrips(1<<10, 64), About: "1 KiB there and back, 64 connections"},
		{Name: "rtt/loopback", Link: loop, Run: roundTrips(1, 1), About: "1 byte there and back within one stack"},
	}
}
