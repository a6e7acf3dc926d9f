package conn_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDeadlinesLoseNothing: a reader whose waits with large buffers end by
// deadlines, at any moment, gets every byte once.
func TestDeadlinesLoseNothing(t *testing.T) {
	for _, size := range []int{4 << 10, 8 << 10, 64 << 10} {
		synctest.Test(t, func(t *testing.T) {
			a, b, _ := established(t)
			seed := uint64(time.Now().UnixNano())
			want := make([]byte, 2<<20)
			rng := rand.New(rand.NewPCG(seed, 1))
			for i := range want {
				want[i] = byte(rng.Uint32())
			}
			go func() {
				for rest := want; len(rest) > 0; {
					n := min(1+rng.IntN(3*size), len(rest))
					_, err := a.Write(rest[:n])
					if err != nil {
						return // the reader finds out
					}
					rest = rest[n:]
					time.Sleep(time.Duration(rng.IntN(3)) * time.Microsecond)
				}
				a.CloseWrite()
			}()
			rng2 := rand.New(rand.NewPCG(seed, 2))
			buf := make([]byte, size)
			var got []byte
			late := 0
			for {
				require.NoError(t, b.SetReadDeadline(time.Now().Add(time.Duration(rng2.IntN(4))*time.Microsecond)))
				n, err := b.Read(buf[:1+rng2.IntN(size)])
				got = append(got, buf[:n]...)
				if err == io.EOF {
					break
				}
				if err != nil {
					require.True(t, errors.Is(err, os.ErrDeadlineExceeded), "%v", err)
					require.Zero(t, n)
					late++
					time.Sleep(time.Microsecond) // else no time passes
				}
			}
			require.True(t, bytes.Equal(want, got), "seed %d: %d bytes", seed, len(got))
			require.NotZero(t, late)
		})
	}
}
