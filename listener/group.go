package listener

import (
	"errors"
	"net/netip"

	"smolnet/netstack"
	"smolnet/netstack/errno"
)

var (
	errNoStack = errors.New("listener: Config.Stack is nil, and so is Config.Group")
	errNoGroup = errors.New("listener: Config.Group is nil")
	errTwo     = errors.New("listener: Config.Stack and Config.Group are both set")
	errIsGroup = errors.New("listener: ListenUDP is for one stack, ListenGroupUDP and ListenPacket for a Group")
)

// A host is what listeners need of a Stack or a Group as a whole.
type host interface {
	Closing() <-chan struct{}
	OnShutdown(fn func()) (stop func())
}

// host returns what cfg listens on, as a whole and in its parts.
func (cfg *Config) host() (host, []*netstack.Stack, error) {
	switch {
	case cfg.Stack != nil && cfg.Group != nil:
		return nil, nil, errTwo
	case cfg.Group != nil:
		return cfg.Group, cfg.Group.Stacks(), nil
	case cfg.Stack != nil:
		return cfg.Stack, []*netstack.Stack{cfg.Stack}, nil
	}
	return nil, nil, errNoStack
}

// localAddr returns an address as the core wants it: not valid for both families,
// unspecified for one. It decides whether that is both.
func localAddr(network string, a netip.AddrPort) (local netip.AddrPort, wide bool) {
	if a.Addr().IsValid() && !a.Addr().IsUnspecified() {
		return a, false
	}
	switch network[len(network)-1] {
	case '4':
		return netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port()), false
	case '6':
		return netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port()), false
	}
	return netip.AddrPortFrom(netip.Addr{}, a.Port()), true
}

// maxPortTries is how many ports of the first stack's choice are tried on the
// others.
const maxPortTries = 64

// onAll calls open for every stack with the same port. If local has none the
// first stack chooses, and again if it is taken on another one. After a failure
// undo ends what was opened.
func onAll(stacks []*netstack.Stack, local netip.AddrPort, open func(*netstack.Stack, netip.AddrPort) (netip.AddrPort, error), undo func()) error {
	for tries := 1; ; tries++ {
		at := local
		var err error
		for _, st := range stacks {
			var got netip.AddrPort
			if got, err = open(st, at); err != nil {
				break
			}
			at = netip.AddrPortFrom(local.Addr(), got.Port())
		}
		if err == nil {
			return nil
		}
		undo()
		if err != errno.AddrInUse || local.Port() != 0 || tries == maxPortTries {
			return err
		}
	}
}
