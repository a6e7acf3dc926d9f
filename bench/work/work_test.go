package work

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/bench/env"
	"smolnet/internal/netns"
)

var tiny = Options{Tiny: true, Time: 20 * time.Millisecond}

// TestRows runs every row over smolnet, and those of this package's own pairs
// over another stack, to see that it has the same figures.
func TestRows(t *testing.T) {
	names := make(map[string]bool)
	for _, row := range Rows(Counts{Idle: []int{1000}, Scale: []int{1000}}) {
		require.False(t, names[row.Name], "two rows are named %s", row.Name)
		names[row.Name] = true
		require.NotEmpty(t, row.About)
		if row.Name == "size/hello" {
			continue // builds programs: TestProgramSize
		}
		t.Run(row.Name, func(t *testing.T) {
			stacks := []string{env.Smolnet, env.GVisor}
			if row.Make != nil {
				stacks = stacks[:1]
			}
			var figures []string
			for _, stack := range stacks {
				res, err := row.Measure(context.Background(), stack, env.Config{}, tiny)
				if errors.Is(err, env.ErrUnavailable) {
					netns.Skip(t, "%v", err)
				}
				if err != nil && stack == env.GVisor {
					// On a busy machine one of its connections stops for good now and
					// then: all asleep, data unsent, and no timer. Twice is too much.
					t.Log(err)
					res, err = row.Measure(context.Background(), stack, env.Config{}, tiny)
				}
				require.NoError(t, err)
				var have []string
				for _, m := range res.Metrics {
					have = append(have, m.Name+" "+m.Unit)
					require.False(t, math.IsNaN(m.Value) || math.IsInf(m.Value, 0) || m.Value < 0, "%s: %+v", stack, m)
					require.Contains(t, []Better{Higher, Lower}, m.Better)
				}
				if figures == nil {
					figures = have
				}
				require.NotEmpty(t, have)
				require.Equal(t, figures, have)
				if !strings.HasPrefix(row.Name, "loss/") { // there nothing is a figure, too
					require.Positive(t, res.Metrics[0].Value, "%s: what the row is about", stack)
				}
			}
		})
	}
}

func TestWorksMeasure(t *testing.T) {
	for name, want := range map[string]struct {
		run func(context.Context, *env.Pair, Options) (Result, error)
		out string
	}{
		"bulk":    {bulk(1), "throughput"},
		"flows":   {bulk(3), "fairness"},
		"rtt":     {roundTrips(10, 1), "rate"},
		"connect": {connects(2), "rate"},
		"http":    {requests(10), "rate"},
		"udp":     {datagrams(false), "rate"},
		"batch":   {datagrams(true), "rate"},
	} {
		t.Run(name, func(t *testing.T) {
			row := Row{Name: name, Link: env.Link{MTU: 1500}, Run: want.run}
			res, err := row.Measure(context.Background(), env.Smolnet, env.Config{}, Options{Time: 50 * time.Millisecond})
			require.NoError(t, err)
			for _, m := range res.Metrics {
				if m.Name == want.out {
					require.Positive(t, m.Value)
					return
				}
			}
			t.Fatalf("no figure %s in %+v", want.out, res)
		})
	}
}

// TestNothingIsLeft counts goroutines after a run that was completed and one
// that was ended early.
func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, stack := range []string{env.Smolnet, env.GVisor} {
		for _, row := range Rows(Counts{Idle: []int{10}, Scale: []int{10}}) {
			if row.Make != nil {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			_, err := row.Measure(ctx, stack, env.Config{}, Options{Time: time.Minute})
			require.ErrorIs(t, err, context.DeadlineExceeded, row.Name)
			cancel()
		}
	}
	before++ // the one that Eventually asks in
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before }, 10*time.Second, 10*time.Millisecond)
}

func TestMeasureErrors(t *testing.T) {
	failing := errors.New("abc")
	row := Row{Name: "x", Run: func(context.Context, *env.Pair, Options) (Result, error) { return Result{}, failing }}
	row.Make = func(name string, _ env.Config) (*env.Pair, error) { return env.Bare(name), nil }
	_, err := row.Measure(context.Background(), env.Smolnet, env.Config{}, tiny)
	require.ErrorIs(t, err, failing)
	row.Make = func(string, env.Config) (*env.Pair, error) {
		return nil, fmt.Errorf("%w: no reason", env.ErrUnavailable)
	}
	_, err = row.Measure(context.Background(), env.Smolnet, env.Config{}, tiny)
	require.ErrorIs(t, err, env.ErrUnavailable)
}

