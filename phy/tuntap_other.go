//go:build !linux

package phy

import (
	"errors"
	"fmt"
	"runtime"
)

// A TunTap is a TUN or TAP interface of the operating system. So far there is
// one on Linux only.
type TunTap struct{ Device }

// OpenTUN returns an error that wraps [errors.ErrUnsupported].
func OpenTUN(name string, cfg TunConfig) (*TunTap, error) { return unsupported("open TUN") }

// OpenTAP returns an error that wraps [errors.ErrUnsupported].
func OpenTAP(name string, cfg TunConfig) (*TunTap, error) { return unsupported("open TAP") }

// OpenTUNQueues returns an error that wraps [errors.ErrUnsupported].
func OpenTUNQueues(name string, n int, cfg TunConfig) ([]*TunTap, error) {
	_, err := unsupported("open TUN")
	return nil, err
}

// OpenTAPQueues returns an error that wraps [errors.ErrUnsupported].
func OpenTAPQueues(name string, n int, cfg TunConfig) ([]*TunTap, error) {
	_, err := unsupported("open TAP")
	return nil, err
}

// OpenPacket returns an error that wraps [errors.ErrUnsupported].
func OpenPacket(ifname string, cfg PacketConfig) (*TunTap, error) {
	return unsupported("packet socket")
}

// FromFD returns an error that wraps [errors.ErrUnsupported].
func FromFD(fd int, medium Medium, mtu int) (*TunTap, error) { return unsupported("device from fd") }

// Name returns the name of the interface.
func (d *TunTap) Name() string { return "" }

// Stats returns what was counted so far.
func (d *TunTap) Stats() TunStats { return TunStats{} }

func unsupported(op string) (*TunTap, error) {
	return nil, fmt.Errorf("phy: %s: %w on %s", op, errors.ErrUnsupported, runtime.GOOS)
}
