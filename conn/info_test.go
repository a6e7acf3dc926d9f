package conn

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/core"
	"smolnet/netstack/netsim"
	"smolnet/netstack/tcp"
)

// day is an instant of a clock of a test, as a time of day.
func day(t clock.Time) time.Time {
	if !t.IsSet() {
		return time.Time{}
	}
	return time.Unix(1_000_000_000, int64(t))
}

// infoRun is a run in a bad network: everything that a connection can count happens.
func infoRun(t *testing.T, look func(TCPInfo), host core.Config, there netsim.Path, change func(*netsim.Link), app netsim.App) {
	t.Helper()
	s := netsim.New(7)
	host.TCP.ECN = tcp.ECNAsk
	host.TCP.RetransmitLimit = -1
	a, b := s.MustHost(netsim.HostConfig{Core: host}), s.MustHost(netsim.HostConfig{Core: host})
	r := s.Router("")
	s.MustLink(a, r, there, netsim.Path{Delay: there.Delay})
	far, _ := s.MustLink(r, b, netsim.Path{}, netsim.Path{})
	if change != nil {
		s.After(time.Second, func() { change(far) })
	}
	f := s.MustFlow(netsim.FlowConfig{From: a, To: b, IPv6: true, Client: app, Server: netsim.App{Bytes: 200_000, ReadEvery: 20 * time.Millisecond, ReadChunk: 8000}})
	var again func()
	again = func() {
		for _, e := range []*netsim.End{f.Client(), f.Server()} {
			look(newTCPInfo(e.Info(), ipv6Len, day))
		}
		if !f.Done() {
			s.After(time.Millisecond, again)
		}
	}
	again()
	require.NoError(t, s.Settle(2*time.Hour))
}

// TestInfoIsAlive: every field tells something at some time.
func TestInfoIsAlive(t *testing.T) {
	alive := map[string]bool{}
	look := func(i TCPInfo) {
		v := reflect.ValueOf(i)
		for n := range v.NumField() {
			if !v.Field(n).IsZero() {
				alive[v.Type().Field(n).Name] = true
			}
		}
	}
	bad := netsim.Path{
		Delay: 15 * time.Millisecond, Rate: 20e6, Queue: 60, Mark: 40, Loss: 0.01, Duplicate: 0.01,
		Reorder: 0.02, ReorderDelay: 40 * time.Millisecond,
		Outages: []netsim.Outage{{From: 2 * time.Second, To: 5 * time.Second}},
	}
	infoRun(t, look, core.Config{}, bad, nil, netsim.App{Bytes: 8 << 20})
	// Too little memory for what lies beyond gaps, which is dropped in a silence.
	dark := netsim.Path{Delay: 15 * time.Millisecond, Loss: 0.1}
	for i := range 20 {
		from := time.Duration(i)*1700*time.Millisecond + 200*time.Millisecond
		dark.Outages = append(dark.Outages, netsim.Outage{From: from, To: from + 1400*time.Millisecond})
	}
	for memory := int64(80 << 10); memory <= 144<<10; memory += 16 << 10 {
		infoRun(t, look, core.Config{Limits: core.Limits{Memory: memory}}, dark, nil, netsim.App{Bytes: 2 << 20})
	}
	// A path that swallows large packets.
	infoRun(t, look, core.Config{}, netsim.Path{Delay: 15 * time.Millisecond, Rate: 20e6}, func(l *netsim.Link) {
		require.NoError(t, l.SetPath(netsim.Path{MTU: 1400, BlackHole: true}))
	}, netsim.App{Bytes: 8 << 20})
	typ := reflect.TypeFor[TCPInfo]()
	for n := range typ.NumField() {
		if name := typ.Field(n).Name; !alive[name] {
			t.Errorf("%s was zero all the time", name)
		}
	}
}

// TestInfoHasEverything: what the core tells is told to users.
func TestInfoHasEverything(t *testing.T) {
	var i tcp.Info
	v := reflect.ValueOf(&i).Elem()
	for n := range v.NumField() {
		switch f := v.Field(n); f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.String:
			f.SetString(v.Type().Field(n).Name)
		case reflect.Uint8, reflect.Uint64:
			f.SetUint(uint64(n + 1))
		default:
			f.SetInt(int64(n + 1))
		}
	}
	out := reflect.ValueOf(newTCPInfo(i, ipv4Len, day))
	for n := range v.NumField() {
		name := v.Type().Field(n).Name
		f := out.FieldByName(name)
		require.True(t, f.IsValid(), "TCPInfo has no %s", name)
		switch {
		case f.Type() == reflect.TypeFor[time.Time]():
			require.Equal(t, day(clock.Time(n+1)), f.Interface(), name)
		case name == "PathMTU" || name == "PathMTULimit":
			require.EqualValues(t, n+1+ipv4Len, f.Int(), name)
		default:
			require.Equal(t, v.Field(n).Interface(), f.Interface(), name)
		}
	}
	require.Equal(t, v.NumField(), out.NumField())
}

// TestInfoZeros: what is not known yet is zero.
func TestInfoZeros(t *testing.T) {
	require.Zero(t, newTCPInfo(tcp.Info{SlowStartThreshold: 1 << 30}, ipv4Len, day))
}
