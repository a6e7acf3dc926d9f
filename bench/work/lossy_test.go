package work

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/bench/env"
	"smolnet/internal/netns"
)

// TestLossyStacks runs rows over all of their stacks, variants included.
func TestLossyStacks(t *testing.T) {
	for _, row := range lossyRows() {
		if row.Name != "loss/0" && row.Name != "loss/outage" {
			continue
		}
		for _, stack := range row.Stacks {
			t.Run(row.Name+"/"+stack, func(t *testing.T) {
				res, err := row.Measure(context.Background(), stack, env.Config{}, tiny)
				if errors.Is(err, env.ErrUnavailable) {
					netns.Skip(t, "%v", err)
				}
				require.NoError(t, err)
				require.Len(t, res.Metrics, 1)
				if row.Name == "loss/0" { // a tiny run may be over before an outage is
					require.Positive(t, res.Metrics[0].Value)
				}
				require.Less(t, res.Metrics[0].Value, 100.0)
			})
		}
	}
}