func TestProgramSize(t *testing.T) {
	row := sizeRow()
	res, err := row.Measure(context.Background(), env.Kernel, env.Config{}, tiny)
	if errors.Is(err, env.ErrUnavailable) {
		netns.Skip(t, "%v", err)
	}
	require.NoError(t, err)
	require.InDelta(t, 2, res.Metrics[0].Value, 1, "MB")
	_, err = row.Measure(context.Background(), "nosuch", env.Config{}, tiny)
	require.ErrorIs(t, err, env.ErrUnavailable)
}

func TestJain(t *testing.T) {
	require.InDelta(t, 1, jain([]float64{5, 5, 5, 5}), 1e-9)
	require.InDelta(t, 0.25, jain([]float64{0, 0, 7, 0}), 1e-9)
	require.Zero(t, jain([]float64{0, 0}))
}

func TestHistogram(t *testing.T) {
	var h, other Histogram
	require.Zero(t, h.Quantile(0.5))
	for i := range 1000 {
		h.Add(time.Duration(i+1) * time.Microsecond)
	}
	require.EqualValues(t, 1000, h.Count())
	for _, q := range []float64{0.001, 0.5, 0.99, 1} {
		want := q * float64(1000*time.Microsecond)
		require.InEpsilon(t, want, float64(h.Quantile(q)), 0.01, "quantile %v", q)
	}
	other.Add(time.Hour)
	other.Add(-time.Second)
	h.Merge(&other)
	require.EqualValues(t, 1002, h.Count())
	require.Zero(t, h.Quantile(0))
	require.Greater(t, h.Quantile(1), 15*time.Minute)
}

func TestBuckets(t *testing.T) {
	last := -1
	for v := uint64(0); v < 1<<histogramLargest; v += 1 + v/300 {
		i := bucket(v)
		require.GreaterOrEqual(t, i, last)
		require.Less(t, i, histogramBuckets)
		require.InDelta(t, float64(v), float64(middle(i)), float64(v)/100+0.5)
		last = i
	}
	require.Equal(t, histogramBuckets-1, bucket(math.MaxUint64))
}

func TestNothingToMeasure(t *testing.T) {
	require.Zero(t, (&transfer{}).cpuPerGB())
	require.Zero(t, (&tries{wall: time.Second}).cpuEach())
}

func TestLimitGrows(t *testing.T) {
	few, many := Row{}, Row{Connections: 100_000}
	require.Greater(t, many.limit(Options{}), few.limit(Options{}))
	require.Greater(t, few.limit(Options{Time: time.Second}), few.limit(Options{}))
	require.Equal(t, time.Hour, (&Row{Limit: time.Hour}).limit(Options{Time: time.Second}))
}

// droppy loses every tenth datagram.
type droppy struct {
	net.PacketConn
	n int
}

func (d *droppy) WriteTo(b []byte, to net.Addr) (int, error) {
	if d.n++; d.n%10 == 0 {
		return len(b), nil
	}
	return d.PacketConn.WriteTo(b, to)
}

// TestLossIsCounted sees that lost datagrams neither stop the flow nor pass for
// received.
func TestLossIsCounted(t *testing.T) {
	p, err := env.Make(env.Smolnet, env.Config{Link: env.Link{MTU: 1500}})
	require.NoError(t, err)
	defer p.Close()
	in, err := p.Server.ListenPacket("udp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
	require.NoError(t, err)
	out, err := p.Client.ListenPacket("udp4", netip.AddrPortFrom(p.Client.Addr(), 0).String())
	require.NoError(t, err)
	defer out.Close()
	var res Result
	f := newDatagramFlow()
	require.NoError(t, f.measure(context.Background(), Options{Time: 300 * time.Millisecond}, in, sendOne(&droppy{PacketConn: out}, in.LocalAddr()), receiveOne(in), &res))
	require.Equal(t, "loss", res.Metrics[2].Name)
	require.InDelta(t, 10, res.Metrics[2].Value, 2)
	require.Greater(t, f.sent.Load(), int64(4*datagramWindow))
}
