package work

import (
	"smolnet/bench/env"
)

// tunRows are a stack that holds a TUN interface against the kernel behind it.
func tunRows() []Row {
	var rows []Row
	for _, t := range []struct {
		prefix  string
		offload bool
		about   string
	}{
		{"tun", false, "a TUN interface, one packet of 1500 bytes a system call"},
		{"tun-offload", true, "a TUN interface with virtio-net headers"},
	} {
		for _, w := range []Row{
			{Name: "/out", Run: bulk(1), About: "bulk to the kernel over "},
			{Name: "/in", Run: bulk(1), About: "bulk from the kernel over "},
			{Name: "/rtt", Run: roundTrips(1, 1), About: "1 byte to the kernel and back over "},
		} {
			tun := env.TUN{Offload: t.offload, Inward: w.Name == "/in"}
			w.Name, w.About = t.prefix+w.Name, w.About+t.about
			w.Stacks = env.TUNNames()
			w.Make = func(name string, cfg env.Config) (*env.Pair, error) { return env.MakeTUN(name, cfg, tun) }
			rows = append(rows, w)
		}
	}
	return rows
}
