package netstack

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	"smolnet/netstack/congestion"
)

// A noController is a name that no congestion controller has. It is errors.Is
// syscall.ENOENT, what Linux's TCP_CONGESTION fails with.
type noController struct {
	name  string
	known []string
}

// Error returns what there is instead.
func (e *noController) Error() string {
	return fmt.Sprintf("no congestion controller is called %q: there are %s", e.name, strings.Join(e.known, ", "))
}

// Unwrap returns ENOENT.
func (e *noController) Unwrap() error { return syscall.ENOENT }

// Congestion returns what makes the congestion controllers of a name: one of
// congestion.Names, or of TCPConfig.Controllers. The error names all there are, and is
// errors.Is syscall.ENOENT.
func (st *Stack) Congestion(name string) (congestion.Factory, error) {
	return st.cfg.TCP.controller(name)
}

// controller is Stack.Congestion.
func (c *TCPConfig) controller(name string) (congestion.Factory, error) {
	if f, ok := congestion.New(name); ok {
		return f, nil
	}
	if f, ok := c.Controllers[name]; ok {
		return f, nil
	}
	known := congestion.Names()
	for other := range c.Controllers {
		known = append(known, other)
	}
	slices.Sort(known)
	return nil, &noController{name, known}
}

// factory returns what makes the controllers of connections that are given no other
// one, nil for the default. The configuration is valid.
func (c *TCPConfig) factory() congestion.Factory {
	if c.CongestionControl == "" {
		return c.Congestion
	}
	f, _ := c.controller(c.CongestionControl)
	return f
}

func (c *TCPConfig) validateControllers() error {
	for _, name := range slices.Sorted(maps.Keys(c.Controllers)) {
		_, known := congestion.New(name)
		switch {
		case name == "":
			return errors.New("TCP.Controllers has one without a name")
		case known:
			return fmt.Errorf("TCP.Controllers has %q, which is the name of another one", name)
		case c.Controllers[name] == nil:
			return fmt.Errorf("TCP.Controllers has nil for %q", name)
		}
	}
	if c.CongestionControl == "" {
		return nil
	}
	if c.Congestion != nil {
		return errors.New("TCP.CongestionControl and TCP.Congestion are both set")
	}
	if _, err := c.controller(c.CongestionControl); err != nil {
		return fmt.Errorf("TCP.CongestionControl: %w", err)
	}
	return nil
}
