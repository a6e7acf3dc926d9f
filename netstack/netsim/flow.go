package netsim

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
)

// firstPort is the port of the first flow of a network that names none.
const firstPort = 1024

// A FlowConfig describes a TCP connection and the applications at its ends.
type FlowConfig struct {
	From, To *Host // From opens the connection. Required

	// Start is how long from now that is.
	Start time.Duration
	// Port at To. Zero: one that no other flow has.
	Port uint16
	// IPv6 is the family; false: IPv4.
	IPv6 bool

	Client, Server App // at From and at To

	// ClientTCP and ServerTCP configure the ends of the connection. Nil: what the
	// host's Core says.
	ClientTCP, ServerTCP *tcp.Config

	// Series is the length of the pieces of time in which bytes are counted, for
	// [Transfer.Series]. Zero: they are not.
	Series time.Duration

	// Done, if it is not nil, is called once both applications have left.
	Done func(f *Flow)
}

// A Flow is a connection with its applications.
type Flow struct {
	sim      *Sim
	cfg      FlowConfig
	client   End
	server   End
	listener *core.Listener
	began    clock.Time
	dialed   bool
	accepted bool
	told     bool
	wrong    error // the content was
}

// Flow adds a connection. The error says what of cfg makes no sense.
func (s *Sim) Flow(cfg FlowConfig) (*Flow, error) {
	n := len(s.flows)
	f := &Flow{sim: s, cfg: cfg}
	switch {
	case cfg.From == nil || cfg.To == nil || cfg.From.sim != s || cfg.To.sim != s:
		return nil, errors.New("netsim: a flow needs From and To, hosts of this network")
	case cfg.Start < 0 || cfg.Series < 0:
		return nil, errors.New("netsim: Start or Series of a flow is negative")
	case cfg.Port == 0:
		f.cfg.Port = uint16(firstPort + n%(1<<16-firstPort))
	}
	if !f.remote().Addr().IsValid() {
		return nil, fmt.Errorf("netsim: %s has no address of the flow's family", cfg.To.name)
	}
	f.began = s.now.Add(cfg.Start)
	for _, e := range []struct {
		end, peer *End
		host      *Host
		app       App
	}{{&f.client, &f.server, cfg.From, cfg.Client}, {&f.server, &f.client, cfg.To, cfg.Server}} {
		*e.end = End{flow: f, host: e.host, app: e.app, peer: e.peer, start: s.rand.IntN(period)}
		e.end.in = Transfer{Start: f.began, Bucket: cfg.Series}
	}
	f.client.client = true
	var err error
	f.listener, err = cfg.To.ListenTCP(core.ListenOptions{
		Local: netip.AddrPortFrom(netip.Addr{}, f.cfg.Port), Config: cfg.ServerTCP, Accept: f.accept,
	})
	if err != nil {
		return nil, fmt.Errorf("netsim: %v: listening: %w", f, err)
	}
	s.flows = append(s.flows, f)
	s.After(cfg.Start, f.dial)
	return f, nil
}

// MustFlow is Flow for those who know what they ask for: it panics instead of
// returning an error.
func (s *Sim) MustFlow(cfg FlowConfig) *Flow {
	f, err := s.Flow(cfg)
	if err != nil {
		panic(err)
	}
	return f
}

// Flows returns all flows, in the order of their making.
func (s *Sim) Flows() []*Flow { return s.flows }

// Client returns the application at From.
func (f *Flow) Client() *End { return &f.client }

// Server returns the application at To.
func (f *Flow) Server() *End { return &f.server }

// Sent returns what has come to the server.
func (f *Flow) Sent() *Transfer { return &f.server.in }

// Returned returns what has come to the client.
func (f *Flow) Returned() *Transfer { return &f.client.in }

// String names the flow and says how far it has come.
func (f *Flow) String() string {
	return fmt.Sprintf("flow %s->%s:%d: %d of %d bytes there, %d of %d back",
		f.cfg.From.name, f.cfg.To.name, f.cfg.Port, f.server.in.Bytes, f.cfg.Client.Bytes, f.client.in.Bytes, f.cfg.Server.Bytes)
}

// remote returns the server's address.
func (f *Flow) remote() netip.AddrPort {
	a := f.cfg.To.Addr4()
	if f.cfg.IPv6 {
		a = f.cfg.To.Addr6()
	}
	return netip.AddrPortFrom(a, f.cfg.Port)
}

func (f *Flow) dial() {
	f.dialed = true
	s, err := f.cfg.From.DialTCP(core.DialOptions{Remote: f.remote(), Config: f.cfg.ClientTCP, Waiter: &f.client})
	if err != nil {
		f.client.fail(err)
		return
	}
	f.client.begin(s)
}

// accept takes the connection of the flow. There can be others only by mistake of
// the stacks: they are reset.
func (f *Flow) accept(s *core.TCP) {
	f.listener.Taken()
	if f.accepted {
		s.Abort()
		if f.wrong == nil {
			f.wrong = fmt.Errorf("%v: a second connection from %v", f, s.RemoteAddr())
		}
		return
	}
	f.accepted = true
	s.SetWaiter(&f.server)
	f.server.begin(s)
}

// over is called when an end has left.
func (f *Flow) over() {
	if f.told || !f.Done() {
		return
	}
	f.told = true
	f.listener.Close(f.cfg.To.clock())
	f.cfg.To.Turn()
	if f.cfg.Done != nil {
		f.cfg.Done(f)
	}
}

// Done reports whether both applications have left, or the server's never will
// come to be. The connection may have something to do yet.
func (f *Flow) Done() bool {
	return f.client.closed && (f.server.closed || !f.accepted && f.client.broken)
}

// Check says whether the flow did what it should have done by now, if it is done:
// unless an application broke it off, each end has read everything that the other
// one has written, and no error has come up.
func (f *Flow) Check() error {
	if f.wrong != nil {
		return f.wrong
	}
	if !f.Done() || f.cfg.Client.breaks(f.cfg.Server.Bytes) || f.cfg.Server.breaks(f.cfg.Client.Bytes) {
		return nil
	}
	for _, e := range []*End{&f.client, &f.server} {
		if e.err != nil {
			return fmt.Errorf("%v: %s: %w", f, e.host.name, e.err)
		}
	}
	if f.server.in.Bytes != f.client.app.Bytes || f.client.in.Bytes != f.server.app.Bytes {
		return fmt.Errorf("%w: %v", errUnfinished, f)
	}
	return nil
}

// Failed returns the errno that an end has failed with, errno.OK if neither has.
func (f *Flow) Failed() errno.Errno {
	for _, e := range []*End{&f.client, &f.server} {
		var no errno.Errno
		if errors.As(e.err, &no) {
			return no
		}
	}
	return errno.OK
}
