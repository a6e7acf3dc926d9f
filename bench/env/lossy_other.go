//go:build !linux

package env

import (
	"net/netip"

	"smolnet/bench/link"
)

// makeKernel is for Linux only.
func (*lossyEnd) makeKernel(Config, *link.End, netip.Prefix, string) error {
	_, err := makeKernel(Config{})
	return err
}
