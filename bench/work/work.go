// Package work has what the benchmarks measure: each work is a function that
// runs over a pair of hosts of package env, for some time, and returns figures.
// [Rows] is the table of all of them, one row for each work on each link.
package work

import (
	"context"
	"errors"
	"fmt"
	"time"

	"smolnet/bench/env"
)

// Better says which values of a figure are the good ones.
type Better string

// The two ways to be better.
const (
	Higher Better = "higher"
	Lower  Better = "lower"
)

// A Metric is one figure of a work.
type Metric struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Value  float64 `json:"value"`
	Better Better  `json:"better"`
}

// A Result is what one run of a work measured.
type Result struct {
	// Metrics are the figures, the one that the work is about first. All runs
	// of a row have the same, in the same order.
	Metrics []Metric `json:"metrics"`
	// Note is what a reader must know of this run, "" for nothing.
	Note string `json:"note,omitempty"`
}

func (r *Result) add(name, unit string, better Better, value float64) {
	r.Metrics = append(r.Metrics, Metric{Name: name, Unit: unit, Value: value, Better: better})
}

// note adds a sentence to the note.
func (r *Result) note(s string) {
	if r.Note != "" && s != "" {
		r.Note += "; "
	}
	r.Note += s
}

// Options say how long to measure.
type Options struct {
	// Time to measure, after a warm-up of a fifth of it.
	Time time.Duration
	// Tiny runs only show that a work works: counts are cut down too.
	Tiny bool
}

// warmUp is how long a work runs before it is measured.
func (o Options) warmUp() time.Duration { return o.Time / 5 }

// count returns n, or few if the run is tiny.
func (o Options) count(n, few int) int {
	if o.Tiny {
		return min(n, few)
	}
	return n
}

// A Row is one work on one link, to be run over each stack.
type Row struct {
	// Name is what -rows selects by: the work, a slash, and what kind of it.
	Name string
	// About says in a sentence what is measured.
	About string
	// Link joins the pair.
	Link env.Link
	// Stacks that the row is run over, nil for all.
	Stacks []string
	// Connections that are open at one time if they are many, else zero.
	Connections int
	// Rounds is how often it is worth running at most, zero for any number.
	Rounds int
	// Limit is how long a run may take. Zero: what fits the time to measure and
	// the Connections.
	Limit time.Duration
	// Make makes the pair of the named stack. Nil stands for [env.Make].
	Make func(name string, cfg env.Config) (*env.Pair, error)
	// Run measures. It ends when ctx does, leaves no goroutine behind, and may
	// close the pair; the caller does so in any case.
	Run func(ctx context.Context, p *env.Pair, o Options) (Result, error)
}

// Measure makes a pair, runs the row once over the named stack, and closes the
// pair. The error is [env.ErrUnavailable] if the stack cannot be run here.
func (r *Row) Measure(ctx context.Context, name string, cfg env.Config, o Options) (res Result, err error) {
	mk := r.Make
	if mk == nil {
		mk = env.Make
	}
	cfg.Link, cfg.Connections = r.Link, o.count(r.Connections, tinyConnections)
	p, err := mk(name, cfg)
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.limit(o), fmt.Errorf("%s over %s takes longer than %v", r.Name, name, r.limit(o)))
	defer cancel()
	// What waits on the pair's sockets when time is up hears of it this way.
	stop := context.AfterFunc(ctx, func() { p.Close() })
	res, err = r.Run(ctx, p, o)
	if lost := p.Lost(); lost > 0 {
		res.note(fmt.Sprintf("its link lost %d packets that nobody came for", lost))
	}
	if !stop() {
		p.Close() // returns when the one that has begun is done; why it was is the error
		return res, context.Cause(ctx)
	}
	return res, errors.Join(err, p.Close())
}

// limit is how long a run may take: if the row does not say, the time to measure
// several times over, and as much for each connection as the slowest stack needs
// to make it.
func (r *Row) limit(o Options) time.Duration {
	if r.Limit > 0 {
		return r.Limit
	}
	const atLeast, runs, perConnection = 30 * time.Second, 20, time.Millisecond
	return atLeast + runs*o.Time + time.Duration(r.Connections)*perConnection
}

// tinyConnections is how many connections stand for many in a tiny run.
const tinyConnections = 50

// Figures that rows share.
const (
	bitsPerGbit = 1e9 / 8 // bytes in a Gbit
	bytesPerGB  = 1e9
)

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
