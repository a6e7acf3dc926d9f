package netsim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/core"
	"smolnet/netstack/netsim"
	"smolnet/netstack/tcp"
)

// A heard is a controller that counts what it is told of marks.
type heard struct {
	congestion.Controller
	marked, reactions *int
}

func (h heard) OnAck(now clock.Time, a congestion.Ack) {
	if a.Marked {
		*h.marked++
	}
	h.Controller.OnAck(now, a)
}

func (h heard) OnCongestion(now clock.Time, why congestion.Cause, n int) {
	if why == congestion.Mark {
		*h.reactions++
	}
	h.Controller.OnCongestion(now, why, n)
}

// TestECN: over a queue that marks, RFC 3168, a flow loses nothing and has the path to
// itself; the controller hears of the marks. Without ECN the same queue has to drop.
func TestECN(t *testing.T) {
	const rate, size = 20e6, 20 << 20
	for _, name := range []string{"cubic", "newreno"} {
		for _, v6 := range []bool{false, true} {
			for _, mode := range []tcp.ECNMode{tcp.ECNAsk, tcp.ECNOff} {
				s := netsim.New(3)
				cfg := core.Config{TCP: tcp.Config{ECN: mode}}
				a, b := s.MustHost(netsim.HostConfig{Core: cfg}), s.MustHost(netsim.HostConfig{})
				back := netsim.Path{Delay: 10 * time.Millisecond}
				there := netsim.Path{Delay: 10 * time.Millisecond, Rate: rate, Queue: 250, Mark: 40, MarkOrDrop: true}
				link, _ := s.MustLink(a, b, there, back)
				var marked, reactions int
				client := cfg.TCP
				client.Congestion = func() congestion.Controller {
					if name == "newreno" {
						return heard{new(congestion.Reno), &marked, &reactions}
					}
					return heard{new(congestion.Cubic), &marked, &reactions}
				}
				f := s.MustFlow(netsim.FlowConfig{From: a, To: b, IPv6: v6, Client: netsim.App{Bytes: size}, ClientTCP: &client})
				require.NoError(t, s.Settle(time.Hour))
				sent, got := f.Client().Info(), f.Server().Info()
				st := link.Stats()
				t.Logf("%s IPv6 %v, ECN %v: %.2f of the rate, %d marks, %d gone, %d reductions, queue %d", name, v6, mode,
					f.Sent().Goodput()*8/rate, st.Kinds[netsim.Marked], st.Gone(), sent.MarkReductions, st.MaxQueue)
				if mode == tcp.ECNOff {
					require.Positive(t, st.Kinds[netsim.Dropped])
					require.Zero(t, marked)
					continue
				}
				require.True(t, sent.ECN && got.ECN)
				require.Zero(t, st.Gone())
				require.Zero(t, sent.Retransmits+sent.Timeouts)
				require.GreaterOrEqual(t, f.Sent().Goodput()*8/rate, 0.93) // the rest is headers and the start
				require.Equal(t, st.Kinds[netsim.Marked], got.MarksReceived)
				require.GreaterOrEqual(t, marked, reactions)
				require.Positive(t, reactions)
				require.EqualValues(t, reactions, sent.MarkReductions)
			}
		}
	}
}

// TestECNShare: flows that are marked by one queue share its rate without loss.
func TestECNShare(t *testing.T) {
	const rate, flows, size = 50e6, 4, 20 << 20
	s := netsim.New(4)
	there := netsim.Path{Rate: rate, Delay: 5 * time.Millisecond, Queue: 500, Mark: 50}
	d, err := s.Dumbbell(there, netsim.Path{Delay: 5 * time.Millisecond})
	require.NoError(t, err)
	cfg := core.Config{TCP: tcp.Config{ECN: tcp.ECNAsk}}
	var all []*netsim.Flow
	for range flows {
		a, b := s.MustHost(netsim.HostConfig{Core: cfg}), s.MustHost(netsim.HostConfig{})
		edge := netsim.Path{Delay: time.Millisecond}
		s.MustLink(a, d.Left, edge, edge)
		s.MustLink(d.Right, b, edge, edge)
		all = append(all, s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: size}}))
	}
	require.NoError(t, s.Settle(time.Hour))
	for _, f := range all {
		i := f.Client().Info()
		t.Logf("%.2f of a fair share, %d reductions", f.Sent().Goodput()*8/(rate/flows), i.MarkReductions)
		require.Zero(t, i.Retransmits)
		require.Positive(t, i.MarkReductions)
		require.Greater(t, f.Sent().Goodput()*8/(rate/flows), 0.6)
	}
}
