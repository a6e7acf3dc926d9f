package env

import "fmt"

// A TUN says what a pair on a TUN interface is like: a stack that holds the
// interface, and the kernel behind it, in a network namespace of its own. The
// MTU is 1500.
type TUN struct {
	// Offload has a virtio-net header in front of each packet: checksums are
	// left out and TCP segments of up to 64 KiB travel whole. Without it every
	// packet is a system call.
	Offload bool
	// Inward makes the kernel the client, so that it sends in a bulk transfer.
	Inward bool
}

// String describes the interface in a few words.
func (t TUN) String() string {
	if t.Offload {
		return "TUN with offloads"
	}
	return "TUN without offloads"
}

// MakeTUN makes a pair of the named stack, which cannot be [Kernel], and the
// kernel. The error is [ErrUnavailable] with the reason if there can be none.
func MakeTUN(name string, cfg Config, t TUN) (*Pair, error) {
	p, err := makeTUN(name, cfg, t)
	if err != nil {
		return nil, fmt.Errorf("%s, %v: %w", name, t, err)
	}
	return p, nil
}

// TUNNames returns the stacks that [MakeTUN] knows.
func TUNNames() []string { return []string{Smolnet, GVisor} }
