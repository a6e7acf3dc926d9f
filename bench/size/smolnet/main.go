// Command smolnet is the smallest program that makes a TCP connection over a TUN
// interface, to be built and weighed.
package main

import (
	"io"
	"net/netip"
	"os"

	"smolnet/dialer"
	"smolnet/netstack"
	"smolnet/phy"
)

func main() {
	dev, err := phy.OpenTUN("tun0", phy.TunConfig{})
	if err != nil {
		os.Exit(1)
	}
	st, err := netstack.New(netstack.Config{Device: dev, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}})
	if err != nil {
		os.Exit(1)
	}
	d := dialer.Dialer{Stack: st}
	c, err := d.Dial("tcp", "10.0.0.1:80")
	if err != nil {
		os.Exit(1)
	}
	io.WriteString(c, "hello")
	io.Copy(os.Stdout, c)
}
