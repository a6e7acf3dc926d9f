package compat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// random returns a reader of n bytes that only the seed decides.
func random(seed uint64, n int64) io.Reader {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return io.LimitReader(rand.NewChaCha8(key), n)
}

func hashOf(t testing.TB, r io.Reader) []byte {
	h := sha256.New()
	_, err := io.Copy(h, r)
	require.NoError(t, err)
	return h.Sum(nil)
}

// exchange sends n bytes each way at the same time and compares the hashes of
// what was sent and what arrived.
func exchange(t testing.TB, a, b net.Conn, n int64) {
	t.Helper()
	const seedA, seedB = 1, 2
	var gotA, gotB []byte
	var wg sync.WaitGroup
	send := func(c net.Conn, seed uint64) {
		m, err := io.Copy(struct{ io.Writer }{c}, random(seed, n))
		if err == nil {
			err = c.(interface{ CloseWrite() error }).CloseWrite()
		}
		if err != nil {
			t.Errorf("sent %d of %d bytes: %v", m, n, err)
		}
	}
	receive := func(c net.Conn, got *[]byte) {
		h := sha256.New()
		m, err := io.Copy(h, c)
		if err != nil || m != n {
			t.Errorf("received %d of %d bytes: %v", m, n, err)
		}
		*got = h.Sum(nil)
	}
	wg.Go(func() { send(a, seedA) })
	wg.Go(func() { send(b, seedB) })
	wg.Go(func() { receive(a, &gotA) })
	wg.Go(func() { receive(b, &gotB) })
	wg.Wait()
	require.Equal(t, hashOf(t, random(seedB, n)), gotA)
	require.Equal(t, hashOf(t, random(seedA, n)), gotB)
}

// TestBulk carries 256 MiB each way and compares hashes.
func TestBulk(t *testing.T) {
	for _, e := range smolnetEnvs(t) {
		t.Run(strings.ReplaceAll(e.name, " ", "-"), func(t *testing.T) {
			a, b := e.pair(t)
			exchange(t, a, b, bulkSize)
		})
	}
}

// TestParallel has 64 connections at once echo messages of random sizes.
func TestParallel(t *testing.T) {
	const conns, rounds, largest = 64, 20, 40_000
	for _, e := range smolnetEnvs(t) {
		t.Run(strings.ReplaceAll(e.name, " ", "-"), func(t *testing.T) {
			l, err := e.listen("tcp", e.host+":0")
			require.NoError(t, err)
			var servers, clients sync.WaitGroup
			servers.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					servers.Go(func() {
						defer c.Close()
						if _, err := io.Copy(c, c); err != nil {
							t.Errorf("echo: %v", err)
						}
					})
				}
			})
			for i := range conns {
				clients.Go(func() {
					if err := echoRounds(e, l.Addr().String(), uint64(i), rounds, largest); err != nil {
						t.Errorf("connection %d: %v", i, err)
					}
				})
			}
			clients.Wait()
			require.NoError(t, l.Close())
			servers.Wait()
		})
	}
}

type mismatch struct{ round int }

func (m mismatch) Error() string { return "echo differs" }

func echoRounds(e env, addr string, seed uint64, rounds, largest int) error {
	c, err := e.dial(context.Background(), "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	rng := rand.New(rand.NewPCG(seed, 64))
	for round := range rounds {
		want := make([]byte, 1+rng.IntN(largest))
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		errc := make(chan error, 1)
		go func() {
			_, err := c.Write(want)
			errc <- err
		}()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
		if err := <-errc; err != nil {
			return err
		}
		if !bytes.Equal(want, got) {
			return mismatch{round}
		}
	}
	return nil
}
