package core_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/netsim"
	"smolnet/netstack/tcp"
)

// Stats.TCPEnded has what connections have counted when they are over, each once, and
// nothing before.
func TestTotals(t *testing.T) {
	const seed, flows = 3, 4
	t.Logf("seed %d", seed)
	s := netsim.New(seed)
	host := netsim.HostConfig{Core: core.Config{TCP: tcp.Config{ECN: tcp.ECNAsk, RetransmitLimit: -1}}}
	a, b := s.MustHost(host), s.MustHost(host)
	bad := netsim.Path{
		Delay: 10 * time.Millisecond, Rate: 20e6, Queue: 60, Mark: 30, Loss: 0.02, Duplicate: 0.01,
		Reorder: 0.02, ReorderDelay: 30 * time.Millisecond, Outages: []netsim.Outage{{From: time.Second, To: 3 * time.Second}},
	}
	s.MustLink(a, b, bad, bad)
	// The last one fails, in the midst of a transfer: its counters count too.
	all := []*netsim.Flow{}
	for i := range flows {
		app := netsim.App{Bytes: 1 << 20}
		if i == flows-1 {
			app = netsim.App{Bytes: -1, Quit: 5 * time.Second, QuitBy: netsim.Abort}
		}
		all = append(all, s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: app, Server: netsim.App{Bytes: 100_000}}))
	}
	require.NoError(t, s.Run(500*time.Millisecond))
	require.Positive(t, all[0].Client().Info().BytesSent)
	require.Zero(t, a.Core().Stats().TCPEnded)
	require.NoError(t, s.Settle(time.Hour))
	var both tcp.Totals
	for _, host := range []*netsim.Host{a, b} {
		var want tcp.Totals
		for _, f := range all {
			end := f.Client()
			if host == b {
				end = f.Server()
			}
			add(&want, end.Info())
		}
		got := host.Core().Stats().TCPEnded
		require.Equal(t, want, got)
		both.BytesSent += got.BytesSent
		both.Retransmits += got.Retransmits
		both.Timeouts += got.Timeouts
		both.FastRecoveries += got.FastRecoveries
		both.MarkReductions += got.MarkReductions
		both.DuplicatesReported += got.DuplicatesReported
	}
	for _, n := range []uint64{both.BytesSent, both.Retransmits, both.Timeouts, both.FastRecoveries, both.MarkReductions, both.DuplicatesReported} {
		require.Positive(t, n, "%+v", both)
	}
}

// add adds the fields of i that t has.
func add(t *tcp.Totals, i tcp.Info) {
	sum, v := reflect.ValueOf(t).Elem(), reflect.ValueOf(i)
	for n := range sum.NumField() {
		f := sum.Field(n)
		f.SetUint(f.Uint() + v.FieldByName(sum.Type().Field(n).Name).Uint())
	}
}
