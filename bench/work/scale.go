package work

import (
	"context"
	"time"

	"smolnet/bench/env"
)

// scaleActive is how many connections are busy beside the idle ones.
const scaleActive = 10

// scale returns the work of a few busy connections on stacks that have many
// others open: what a round trip and a byte cost must not depend on those.
func scale(others int) func(context.Context, *env.Pair, Options) (Result, error) {
	return func(ctx context.Context, p *env.Pair, o Options) (Result, error) {
		var res Result
		h, err := hold(ctx, p, res.fit(p, o.count(others, tinyConnections)))
		if err != nil {
			return Result{}, err
		}
		defer h.close()
		trips, err := measureTrips(ctx, p, o, 1, scaleActive)
		if err != nil {
			return Result{}, err
		}
		t, err := measureBulk(ctx, p, o, 1)
		if err != nil {
			return Result{}, err
		}
		res.add("CPU", "ns/trip", Lower, trips.cpuEach()*float64(time.Microsecond))
		res.add("p50", "us", Lower, micros(trips.times.Quantile(0.5)))
		res.add("p99", "us", Lower, micros(trips.times.Quantile(0.99)))
		res.add("bulk CPU", "s/GB", Lower, t.cpuPerGB())
		res.add("bulk", "Gbit/s", Higher, t.gbits())
		return res, nil
	}
}
