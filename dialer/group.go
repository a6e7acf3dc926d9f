package dialer

import (
	"net/netip"

	"smolnet/netstack"
	"smolnet/netstack/errno"
)

// stack returns the stack to dial over: of a Group any, which chooses such ports
// as are its own, or the one whose flow it is.
func (d *Dialer) stack(local, remote netip.AddrPort) (*netstack.Stack, error) {
	switch {
	case d.Stack != nil && d.Group != nil:
		return nil, errTwo
	case d.Stack != nil:
		return d.Stack, nil
	case d.Group == nil:
		return nil, errNoStack
	case local.Port() != 0:
		return d.Group.Owner(local, remote), nil
	}
	return d.Group.Any(), nil
}

// overAny calls open with a stack to dial over, and with the others of a Group
// while those have no port left.
func overAny[C any](d *Dialer, local, remote netip.AddrPort, open func(*netstack.Stack) (C, error)) (c C, err error) {
	st, err := d.stack(local, remote)
	if err != nil {
		return c, err
	}
	c, err = open(st)
	if err != errno.AddrNotAvail || d.Group == nil || local.Port() != 0 {
		return c, err
	}
	for _, other := range d.Group.Stacks() {
		if other == st {
			continue
		}
		if c, err = open(other); err != errno.AddrNotAvail {
			break
		}
	}
	return c, err
}
